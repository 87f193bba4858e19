"""What the command-line tests share: how to start rackproof, with and without mpirun, and how to blank what differs
from machine to machine."""

import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

RACKPROOF = Path(os.environ["RACKPROOF"])
MPIEXEC = os.environ.get("RACKPROOF_MPIEXEC", "mpirun").split(";")
GOLDEN = Path(__file__).parent / "golden"
UPDATE = bool(os.environ.get("RACKPROOF_UPDATE_GOLDEN"))

# Seen on stderr around a program that fails under mpirun; not ours. PMIx complains where ranks end while it tells them
# that others have.
LAUNCHER_NOISE = re.compile(r"^(-{20,}|Primary job|a non-zero exit code|mpirun |mpiexec |MPI_ABORT|with errorcode|NOTE: invoking|"
                            r"You may or may not|exactly when Open MPI|Process name|Exit code|\s*$|\[.*\] \d+ more process|"
                            r"\[.*\] Set MCA|\[[^]]*\] PMIX ERROR: |=+|=   |.*BAD TERMINATION|.*PID|.*EXIT|.*KILLED)")


def environment(extra=None):
    """One thread a rank and no launcher's variables but those of the test."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "OMPI_", "PMIX_", "PMI_"))}
    kept["OMP_NUM_THREADS"] = "1"
    kept.update(extra or {})
    return kept


def run(*arguments, ranks=None, cwd=None, env=None, timeout=300, binaries=None):
    """Runs rackproof; with `ranks` under mpirun. `binaries`: one program a rank instead of the usual one."""
    if binaries:
        command = list(MPIEXEC)
        for i, binary in enumerate(binaries):
            command += ([":"] if i else []) + ["-n", "1", str(binary), *map(str, arguments)]
    elif ranks:
        command = [*MPIEXEC, "-n", str(ranks), str(RACKPROOF), *map(str, arguments)]
    else:
        command = [str(RACKPROOF), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment(env), capture_output=True, text=True, timeout=timeout,
                          errors="replace", check=False)


def processes_of(session):
    """{process id: path of its program} of every process of a session: mpirun puts its ranks into process groups, not
    sessions, of their own."""
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as stat:
                fields = stat.read().rpartition(")")[2].split()
            if int(fields[3]) == session:
                found[int(entry)] = os.readlink(f"/proc/{entry}/exe")
        except OSError:
            continue
    return found


def holds_files(session):
    """True while a process of the session may still hold a file or a lock: until its last thread has ended, which may be
    after it has no program any more and its first thread is a zombie."""
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as stat:
                fields = stat.read().rpartition(")")[2].split()
            if int(fields[3]) == session and (fields[0] not in "ZX" or len(os.listdir(f"/proc/{entry}/task")) > 1):
                return True
        except OSError:
            continue
    return False


def our_lines(stderr):
    """The lines of stderr that are rackproof's."""
    return [line for line in stderr.splitlines() if line.startswith("rackproof: ")]


def foreign_lines(stderr):
    return [line for line in stderr.splitlines()
            if not line.startswith("rackproof: ") and not LAUNCHER_NOISE.match(line)]


def blank(text):
    """Numbers, units of time and runs of blanks become one mark each, so that only the form is compared."""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID", text)
    text = re.sub(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?", "#", text)
    text = re.sub(r"# (ns|us|ms|s)\b", "# TIME", text)
    text = re.sub(r"-{3,}", "---", text)
    text = re.sub(r" +", " ", text)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


class TestCase(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="rackproof-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def assert_golden(self, name, text):
        path = GOLDEN / name
        if UPDATE:
            path.write_text(text)
        self.assertTrue(path.exists(), f"no golden file {path}; make it with RACKPROOF_UPDATE_GOLDEN=1")
        self.assertEqual(path.read_text(), text)

    def assert_refused(self, result, code, *words):
        """One line on stderr that has all the words; the exit code; nothing of ours left behind."""
        self.assertEqual(result.returncode, code, result.stderr + result.stdout)
        lines = our_lines(result.stderr)
        self.assertEqual(len(lines), 1, result.stderr)
        self.assertEqual(foreign_lines(result.stderr), [], result.stderr)
        for word in words:
            self.assertIn(word, lines[0])


class ExampleTestCase(TestCase):
    """With the files of tests/unit/example_files.cpp in the folder `examples`."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        holder = tempfile.TemporaryDirectory(prefix="rackproof-examples-")
        cls.addClassCleanup(holder.cleanup)
        cls.examples = Path(holder.name)
        subprocess.run([os.environ["RACKPROOF_EXAMPLES"], cls.examples], check=True, timeout=60)


def main():
    """All tests of the file, or those that the arguments or RACKPROOF_TEST_NAMES (Class.test;Class.test) name."""
    named = [name for name in os.environ.get("RACKPROOF_TEST_NAMES", "").split(";") if name]
    unittest.main(argv=[sys.argv[0], "-v", *(sys.argv[1:] or named)])
