"""launch/local.sh as a user starts it: a run that ends, one that loses a rank, one that is told to end."""

import os
import signal
import subprocess
import time
from pathlib import Path

import cli

LOCAL = Path(__file__).resolve().parents[2] / "launch" / "local.sh"
CASES = "--benchmark_filter=^allreduce/(f32|i32|f64)"


class Local(cli.TestCase):
    def start(self, *arguments):
        return subprocess.Popen([LOCAL, "--no-install", "--ranks", "2", "--", CASES, *arguments], cwd=self.folder,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=cli.environment(),
                                start_new_session=True)

    def ranks(self, job):
        """The job's processes that are rackproof."""
        return [pid for pid, program in cli.processes_of(job.pid).items() if program == str(cli.RACKPROOF)]

    def wait_for_part(self, job, bytes_more=0):
        """Until both ranks run and the .part has grown: the file as it is made is complete but for its numbers."""
        deadline = time.monotonic() + 120
        first = None
        while time.monotonic() < deadline and job.poll() is None:
            parts = list(self.folder.glob("*.h5.part"))
            if len(self.ranks(job)) == 2 and parts:
                size = parts[0].stat().st_size
                first = size if first is None and size > 0 else first
                if first is not None and size >= first + bytes_more:
                    return parts[0]
            time.sleep(0.02)
        self.fail(f"no .part appeared: {job.communicate(timeout=60)}")

    def test_a_run_ends_with_its_exit_code_and_file(self):
        job = self.start("--time-budget", "5s")
        _, err = job.communicate(timeout=300)
        self.assertEqual(job.returncode, 0, err)
        files = list(self.folder.glob("rackproof-*.h5"))
        self.assertEqual(len(files), 1)
        self.assertIn(files[0].name, err)

    def test_bad_arguments_of_the_run_keep_their_exit_code(self):
        job = self.start("--time-budget", "-5s")
        _, err = job.communicate(timeout=300)
        self.assertEqual(job.returncode, 2, err)
        self.assertNotIn("local.sh", err)

    def test_a_killed_rank_is_said_and_the_finished_cases_are_named(self):
        for out in ((), ("--out", "named.h5"), ("--out=given.h5",)):
            with self.subTest(out=out):
                job = self.start("--time-budget", "60s", *out)
                part = self.wait_for_part(job, bytes_more=1 << 15)
                os.kill(self.ranks(job)[1], signal.SIGKILL)
                _, err = job.communicate(timeout=240)
                self.assertEqual(job.returncode, 75, err)
                lines = [line for line in err.splitlines() if line.startswith("local.sh: ")]
                self.assertEqual(len(lines), 1, err)
                self.assertIn("a rank was killed", lines[0])
                self.assertIn(f"recover {part.name}", lines[0])
                recovered = cli.run("recover", part)
                self.assertEqual(recovered.returncode, 0, recovered.stderr)
                part.unlink()

    def test_a_signal_to_the_script_ends_the_run(self):
        job = self.start("--time-budget", "60s")
        self.wait_for_part(job)
        os.kill(job.pid, signal.SIGTERM)
        _, err = job.communicate(timeout=120)
        self.assertEqual(job.returncode, 75, err)
        self.assertIn("stopped by a signal", err)
        self.assertEqual(self.ranks(job), [])


if __name__ == "__main__":
    cli.main()
