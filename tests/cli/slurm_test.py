"""The scripts of launch/slurm, with stubs of Slurm's commands, of mpirun and of rackproof: how ranks are started, exit
codes, who is drained, and what is refused before anything is measured."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import cli

SLURM = Path(__file__).parents[2] / "launch" / "slurm"
HANG = "rackproof: the run hangs: for 20.0 s no rank got any further; 1 of 8 ranks behind"
EQUAL = ("rackproof: the run hangs: for 20.0 s none of 8 ranks got any further, and all are equally far: the network, MPI "
         "or a library that they are in is stuck")


def rank_line(rank, host, state):
    return f"rackproof:   rank {rank} on {host} (cuda:1, pid 44): {state}, in allreduce/f32/8B, for 20.0 s"


class SlurmTestCase(cli.TestCase):
    def setUp(self):
        super().setUp()
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        self.calls_file = self.folder / "calls"
        # srun makes the result file, as rank 0 does; only its end is to be chosen.
        self.stub("srun", 'file=; for word; do [[ $last != --out && $last != --resume ]] || file=$word; last=$word; done\n'
                          'if [[ -n ${STUB_STDERR-} ]]; then printf "%s\\n" "$STUB_STDERR" >&2; fi\n'
                          'if [[ -n $file ]]; then touch "$file${STUB_PART-}"; fi\n'
                          'exit "${STUB_RUN:-0}"')
        self.stub("scontrol", '[[ $1 != show ]] || exit 1')
        self.stub("sinfo", 'printf "%s\\n" "${STUB_NODES:-node0 idle}"')
        self.stub("sleep")
        self.stub("rackproof", 'case $* in\n'
                               '  *--faults*) printf "%b" "${STUB_FAULTS-}"; exit "${STUB_LISTED:-3}" ;;\n'
                               '  accept* | compare*) exit "${STUB_VERDICT:-0}" ;;\n'
                               '  recover*) touch "$4" ;;\n'
                               '  run*) exit "${STUB_RUN:-0}" ;;\n'
                               'esac')
        self.stub("mpirun", 'if [[ $1 == --version ]]; then echo "${STUB_MPI:-mpirun (Open MPI) 4.1.4}"; fi')

    def stub(self, name, body=""):
        """A program that keeps its command line, one a line, and does as `body` says."""
        path = self.bin / name
        path.write_text(f'#!/usr/bin/env bash\necho "{name} $*" >>"$STUB_CALLS"\n{body}\n')
        path.chmod(0o755)

    def environment(self, **more):
        job = {"PATH": f"{self.bin}:{os.environ['PATH']}", "STUB_CALLS": str(self.calls_file), "SLURM_JOB_ID": "7",
               "SLURM_JOB_NUM_NODES": "4", "SLURM_JOB_NODELIST": "node[0-3]", "SLURM_CPUS_ON_NODE": "8",
               "SLURM_GPUS_ON_NODE": "2", "RACKPROOF": str(self.bin / "rackproof")}
        job.update(more)
        kept = {k: v for k, v in cli.environment(job).items() if not k.startswith("RACKPROOF_")}
        kept.update(more)
        return {k: v for k, v in kept.items() if v is not None}

    def script(self, name, *arguments, path=None, **more):
        """Runs a script with its stderr in a file, as a batch job's is."""
        self.calls_file.write_text("")
        log = self.folder / "job.log"
        with open(log, "w+", encoding="utf-8") as stderr:
            result = subprocess.run([path or SLURM / name, *map(str, arguments)], cwd=self.folder, stdin=subprocess.DEVNULL,
                                    env=self.environment(**more), stdout=subprocess.PIPE, stderr=stderr, text=True,
                                    timeout=120, check=False)
        result.stderr = log.read_text()
        return result

    def calls(self, name):
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        return [line for line in lines if line.split()[0] == name]

    def updates(self):
        return [call for call in self.calls("scontrol") if call.startswith("scontrol update")]

    def shared(self, code, **more):
        """What the functions of job.sh do."""
        head = f'set -euo pipefail; script=t; job_folder="{SLURM}"; source "{SLURM}/job.sh"\n'
        return subprocess.run(["bash", "-c", head + code], env=self.environment(**more), capture_output=True, text=True,
                              timeout=60, check=False)


