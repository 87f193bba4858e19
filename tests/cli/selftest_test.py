"""rackproof selftest and run --plant: faults that are planted are found, told in the file, and refused by what judges."""

import json
import signal
import subprocess
import time

import cli
from cli import RACKPROOF, run

LAUNCH = " ".join([*cli.MPIEXEC, "-n", "4"])


class Plant(cli.TestCase):
    def measure(self, *arguments, ranks=4):
        return run("run", "--suite", "allreduce", "--benchmark_filter=f32/(1KiB|16KiB)/out", "--max-samples", "20",
                   "--time-budget", "1s", "--out", self.folder / "x.h5", *arguments, ranks=ranks)

    def test_a_wrong_sum_is_named_and_the_file_says_that_it_was_planted(self):
        result = self.measure("--plant", "wrong-sum=rank2")
        self.assertEqual(result.returncode, 3, result.stderr)
        self.assertIn("as if rank 2", " ".join(result.stdout.split()))
        self.assertIn("made with planted faults (wrong-sum=rank2)", result.stdout)
        refused = run("accept", self.folder / "x.h5")
        self.assert_refused(refused, 2, "with planted faults (wrong-sum=rank2)", "--allow-fake")
        taken = run("accept", self.folder / "x.h5", "--allow-fake", "--faults")
        self.assertEqual(taken.returncode, 3, taken.stderr)
        self.assertEqual(len(taken.stdout.splitlines()), 1, taken.stdout)
        self.assertIn("host:2", taken.stdout)

    def test_a_clock_that_jumps_is_named_and_what_it_timed_is_not_believed(self):
        result = self.measure("--plant", "clock-jump=rank3:500ms", "--order", "listed")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("MISTRUSTED", result.stdout)
        self.assertIn("the clock of rank 3", result.stdout)

    def test_what_makes_no_sense_is_one_line(self):
        for plant in ("melt=rank0", "slow=rank0", "slow=nowhere:5%"):
            with self.subTest(plant=plant):
                self.assert_refused(self.measure("--plant", plant, ranks=2), 2, "--plant")


class Selftest(cli.TestCase):
    def selftest(self, *arguments):
        return run("selftest", "--launch", LAUNCH, "--folder", self.folder / "trials", "--device", "host", *arguments)

    def test_what_is_planted_is_named_and_a_second_call_goes_on(self):
        result = self.selftest("--faults", "wrong-sum,flipped-bit,full-disk", "--trials", "1", "--json")
        self.assertEqual(result.returncode, 0, result.stderr + result.stdout)
        report = json.loads(result.stdout)
        self.assertEqual([(one["fault"], one["trials"], one["named"], one["accused"]) for one in report["faults"]],
                         [("wrong-sum", 1, 1, 0), ("flipped-bit", 1, 1, 0), ("full-disk", 1, 1, 0)])
        lines = (self.folder / "trials/trials.jsonl").read_text().splitlines()
        self.assertEqual(len(lines), 1 + 3)
        self.assertEqual(json.loads(lines[0])["selftest"]["seed"], 1)
        again = self.selftest("--faults", "wrong-sum,other-library", "--trials", "1")
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual((self.folder / "trials/trials.jsonl").read_text().splitlines(), lines)
        self.assertIn("not planted: node with another library: 1 nodes", again.stdout)

        for change, what in ((("--seed", "7"), "seed"), (("--floor", "5%"), "floor")):
            self.assert_refused(self.selftest("--faults", "wrong-sum", "--trials", "1", *change), 2, f"another {what}", "--folder")
        self.assertEqual((self.folder / "trials/trials.jsonl").read_text().splitlines(), lines)

    def test_told_to_end_it_leaves_no_run_behind(self):
        command = [RACKPROOF, "selftest", "--launch", LAUNCH, "--folder", self.folder / "trials", "--device", "host", "--trials", "9"]
        for number in (signal.SIGTERM, signal.SIGINT):
            selftest = subprocess.Popen(command, env=cli.environment(), stderr=subprocess.PIPE, text=True)
            end = time.monotonic() + 60
            while not self.runs() and time.monotonic() < end:
                time.sleep(0.05)
            self.assertTrue(self.runs())
            selftest.send_signal(number)
            self.assertIn(f"ended by {number.name}", selftest.communicate(timeout=60)[1])
            self.assertEqual(selftest.returncode, 75)
            self.assertEqual(self.runs(), [])

    def runs(self):
        """Processes that write into the folder, this selftest apart."""
        found = subprocess.run(["pgrep", "-f", f"run .*--out {self.folder}"], capture_output=True, text=True, check=False)
        return found.stdout.split()

    def test_a_launcher_that_does_not_work_is_one_line(self):
        self.assert_refused(run("selftest", "--launch", "no-such-launcher", "--folder", self.folder / "t"), 2, "no-such-launcher")
        self.assert_refused(run("selftest", "--launch", "false", "--folder", self.folder / "t"), 75, "exit code 1")
        self.assert_refused(run("selftest", "--faults", "gremlins", "--folder", self.folder / "t"), 2, "gremlins")


if __name__ == "__main__":
    cli.main()
