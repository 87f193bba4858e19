"""A rank that stops, hangs or dies: named, the run ended, what was finished kept."""

import os
import re
import signal
import socket
import subprocess
import time
import unittest
from pathlib import Path

import cli
from cli import run

IS_OPEN_MPI = "mpich" not in cli.MPIEXEC[0]
# Root in a container may lack the right to.
CAN_NAME_HOSTS = subprocess.run(["unshare", "--uts", "hostname", "node1"], capture_output=True, check=False).returncode == 0
# Some twenty short cases, so that a run is in one of them at any moment.
CASES = ("--benchmark_filter=^allreduce/f32/.*out-of-place", "--max-message-size", "1MiB", "--max-samples", "100",
         "--progress", "always")


def process_state(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0]
    except OSError:
        return ""


class Job:
    """A run under mpirun, in a session of its own."""

    def __init__(self, folder, *arguments, ranks=3, launcher=()):
        self.log = folder / "log"
        self.out = folder / "x.h5"
        command = [*cli.MPIEXEC, *launcher] + ([] if launcher else ["-n", str(ranks)])
        command += [str(cli.RACKPROOF), "run", *map(str, arguments), "--out", str(self.out)]
        with open(self.log, "wb") as stderr, open(folder / "stdout", "wb") as stdout:
            self.process = subprocess.Popen(command, stdout=stdout, stderr=stderr, env=cli.environment(),
                                            start_new_session=True)

    def text(self):
        return self.log.read_text(errors="replace").replace("\r", "\n")

    def lines(self):
        return cli.our_lines(self.text())

    def wait_for_case(self, number):
        """Until the progress line of this case stands there: all before it have finished."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            begun = re.findall(r"\[ *(\d+)/\d+\]", self.text())
            if begun and int(begun[-1]) >= number:
                return
            time.sleep(0.02)
        raise AssertionError(f"case {number} did not begin:\n{self.text()}")

    def ranks(self):
        """{rank: process id}"""
        found = {}
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{entry}/exe") != str(cli.RACKPROOF.resolve()):
                    continue
                environ = Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
            except OSError:
                continue
            values = dict(one.split(b"=", 1) for one in environ if b"=" in one)
            rank = values.get(b"OMPI_COMM_WORLD_RANK", values.get(b"PMI_RANK"))
            if rank is not None and str(self.out).encode() in Path(f"/proc/{entry}/cmdline").read_bytes():
                found[int(rank)] = int(entry)
        return found

    def end(self, timeout=60):
        """The launcher's exit code, once no process of the run is left."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        deadline = time.monotonic() + 30
        while cli.holds_files(self.process.pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        return code

    def kill(self):
        for pid in [*cli.processes_of(self.process.pid), *self.ranks().values()]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()


class TestCase(cli.TestCase):
    def start(self, *arguments, **others):
        job = Job(self.folder, *arguments, **others)
        self.addCleanup(job.kill)
        return job

    def assert_kept(self, job, count):
        """The cases that had finished can be had from what the run left."""
        recovered = run("recover", f"{job.out}.part", "--out", self.folder / "kept.h5")
        self.assertEqual(recovered.returncode, 0, recovered.stderr)
        shown = run("show", self.folder / "kept.h5").stdout
        self.assertGreaterEqual(len(re.findall(r"^\S+/\S+ +PASSED", shown, re.MULTILINE)), count)

    def assert_line(self, job, *words):
        matching = [line for line in job.lines() if all(re.search(word, line) for word in words)]
        self.assertEqual(len(matching), 1, f"{words} in one line of\n{job.text()}")


class OneNode(TestCase):
    def test_stopped_rank_is_named_and_the_run_ended(self):
        job = self.start(*CASES, "--time-budget", "6s", "--hang-timeout", "3s")
        job.wait_for_case(3)
        pid = job.ranks()[1]
        os.kill(pid, signal.SIGSTOP)
        self.assertEqual(job.end(), 75, job.text())
        self.assert_line(job, "the run hangs", r"for [3-9]\.\d s no rank got any further", "1 of 3 ranks behind")
        self.assert_line(job, rf"  rank 1 on {re.escape(socket.gethostname())} \(host:1, pid {pid}\)", r"stopped \(T\)",
                         r"case \d+ of \d+", "allreduce/f32/")
        self.assert_line(job, "x.h5.part", "recover")
        self.assert_kept(job, 2)
        self.assertIn(process_state(pid), ("", "Z"))

    def test_stopped_rank_0_is_named_by_its_neighbour(self):
        job = self.start(*CASES, "--time-budget", "6s", "--hang-timeout", "2s", ranks=2)
        job.wait_for_case(3)
        os.kill(job.ranks()[0], signal.SIGSTOP)
        self.assertEqual(job.end(), 75, job.text())
        self.assert_line(job, "  rank 0 on ", r"stopped \(T\)", r"case \d+ of \d+")
        self.assert_kept(job, 2)

    def test_rank_that_stops_for_less_than_the_timeout_is_waited_for(self):
        job = self.start(*CASES, "--time-budget", "6s", "--hang-timeout", "20s")
        job.wait_for_case(3)
        pid = job.ranks()[2]
        os.kill(pid, signal.SIGSTOP)
        time.sleep(2)
        os.kill(pid, signal.SIGCONT)
        self.assertEqual(job.end(), 0, job.text())
        self.assertTrue(job.out.exists())
        self.assertNotIn("hangs", job.text())

    def test_killed_rank_ends_the_run_and_loses_nothing_finished(self):
        job = self.start(*CASES, "--time-budget", "6s", "--hang-timeout", "3s")
        job.wait_for_case(3)
        os.kill(job.ranks()[2], signal.SIGKILL)
        # The launcher ends the others where it sees it first: mpirun by SIGTERM, with the signal for its exit code.
        self.assertIn(job.end(), (75, 128 + signal.SIGKILL, signal.SIGKILL), job.text())
        self.assert_kept(job, 2)


@unittest.skipUnless(IS_OPEN_MPI and CAN_NAME_HOSTS, "needs Open MPI's launch agent and the right to name hosts")
class Nodes(TestCase):
    """Nodes by name: each has a watchdog that tells rank 0's by TCP."""
    # Ranks of the same machine must not spin, which MPI does not know here.
    LAUNCHER = ("--mca", "plm_rsh_agent", str(Path(__file__).parent / "agent.sh"), "--mca", "mpi_yield_when_idle", "1",
                "-x", "OMP_NUM_THREADS", "--host", "node1:2,node2:2", "-n", "4")

    def start_on_two_nodes(self):
        job = self.start(*CASES, "--time-budget", "6s", "--hang-timeout", "2s", launcher=self.LAUNCHER)
        job.wait_for_case(3)
        return job

    def test_stopped_rank_of_another_node_is_named(self):
        job = self.start_on_two_nodes()
        pid = job.ranks()[3]
        os.kill(pid, signal.SIGSTOP)
        self.assertEqual(job.end(), 75, job.text())
        self.assert_line(job, "the run hangs", "1 of 4 ranks behind")
        self.assert_line(job, rf"  rank 3 on node2 \(host:1, pid {pid}\)", r"stopped \(T\)", r"case \d+ of \d+")
        self.assert_kept(job, 2)

    def test_stopped_rank_that_speaks_for_its_node_is_named(self):
        job = self.start_on_two_nodes()
        os.kill(job.ranks()[2], signal.SIGSTOP)
        self.assertEqual(job.end(), 75, job.text())
        self.assert_line(job, r"  rank 2 on node2 \(host:0, pid \d+\): stopped \(T\)")
        self.assert_kept(job, 2)


if __name__ == "__main__":
    cli.main()
