"""A rank that stops, hangs or dies: named, the run ended, what was finished kept."""

import json
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
CASES = ("--benchmark_filter=^allreduce/f32/.*out-of-place", "--max-message-size", "1MiB", "--max-samples", "100")


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
        command += [str(cli.RACKPROOF), "run", *map(str, arguments), "--progress", "always", "--out",
                    str(self.out)]
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


class Resume(TestCase):
    """A run that ended early, or was killed, goes on where it stopped."""
    ARGUMENTS = (*CASES, "--time-budget", "4s")

    def statuses(self, path):
        import h5py
        with h5py.File(path) as file:
            suite = file["suites/allreduce"]
            return dict(zip(suite["case"].asstr()[...], suite["status"][...]))

    def times(self, path, name):
        import h5py
        with h5py.File(path) as file:
            suite = file["suites/allreduce"]
            return suite["time"][list(suite["case"].asstr()[...]).index(name)].tolist()

    def launches(self, path):
        import h5py
        with h5py.File(path) as file:
            return json.loads(file["provenance/resumed"][()])

    def resume(self, out, *arguments, ranks=2):
        return run("run", *self.ARGUMENTS, *arguments, "--resume", out, ranks=ranks)

    def assert_completed(self, job):
        resumed = self.resume(job.out)
        self.assertEqual(resumed.returncode, 0, resumed.stderr)
        self.assertEqual(set(self.statuses(job.out).values()), {1})
        self.assertEqual([path.name for path in self.folder.glob("*.part*")], [])
        launches = self.launches(job.out)
        self.assertEqual(len(launches), 2)
        self.assertEqual(launches[1]["hosts"], [socket.gethostname()])
        self.assertRegex(launches[0]["interrupted"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        return launches

    def test_signal_ends_the_run_after_a_case_and_resume_measures_the_rest(self):
        job = self.start(*self.ARGUMENTS, ranks=2)
        job.wait_for_case(3)
        os.kill(job.ranks()[1], signal.SIGTERM)
        self.assertEqual(job.end(), 75, job.text())
        self.assert_line(job, "SIGTERM came", r"\d+ cases? ha(s|ve) not run", "--resume .*x.h5")
        before = self.statuses(job.out)
        self.assertLessEqual(set(before.values()), {0, 1})
        self.assertGreaterEqual(list(before.values()).count(1), 2)
        self.assertIn(0, before.values())
        measured = next(name for name, status in before.items() if status == 1)
        times = json.dumps(self.times(job.out, measured))

        # Of another run: refused, and nothing touched.
        for arguments, ranks, word in ((("--seed", "2"), 2, "seed is 1 there and 2 here"), ((), 3, "has 2 ranks and this run 3"),
                                       (("--max-message-size", "64KiB"), 2, "max-message-size")):
            with self.subTest(word=word):
                self.assert_refused(self.resume(job.out, *arguments, ranks=ranks), 2, word)
        self.assertEqual(self.statuses(job.out), before)

        launches = self.assert_completed(job)
        self.assertEqual(launches[0]["cases_kept"], list(before.values()).count(1))
        self.assertEqual(json.dumps(self.times(job.out, measured)), times)
        again = self.resume(job.out)
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertIn("every case in it has run", again.stderr)

    def test_killed_run_is_completed(self):
        job = self.start(*self.ARGUMENTS, ranks=2)
        job.wait_for_case(3)
        job.kill()
        job.end()
        self.assertFalse(job.out.exists())
        self.assertGreaterEqual(self.assert_completed(job)[0]["cases_kept"], 2)

    def test_wall_time_that_is_too_short_for_all_cases_ends_the_run_in_order(self):
        out = self.folder / "x.h5"
        # Ten minutes for ten cases: not one fits.
        result = run("run", *self.ARGUMENTS[:-1], "10m", "--wall-time", "20s", "--resume", out, ranks=2)
        self.assertEqual(result.returncode, 75, result.stderr)
        self.assertIn("does not fit into what is left of the wall time: 10 cases have not run", result.stderr)
        self.assertEqual(set(self.statuses(out).values()), {0})


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
