"""`launch/ab.sh`: launches of two builds by turns, kept in a folder, continued where they were, and compared."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import cli

AB = Path(__file__).parents[2] / "launch" / "ab.sh"
TINY = ("--", "--benchmark_filter=^allreduce/f32/(8B|1KiB)/out", "--time-budget", "500ms")


class Ab(cli.TestCase):
    def ab(self, *arguments, timeout=120):
        return subprocess.run([AB, *map(str, arguments)], cwd=self.folder, env=cli.environment(), capture_output=True,
                              text=True, timeout=timeout, check=False)

    def launched(self, result):
        return re.findall(r"ab\.sh: launch (\d) of \d: ([AB])", result.stderr)

    def test_two_launches_of_each(self):
        builds = (cli.RACKPROOF, cli.RACKPROOF)
        options = ("-n", 2, "--ranks", 2, "--folder", "x", "--seed", 5)
        first = self.ab(*builds, *options, "--env-b", "RACKPROOF_AB_TEST=1", *TINY)
        # Two launches decide nothing.
        self.assertEqual(first.returncode, 4, first.stderr + first.stdout)
        self.assertEqual(sorted(self.launched(first)), [("1", "A"), ("1", "B"), ("2", "A"), ("2", "B")])
        self.assertIn("base  2 launches: x/a-001.h5, x/a-002.h5", first.stdout)
        self.assertRegex(first.stdout, r"\n  label side +a -> b\n")
        self.assertIn("2 inconclusive of 2 cases", first.stdout)

        # What is missing is run again, in the same order, and nothing else.
        (self.folder / "x" / "b-002.h5").unlink()
        second = self.ab(*builds, *options, "--env-b", "RACKPROOF_AB_TEST=1", *TINY)
        self.assertEqual((second.returncode, self.launched(second)), (4, [("2", "B")]), second.stderr)

        other = self.ab(*builds, *options, "--env-b", "RACKPROOF_AB_TEST=2", *TINY)
        self.assertEqual(other.returncode, 2)
        self.assertIn("holds another comparison", other.stderr)
        other = self.ab(*builds, *options[:-1], 6, "--env-b", "RACKPROOF_AB_TEST=1", *TINY)
        self.assertIn("holds another comparison", other.stderr)

    def sessions(self, folder):
        """Of the processes that have the folder on their command line: a launch has a session of its own."""
        found = set()
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                command = Path(f"/proc/{entry}/cmdline").read_bytes()
                if str(folder).encode() in command and str(AB).encode() not in command:
                    found.add(os.getsid(int(entry)))
            except OSError:
                continue
        return found

    def assert_ends(self, session):
        deadline = time.monotonic() + 30
        while cli.processes_of(session) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(cli.processes_of(session), {})

    def test_signals_end_the_launch_and_keep_what_is_finished(self):
        folder = self.folder / "x"
        long = ("--ranks", 2, "--folder", folder, "--seed", 5, "--margin", "2%", "--",
                "--benchmark_filter=^allreduce/f32/(8B|1KiB)/out", "--precision", "0.001%", "--max-samples", "1000000",
                "--time-budget", "3s")

        def interrupted(interrupt, launches=1):
            """Exit code and stderr of a call whose first launch is interrupted; nothing of that is left running."""
            known = set(folder.glob("*.h5"))
            with subprocess.Popen([AB, cli.RACKPROOF, cli.RACKPROOF, "-n", str(launches), *map(str, long)], cwd=self.folder,
                                  env=cli.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  text=True) as process:
                deadline = time.monotonic() + 60
                while not list(folder.glob("*.h5.part")) and time.monotonic() < deadline:
                    time.sleep(0.05)
                (session,) = self.sessions(folder)
                self.assertGreater(len(cli.processes_of(session)), 2, "mpirun and its ranks")
                interrupt(process, session)
                _, stderr = process.communicate(timeout=60)
            self.assertEqual(set(folder.glob("*.h5")), known, stderr)
            self.assert_ends(session)
            return process.returncode, stderr

        for number in (signal.SIGTERM, signal.SIGINT):
            code, stderr = interrupted(lambda process, _, number=number: process.send_signal(number))
            self.assertEqual(code, 75, stderr)
            self.assertIn("goes on with launch", stderr)
            self.assertRegex(stderr, r"finished launches are in '.*/x': 0 of A, 0 of B\n")
            self.assertNotIn("to compare them", stderr)
            self.assertEqual(list(folder.glob("*.part*")), [], stderr)

        # Whose launcher is killed: its ranks go with it.
        def kill_launcher(_, session):
            os.kill(session, signal.SIGKILL)
        code, stderr = interrupted(kill_launcher)
        self.assertEqual(code, 128 + signal.SIGKILL, stderr)
        self.assertIn(f"ended with {128 + signal.SIGKILL}", stderr)

        again = self.ab(cli.RACKPROOF, cli.RACKPROOF, "-n", 1, *long)
        self.assertEqual(sorted(self.launched(again)), [("1", "A"), ("1", "B")], again.stderr)
        self.assertEqual(again.returncode, 4, again.stderr)

        # With launches of both, it says how to compare them; that is a command.
        code, stderr = interrupted(lambda process, _: process.send_signal(signal.SIGTERM), launches=2)
        self.assertEqual(code, 75, stderr)
        self.assertRegex(stderr, r"finished launches are in '.*/x': 1 of A, 1 of B\n")
        command = re.search(r"to compare them: (.*)\n", stderr).group(1)
        compared = subprocess.run(["bash", "-c", command], cwd=self.folder, env=cli.environment(), capture_output=True,
                                  text=True, timeout=60, check=False)
        self.assertEqual(compared.returncode, 4, compared.stderr)
        self.assertIn("base  1 launch: ", compared.stdout)
        self.assertIn("2 inconclusive of 2 cases", compared.stdout)

    def test_a_run_that_fails_ends_it(self):
        result = self.ab(cli.RACKPROOF, cli.RACKPROOF, "-n", 1, "--ranks", 2, "--", "--suite", "nothing")
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn("nothing", result.stderr)
        self.assertIn("ended with 2", result.stderr)

    def test_bad_arguments(self):
        def refused(*arguments, words):
            result = self.ab(*arguments)
            self.assertEqual((result.returncode, result.stdout), (2, ""), result.stderr)
            for word in words:
                self.assertIn(word, result.stderr)
        refused(words=["two builds"])
        refused(cli.RACKPROOF, words=["two builds"])
        refused(cli.RACKPROOF, "/nowhere", words=["no rackproof in '/nowhere'"])
        refused(cli.RACKPROOF, "/bin/true", words=["neither Open MPI nor MPICH", "--mpirun-a"])
        refused(cli.RACKPROOF, cli.RACKPROOF, "-n", "many", words=["-n 'many'"])
        refused(cli.RACKPROOF, cli.RACKPROOF, "--env-a", "1=2", words=["NAME=VALUE"])
        refused(cli.RACKPROOF, cli.RACKPROOF, "--", "--out", "x.h5", words=["--out", "--folder"])
        refused(cli.RACKPROOF, cli.RACKPROOF, "--what", words=["--what", "--help"])
        self.assertFalse((self.folder / "ab").exists())
        self.assertIn("Exit code:", self.ab("--help").stdout)


if __name__ == "__main__":
    cli.main()
