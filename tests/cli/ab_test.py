"""`launch/ab.sh`: launches of two builds by turns, kept in a folder, continued where they were, and compared."""

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

    def test_a_launch_that_a_signal_ended_is_taken_again(self):
        long = ("-n", 1, "--ranks", 2, "--folder", "x", "--seed", 5, "--", "--benchmark_filter=^allreduce/f32/(8B|1KiB)/out",
                "--precision", "0.001%", "--max-samples", "1000000", "--time-budget", "3s")
        with subprocess.Popen([AB, cli.RACKPROOF, cli.RACKPROOF, *map(str, long)], cwd=self.folder, env=cli.environment(),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            part = self.folder / "x"
            deadline = time.monotonic() + 60
            while not list(part.glob("*.h5.part")) and time.monotonic() < deadline:
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            _, stderr = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 75, stderr)
        self.assertIn("goes on with launch", stderr)
        self.assertEqual(list(part.glob("*.h5")), [], stderr)
        again = self.ab(cli.RACKPROOF, cli.RACKPROOF, *long)
        self.assertEqual(sorted(self.launched(again)), [("1", "A"), ("1", "B")], again.stderr)
        self.assertEqual(again.returncode, 4, again.stderr)

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
