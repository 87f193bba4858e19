"""Killing the job at any moment, and a full disk: nothing finished is lost."""

import os
import random
import re
import signal
import subprocess
import sys
import time

import cli
from cli import run

CASES = "--benchmark_filter=^allreduce/(f32|i32|f64)|^gemm/.*n512k512|^tokens/tiny"

SHORT_CASES = "--benchmark_filter=^allreduce/(f32|i32|f64)/([0-9]+(B|KiB)|1MiB)/|^gemm/.*n512k512|^tokens/tiny"


def passed_cases(text):
    """The names of the cases that a table shows as measured."""
    return set(re.findall(r"^(\S+/\S+) +PASSED", text, re.MULTILINE))


class Kill(cli.TestCase):
    def start(self, out, log, budget="8s"):
        command = [*cli.MPIEXEC, "-n", "2", str(cli.RACKPROOF), "run", CASES, "--time-budget", budget, "--out", str(out),
                   "--progress", "always"]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, env=cli.environment(),
                                start_new_session=True)

    def kill_all(self, job):
        pids = cli.processes_of(job.pid)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        job.wait()
        deadline = time.monotonic() + 30
        while cli.holds_files(job.pid) and time.monotonic() < deadline:
            time.sleep(0.01)

    def test_kill_at_20_random_moments_loses_nothing_finished(self):
        seed = int(os.environ.get("RACKPROOF_TEST_SEED", "20"))
        chance = random.Random(seed)
        recovered_any = 0
        for attempt in range(20):
            out = self.folder / f"run{attempt}.h5"
            log = self.folder / f"log{attempt}"
            with open(log, "wb") as stderr:
                job = self.start(out, stderr, "2s")
                time.sleep(chance.uniform(0.3, 3.0))
                self.kill_all(job)
            # The progress line of a case appears when all before it have finished.
            begun = re.findall(r"\[ *(\d+)/\d+\]", log.read_text(errors="replace"))
            finished = int(begun[-1]) - 1 if begun else 0
            with self.subTest(attempt=attempt, seed=seed, finished=finished):
                part = self.folder / f"run{attempt}.h5.part"
                if out.exists():  # it had ended
                    shown = run("show", out)
                elif finished == 0 and not part.exists():
                    continue
                else:
                    recovered = run("recover", part)
                    if finished == 0 and recovered.returncode == 2:
                        self.assertEqual(len(cli.our_lines(recovered.stderr)), 1, recovered.stderr)
                        continue
                    self.assertEqual(recovered.returncode, 0, recovered.stderr)
                    shown = run("show", out)
                self.assertEqual(shown.returncode, 0, shown.stderr)
                self.assertGreaterEqual(len(passed_cases(shown.stdout)), finished)
                recovered_any += finished > 0
        self.assertGreaterEqual(recovered_any, 5, "hardly any attempt got as far as a finished case")

    def test_left_over_part_is_not_in_the_way(self):
        out = self.folder / "x.h5"
        with open(self.folder / "log", "wb") as stderr:
            job = self.start(out, stderr)
            part = self.folder / "x.h5.part"
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and " 4/" not in (self.folder / "log").read_text(errors="replace"):
                time.sleep(0.05)
            self.kill_all(job)
        self.assertTrue(part.exists())
        again = run("run", "--benchmark_filter=allreduce/f32/8B/out-of-place", "--time-budget", "2s", "--out", out, ranks=2)
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertIn("x.h5.part.1", again.stderr)
        self.assertTrue(out.exists())
        recovered = run("recover", self.folder / "x.h5.part.1", "--out", self.folder / "first.h5")
        self.assertEqual(recovered.returncode, 0, recovered.stderr)
        self.assertGreaterEqual(len(passed_cases(run("show", self.folder / "first.h5").stdout)), 3)

    def test_file_of_a_live_run_is_left_alone(self):
        out = self.folder / "x.h5"
        with open(self.folder / "log", "wb") as stderr:
            job = self.start(out, stderr)
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and " 3/" not in (self.folder / "log").read_text(errors="replace"):
                time.sleep(0.05)
            try:
                second = run("run", "--benchmark_filter=allreduce/f32/8B/out-of-place", "--out", out, ranks=2)
                self.assert_refused(second, 2, "x.h5")
                self.assert_refused(run("recover", self.folder / "x.h5.part", "--out", self.folder / "y.h5"), 2, "x.h5.part")
                shown = run("show", self.folder / "x.h5.part")
                self.assertEqual(shown.returncode, 0, shown.stderr)
            finally:
                self.kill_all(job)


class FullDisk(cli.TestCase):
    """On a small file system of its own. A limit on the size of files would hit Open MPI's own files first."""

    def mount(self, kib):
        place = self.folder / f"disk{kib}"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(place)], check=True)
        self.addCleanup(subprocess.run, ["umount", str(place)], check=True)
        return place

    def measure(self, out):
        # As many samples of each case, whatever the machine: files of one size.
        return run("run", SHORT_CASES, "--precision", "0.01%", "--max-samples", "200", "--time-budget", "60s", "--out", out,
                   ranks=2)

    def test_full_disk_in_the_middle_keeps_what_was_finished(self):
        whole = self.folder / "whole.h5"
        result = self.measure(whole)
        self.assertEqual(result.returncode, 0, result.stderr)
        kib = whole.stat().st_size // 1024
        some_recovered = 0
        for share in (0.7, 0.9):
            disk = self.mount(int(kib * share))
            out = disk / "x.h5"
            with self.subTest(share=share):
                result = self.measure(out)
                self.assert_refused(result, 75, str(out))
                self.assertFalse(out.exists())
                part = disk / "x.h5.part"
                if part.exists():
                    elsewhere = self.folder / f"recovered{share}.h5"
                    recovered = run("recover", part, "--out", elsewhere)
                    self.assertEqual(recovered.returncode, 0, recovered.stderr)
                    self.assertGreaterEqual(len(passed_cases(run("show", elsewhere).stdout)), 1)
                    some_recovered += 1
        self.assertGreaterEqual(some_recovered, 1)

    def test_disk_full_from_the_start_leaves_nothing(self):
        disk = self.mount(8)
        self.assert_refused(self.measure(disk / "x.h5"), 75, "x.h5")
        self.assertEqual(list(disk.iterdir()), [])

    def test_limit_on_the_size_of_files_is_an_error_like_a_full_disk(self):
        out = self.folder / "x.h5"
        self.assertEqual(self.measure(out).returncode, 0)
        part = self.folder / "y.h5.part"
        out.rename(part)
        limited = subprocess.run(["bash", "-c", f"ulimit -f 16; exec {cli.RACKPROOF} recover {part}"],
                                 env=cli.environment(), capture_output=True, text=True, timeout=60, check=False)
        self.assert_refused(limited, 75, "y.h5")
        self.assertEqual([p.name for p in self.folder.iterdir()], ["y.h5.part"])


if __name__ == "__main__":
    if os.geteuid() != 0:
        # Mounting needs root, if only in a name space of its own.
        os.execvp("unshare", ["unshare", "--user", "--map-root-user", "--mount", sys.executable, *sys.argv])
    cli.main()