class Shared(SlurmTestCase):
    def test_the_worse_of_two_exit_codes(self):
        for first, second, worse in ((0, 0, 0), (0, 4, 4), (4, 3, 3), (3, 75, 75), (75, 1, 1), (1, 2, 2), (0, 137, 1),
                                     (139, 0, 1), (0, 127, 1), (3, 137, 1), (137, 2, 2), (75, 5, 1), (0, '""', 1)):
            with self.subTest(first=first, second=second):
                self.assertEqual(self.shared(f"worse {first} {second}").stdout, f"{worse}\n")

    def launch(self, **more):
        result = self.shared('plan_launch; echo "${launch[*]}"', **more)
        return result.stdout.strip() if result.returncode == 0 else result.stderr

    def test_another_node_looks_whether_that_of_the_script_is_dead(self):
        self.stub("scontrol", '[[ "$1 $2" != "show hostnames" ]] || printf "node0\\nnode1\\n"')
        self.stub("scancel")
        # As on that node: what stands behind the options.
        self.stub("srun", 'while [[ $1 == --* ]]; do shift; done; "$@"')
        for action, does in (("requeue", "scontrol requeue 7"), ("cancel", "scancel 7")):
            self.calls_file.unlink(missing_ok=True)
            self.stub("sinfo", 'if [[ -e $STUB_CALLS.seen ]]; then echo "down*"; else echo "allocated*"; fi; touch "$STUB_CALLS.seen"')
            Path(f"{self.calls_file}.seen").unlink(missing_ok=True)
            self.assertEqual(self.shared(f"look_after {action}; wait", SLURMD_NODENAME="node0").returncode, 0)
            calls = self.calls_file.read_text().splitlines()
            self.assertIn("--nodelist=node1", next(call for call in calls if call.startswith("srun ")))
            self.assertEqual(calls[-1], does)
            self.assertEqual(sum(call.startswith("sinfo --noheader --Node --nodes node0 ") for call in calls), 2, calls)
        self.calls_file.unlink()
        self.stub("scontrol", '[[ "$1 $2" != "show hostnames" ]] || echo node0')
        self.assertEqual(self.shared("look_after cancel; wait", SLURMD_NODENAME="node0").returncode, 0)
        self.assertNotIn("srun", self.calls_file.read_text())

    def test_a_rank_a_gpu_with_its_share_of_the_cores(self):
        srun = "--kill-on-bad-exit=1 --nodes=4 --ntasks=8 --ntasks-per-node=2 "
        self.assertEqual(self.launch(), f"srun --mpi=pmix {srun}--cpus-per-task=4 --cpu-bind=cores")
        self.assertEqual(self.launch(RACKPROOF_LAUNCH="pmi2", RACKPROOF_LAUNCH_OPTIONS="--mem 0 -v"),
                         f"srun --mpi=pmi2 {srun}--cpus-per-task=4 --cpu-bind=cores --mem 0 -v")
        self.assertEqual(self.launch(SLURM_CPUS_ON_NODE="1"), f"srun --mpi=pmix {srun}--overcommit --cpu-bind=none")
        self.assertIn("RACKPROOF_LAUNCH 'ssh' is none of", self.launch(RACKPROOF_LAUNCH="ssh"))
        self.assertIn("'two' is no positive number", self.launch(RACKPROOF_RANKS_PER_NODE="two"))

    def test_a_rank_a_numa_domain_without_gpus(self):
        self.stub("lscpu", 'printf "# Node\\n0\\n0\\n1\\n1\\n2\\n2\\n"')
        self.assertIn("--ntasks=12 --ntasks-per-node=3 --cpus-per-task=2", self.launch(SLURM_GPUS_ON_NODE="0"))

    def test_mpirun_gets_cores_and_not_threads(self):
        def machine(cores, threads):
            self.stub("lscpu", 'echo "# Core,CPU"\n' +
                      f'for ((i = 0; i < {cores * threads}; ++i)); do echo "$((i % {cores})),$i"; done')

        def cores_per_rank(cpus, ranks):
            text = self.launch(RACKPROOF_LAUNCH="mpirun", SLURM_CPUS_ON_NODE=str(cpus), RACKPROOF_RANKS_PER_NODE=str(ranks))
            self.assertRegex(text, rf"^mpirun -n {4 * ranks} --map-by ppr:{ranks}:node")
            found = re.search(r":PE=(\d+) --bind-to core$", text)
            self.assertTrue(found or text.endswith("--oversubscribe --bind-to none"), text)
            return int(found[1]) if found else 0

        machine(64, 2)
        self.assertEqual(cores_per_rank(128, 8), 8)
        self.assertEqual(cores_per_rank(64, 8), 8, "Slurm counts cores")
        self.assertEqual(cores_per_rank(32, 8), 2, "part of a node")
        self.assertEqual(cores_per_rank(128, 100), 0)
        machine(64, 1)
        self.assertEqual(cores_per_rank(64, 8), 8)
        self.assertEqual(cores_per_rank(16, 2), 8)
        machine(1, 2)
        self.assertEqual(cores_per_rank(1, 1), 1)
        self.assertEqual(cores_per_rank(2, 1), 1)
        self.assertEqual(self.launch(RACKPROOF_LAUNCH="mpirun", STUB_MPI="HYDRA build details:"), "mpirun -n 8 -ppn 2")

    FAULTS = ("FAIL\tdevice\tnode1.site\tnode1 cuda:3\tslow by 9 %; \"x\" `y` $(z)\n"
              "FAIL\tnode\tnode1.site\tnode1\tonce is enough\n"
              "INTERMITTENT\tnode\tnode2\tnode2\tattempts disagree\n"
              "SUSPECT\tnode\tnode3\trank 6\tits node's watchdog does not answer\n"
              "INCONCLUSIVE\tnode\tnode4\tnode4\t?\n"
              "FAIL\tlink\tnode5\tnode5 <-> node6\tslow\n"
              "FAIL\tnode\t-x;reboot\tx\tno host\n")

    def drained(self, executed):
        faults = self.folder / "faults"
        faults.write_text(self.FAULTS)
        self.calls_file.write_text("")
        result = self.shared(f'drain_nodes "{faults}" {executed}')
        self.assertEqual(result.returncode, 0, result.stderr)
        return re.findall(r"^drain: scontrol update NodeName=(\S+) State=DRAIN Reason=\"([^\"]*)\"$", result.stdout, re.M)

    def test_nodes_at_fault_are_named_and_drained_on_demand(self):
        told = self.drained("no")
        self.assertEqual([node for node, _ in told], ["node1", "node2", "node3"])
        self.assertEqual(told[0][1], "rackproof verdict=FAIL kind=device part=node1 cuda:3 job=7 why=slow by 9 % x y z")
        self.assertEqual(self.updates(), [])
        self.assertEqual(self.drained("yes"), told)
        self.assertEqual(self.updates(), [f"scontrol update NodeName={node} State=DRAIN Reason={reason}"
                                          for node, reason in told[:2]], "one that is only suspect is left alone")


class Accept(SlurmTestCase):
    def accept(self, *arguments, **more):
        return self.script("accept.sbatch", *arguments, **more)

    def test_limits_are_looked_at_by_the_run_too(self):
        result = self.accept("--limits", "h100-sxm", "--floor", "7.5%", "--launches", 2, "--", "--suite", "gemm")
        self.assertEqual(result.returncode, 0, result.stderr)
        runs = self.calls("srun")
        self.assertEqual(len(runs), 2)
        self.assertRegex(runs[1], r"rackproof run --out \S*/rackproof-accept-7-2\.h5 --force --profile accept --label "
                                  r"slurm_job=7 --limits h100-sxm --suite gemm$")
        (judged,) = self.calls("rackproof")
        self.assertRegex(judged, r"^rackproof accept \S*-7-1\.h5 \S*-7-2\.h5 --limits h100-sxm --floor 7\.5%$")

    def test_what_is_wrong_is_refused_before_anything_runs(self):
        for arguments, words in ((("--floor", "abc"), "--floor: 'abc'"), (("--floor", "0.0%"), "--floor: '0.0%'"),
                                 (("--floor", "50.1%"), "no share"), (("--floor", "5"), "no share"),
                                 (("--limits", "nowhere.toml"), "cannot be read"),
                                 (("--baseline", "no.h5"), "cannot be read"),
                                 (("--limits", "h100-sxm", "--limits", "host"), "--limits is there twice"),
                                 (("--launches", "0"), "from 1 to 99"), (("--suite", "gemm"), "unknown argument")):
            with self.subTest(arguments=arguments):
                result = self.accept(*arguments)
                self.assertEqual((result.returncode, self.calls("srun")), (2, []), result.stderr)
                self.assertIn(words, result.stderr)
        for share in ("50%", "0.5%", "5%", "49.99%"):
            self.assertEqual(self.accept("--floor", share).returncode, 0, share)

    def test_exit_codes(self):
        dead = "node0 idle\nnode2 down*"
        for run, verdict, nodes, code in ((0, 0, "", 0), (0, 3, "", 3), (0, 4, "", 4), (0, 137, "", 1), (0, 139, "", 1),
                                          (0, 127, "", 1), (3, 0, "", 3), (4, 0, "", 4), (2, 0, "", 2), (1, 0, "", 1),
                                          (1, 0, dead, 75), (139, 0, "", 75), (143, 3, "", 75), (75, 0, dead, 75)):
            with self.subTest(run=run, verdict=verdict, nodes=nodes):
                result = self.accept(STUB_RUN=str(run), STUB_VERDICT=str(verdict), STUB_NODES=nodes or "node0 idle")
                self.assertEqual(result.returncode, code, result.stderr)
                self.assertEqual("the run broke off" in result.stderr, code == 75, result.stderr)
                self.assertEqual("there is no verdict" in result.stderr, verdict > 4, result.stderr)

    def test_what_had_finished_is_judged(self):
        result = self.accept(STUB_RUN="75", STUB_PART=".part")
        self.assertEqual(result.returncode, 75, result.stderr)
        self.assertEqual([call.split()[1] for call in self.calls("rackproof")], ["recover", "accept"])

    def test_a_list_of_faults_that_failed_is_no_empty_list(self):
        faults = {"STUB_VERDICT": "3", "STUB_FAULTS": "FAIL\\tnode\\tnode1\\tnode1\\tslow\\n"}
        result = self.accept("--drain", **faults)
        self.assertEqual((result.returncode, len(self.updates())), (3, 1), result.stderr)
        for code in ("1", "139", "0"):
            result = self.accept("--drain", STUB_LISTED=code, **faults)
            self.assertEqual((result.returncode, self.updates()), (1 if code != "0" else 3, []), result.stderr)
            self.assertIn("no node is drained", result.stderr)
        result = self.accept(**faults)
        self.assertEqual((self.updates(), result.stdout.count("drain: ")), ([], 1))

    def drained_by(self, *lines, nodes="node0 idle"):
        result = self.accept("--drain", STUB_RUN="75", STUB_STDERR="\n".join(lines), STUB_NODES=nodes)
        self.assertEqual(result.returncode, 75, result.stderr)
        return (re.findall(r"^drain: scontrol update NodeName=(\S+)", result.stdout, re.M),
                [call.split()[2].partition("=")[2] for call in self.updates()])

    def test_a_hang_names_its_node(self):
        furthest = rank_line(0, "node0", "running (R)").replace("  rank", "  the furthest: rank")
        self.assertEqual(self.drained_by(HANG, rank_line(3, "node1", "stopped (T)"), furthest), (["node1"], ["node1"]))
        self.assertEqual(self.drained_by(HANG, rank_line(3, "node1", "waiting in the kernel (D)"),
                                         "rackproof:   rank 6 on node3: its node's watchdog does not answer", furthest),
                         (["node1", "node3"], ["node1"]))
        # A process may be gone for many reasons, and may wait for others.
        self.assertEqual(self.drained_by(HANG, rank_line(3, "node1", "gone"), rank_line(5, "node2", "sleeping (S)")),
                         (["node1", "node2"], []))
        self.assertEqual(self.drained_by(EQUAL, *(rank_line(i, f"node{i // 2}", "running (R)") for i in range(8))), ([], []))
        # What most of the nodes wait for is none of theirs.
        most = [rank_line(i, f"node{i // 2}", "waiting in the kernel (D)") for i in range(6)]
        self.assertEqual(self.drained_by(HANG, *most), (["node0", "node1", "node2"], []))
        self.assertEqual(self.drained_by("srun: error: node2: task 5: Killed", nodes="node0 idle\nnode2 down*"),
                         (["node2"], []))

    def test_the_log_of_an_earlier_launch_drains_nobody(self):
        self.stub("srun", 'for word; do [[ ${last-} != --out ]] || file=$word; last=$word; done; touch "$file"\n'
                          f'if [[ $file == *-1.h5 ]]; then echo "{rank_line(3, "node1", "stopped (T)")}" >&2; exit 0; fi\n'
                          'exit 75')
        result = self.accept("--launches", 2)
        self.assertEqual((result.returncode, result.stdout), (75, ""), result.stderr)

    def test_a_signal_ends_the_step_in_order(self):
        self.stub("srun", "trap 'exit 75' USR1\nfor ((i = 0; i < 600; ++i)); do /bin/sleep 0.1; done")
        self.stub("sleep", "exec /bin/sleep 5")
        log = self.folder / "job.log"
        with open(log, "w", encoding="utf-8") as stderr:
            process = subprocess.Popen([SLURM / "accept.sbatch"], cwd=self.folder, env=self.environment(), stderr=stderr,
                                       stdout=subprocess.DEVNULL)
        with process:
            deadline = time.monotonic() + 60
            while not self.calls("srun") and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(0.2)
            process.send_signal(signal.SIGUSR1)
            self.assertEqual(process.wait(timeout=60), 75)
        self.assertIn("the run broke off (the wall-time limit is near)", log.read_text())


class EveryScript(SlurmTestCase):
    SCRIPTS = ("accept.sbatch", "compare.sbatch", "nightly.sbatch")

    def test_finds_its_folder_or_says_what_to_set(self):
        spool = self.folder / "spool"
        spool.mkdir()
        for name in self.SCRIPTS:
            with self.subTest(name):
                copy = shutil.copy(SLURM / name, spool / "slurm_script")
                self.stub("scontrol", "exit 1")
                result = self.script(name, path=copy)
                self.assertEqual(result.returncode, 2)
                self.assertIn(f"{name}: there is no {spool}/job.sh; set RACKPROOF_SLURM", result.stderr)
                arguments = ("a",) if name == "compare.sbatch" else ()
                code, words = (2, "two programs are needed") if arguments else (0, "")
                result = self.script(name, *arguments, path=copy, RACKPROOF_SLURM=str(SLURM))
                self.assertEqual(result.returncode, code, result.stderr)
                self.stub("scontrol", f'echo "   Command={SLURM / name} --launches 1"')
                result = self.script(name, *arguments, path=copy)
                self.assertEqual(result.returncode, code, result.stderr)
                self.assertIn(words, result.stderr)

    def test_tells_its_use(self):
        for name in self.SCRIPTS:
            result = self.script(name, "--help", SLURM_JOB_ID=None)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertIn(f"sbatch --nodes 18 {name}", result.stdout)
            self.assertNotIn("SBATCH", result.stdout)
            result = self.script(name, SLURM_JOB_ID=None)
            self.assertEqual(result.returncode, 2)
            self.assertIn("this is a batch script", result.stderr)


class Nightly(SlurmTestCase):
    def nightly(self, *arguments, **more):
        return self.script("nightly.sbatch", *arguments, SLURM_ARRAY_JOB_ID="7", SLURM_ARRAY_TASK_ID="2", **more)

    def requeued(self):
        return [call for call in self.calls("scontrol") if call.startswith("scontrol requeue")]

    def test_goes_back_into_the_queue_where_it_broke_off(self):
        result = self.nightly("--suite", "gemm")
        self.assertEqual((result.returncode, self.requeued()), (0, []), result.stderr)
        self.assertRegex(self.calls("srun")[0],
                         r"run --resume \S*/rackproof-nightly-7_2\.h5 .*--label slurm_job=7_2 --suite gemm$")
        for restarts, limit, again in (("0", None, True), ("2", None, True), ("3", None, False), ("0", "0", False),
                                       ("3", "4", True)):
            with self.subTest(restarts=restarts, limit=limit):
                result = self.nightly(STUB_RUN="75", STUB_PART=".part", SLURM_RESTART_COUNT=restarts,
                                      RACKPROOF_REQUEUES=limit)
                self.assertEqual(result.returncode, 75, result.stderr)
                self.assertEqual(self.requeued(), ["scontrol requeue 7_2"] if again else [])
                self.assertEqual([call.split()[1] for call in self.calls("rackproof")], ["recover"])
                for file in self.folder.glob("*.h5*"):
                    file.unlink()
        self.assertEqual((self.nightly(STUB_RUN="3").returncode, self.requeued()), (3, []))

    def test_a_wrong_number_of_requeues_is_refused_at_the_start(self):
        for number in ("x", "-1", "08", "3 "):
            result = self.nightly(RACKPROOF_REQUEUES=number)
            self.assertEqual((result.returncode, self.calls("srun")), (2, []), number)
            self.assertIn("RACKPROOF_REQUEUES", result.stderr)

    def test_a_hang_names_its_node_and_drains_nobody(self):
        result = self.nightly(STUB_RUN="75", STUB_STDERR=f"{HANG}\n{rank_line(3, 'node1', 'stopped (T)')}")
        self.assertIn("drain: scontrol update NodeName=node1 ", result.stdout)
        self.assertEqual(self.updates(), [])


class Compare(SlurmTestCase):
    def compare(self, *arguments, **more):
        for name in ("a", "b"):
            self.stub(name)
        return self.script("compare.sbatch", self.bin / "a", self.bin / "b", *arguments, **more)

    def test_two_builds_by_turns(self):
        result = self.compare("--launches", 2, "--", "--suite", "gemm", STUB_VERDICT="3")
        self.assertEqual(result.returncode, 3, result.stderr)
        runs = [re.search(r"/(\w) run --out \S*-7-(\S+)\.h5 --force --order (\d) .*build=(\w) --suite gemm$", call).groups()
                for call in self.calls("srun")]
        self.assertEqual(runs, [("a", "a1", "1", "a"), ("b", "b1", "1", "b"), ("b", "b2", "2", "b"), ("a", "a2", "2", "a")])
        self.assertRegex(self.calls("rackproof")[0], r"^rackproof compare \S*a1\.h5 \S*a2\.h5 --to \S*b1\.h5 \S*b2\.h5$")

    def test_exit_codes(self):
        for verdict, code in ((0, 0), (4, 4), (2, 2), (139, 1)):
            self.assertEqual(self.compare("--launches", 1, STUB_VERDICT=str(verdict)).returncode, code)
        result = self.compare(STUB_RUN="139")
        self.assertEqual((result.returncode, len(self.calls("srun")), self.calls("rackproof")), (75, 1, []), result.stderr)
        self.assertEqual(self.script("compare.sbatch", self.bin / "srun", "nowhere").returncode, 2)


class HealthCheck(SlurmTestCase):
    def check(self, *arguments, **more):
        more = {"SLURMD_NODENAME": "node7", "RACKPROOF_RANKS": "1", **more}
        result = self.script("health_check.sh", *arguments, **more)
        self.assertEqual(len(result.stdout.splitlines()), 1, result.stdout + result.stderr)
        self.assertRegex(result.stdout, r"^rackproof_health=(pass|fail|unknown) node=node7 ")
        return result

    def test_wrong_results_errors_and_crashes_fail_a_node(self):
        for code in ("0", "4"):
            result = self.check("--drain", STUB_RUN=code)
            self.assertEqual((result.returncode, self.updates()), (0, []))
            self.assertRegex(result.stdout, rf"=pass .* exit={code}$")
        for code in ("1", "3", "75", "139"):
            result = self.check(STUB_RUN=code)
            self.assertEqual((result.returncode, self.updates()), (1, []))
            self.assertRegex(result.stdout, rf"=fail .* exit={code}\b")
        self.check("--drain", STUB_RUN="3")
        (update,) = self.updates()
        self.assertRegex(update, r"^scontrol update NodeName=node7 State=DRAIN Reason=rackproof_health=fail node=node7 ")

    def test_what_is_not_set_up_fails_nobody(self):
        for more, words in (({"STUB_RUN": "2"}, "refused its arguments"), ({"STUB_RUN": "126"}, "cannot be started"),
                            ({"STUB_RUN": "127"}, "cannot be started"), ({"RACKPROOF_RANKS": "abc"}, "RACKPROOF_RANKS"),
                            ({"RACKPROOF_RANKS": "08"}, "RACKPROOF_RANKS"), ({"RACKPROOF": "/nowhere"}, "no rackproof"),
                            ({"TMPDIR": "/nowhere"}, "no temporary folder")):
            with self.subTest(more):
                result = self.check("--drain", **more)
                self.assertEqual((result.returncode, self.updates()), (0, []), result.stdout)
                self.assertRegex(result.stdout, rf"=unknown .*{words}")
                self.assertIn(words, result.stderr)
        self.assertRegex(self.check("--timeout", "70").stdout, "=unknown .*from 5 to 50")
        self.stub("mpirun", "exit 127")
        self.assertRegex(self.check(RACKPROOF_RANKS="2").stdout, "=unknown .*cannot be started")

    def test_the_reason_is_told(self):
        self.stub("rackproof", 'case $1 in\n  run) echo "rackproof: cuda:3: out of memory" >&2; exit 1 ;;\nesac')
        self.assertIn("why=exit code 1 cuda:3: out of memory", self.check().stdout)
        self.stub("rackproof", 'case $1 in\n  run) exit 3 ;;\n  show) echo "gemm/bf16 FAILED 1" ;;\nesac')
        self.assertIn("why=gemm/bf16:FAILED", self.check().stdout)

    def test_the_job_of_the_prolog_is_not_handed_on_and_ranks_are_started(self):
        self.stub("mpirun", 'env | grep -q ^SLURM && exit 3; shift 3; exec "$@"')
        result = self.check("--", "--suite", "gemm", RACKPROOF_RANKS="4")
        self.assertRegex(result.stdout, "=pass ")
        (run,) = [call for call in self.calls("rackproof") if call.startswith("rackproof run")]
        self.assertRegex(run, r"run --out \S+/health\.h5 --progress never --suite gemm$")

    def test_a_hang_fails_a_node(self):
        self.stub("rackproof", "[[ $1 != run ]] || exec /bin/sleep 1000")
        result = self.check("--timeout", 5)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stdout, "=fail .* exit=124 why=no end within 5 s")

    def test_what_nobody_can_end_is_left_behind(self):
        # As `timeout` does where its child waits in the kernel and cannot be killed.
        self.stub("timeout", 'echo $$ >"$STUB_CALLS.stuck"; exec /bin/sleep 1000')
        try:
            result = self.check("--timeout", 5)
        finally:
            os.kill(int((self.folder / "calls.stuck").read_text()), signal.SIGKILL)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stdout, "=fail .* exit=124 why=no end within 5 s")


if __name__ == "__main__":
    cli.main()
