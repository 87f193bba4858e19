"""The built rackproof on GPUs that are not there: tests/fakes stands in for NVIDIA's libraries. Every suite on one node
and on four, and every fault that a GPU or its software can have."""

import json
import os
import re
import socket
import subprocess
import unittest
from pathlib import Path

import cli

FAKES = Path(os.environ["RACKPROOF_FAKES"])
IS_OPEN_MPI = "mpich" not in cli.MPIEXEC[0]
# Root in a container may lack the right to.
CAN_NAME_HOSTS = subprocess.run(["unshare", "--uts", "hostname", "node1"], capture_output=True, check=False).returncode == 0
# A little of each suite: what is wrong in a case is wrong in a small one too. The copies of the links suite are of more
# than a GPU's cache.
FEW = ("--suite", "allreduce,gemm,links,tokens", "--message-sizes", "8B,64KiB", "--gemm-sizes", "128", "--link-sizes", "8B",
       "--model", "tiny", "--prompt", "16", "--context", "16", "--token-types", "bf16", "--time-budget", "4s",
       "--max-samples", "4", "--benchmark_filter=-^links/(device|host)-")


def fake(gpus="8xH100", faults="", **others):
    """The environment of a node with such GPUs."""
    env = {"LD_LIBRARY_PATH": f"{FAKES}:{os.environ.get('LD_LIBRARY_PATH', '')}", "RACKPROOF_FAKE_GPUS": gpus}
    if faults:
        env["RACKPROOF_FAKE_FAULTS"] = faults
    return {**env, **others}


def identity(index, host=None):
    """UUID and serial of a fake GPU, as tests/fakes/common/fleet.hpp makes them."""
    number = 14695981039346656037
    for byte in (host or socket.gethostname()).encode():
        number = (number ^ byte) * 1099511628211 % 2**64
    digits = (bytes.fromhex("fa4e6770") + number.to_bytes(8, "little") + bytes(3) + bytes([index])).hex()
    uuid = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    return f"GPU-{uuid}", f"165{number % 10**8:08}{index:02}"


class TestCase(cli.TestCase):
    def measure(self, *arguments, ranks=2, env=None, **others):
        return cli.run("run", "--device", "cuda", "--progress", "never", *arguments, "--out", self.folder / "x.h5",
                       ranks=ranks, env=env or fake(), **others)

    def assert_says(self, result, code, *words):
        """The exit code, and one line of ours on stderr that has all the words."""
        self.assertEqual(result.returncode, code, result.stderr + result.stdout)
        lines = [line for line in cli.our_lines(result.stderr)
                 if all(re.search(word, line) for word in words)]
        self.assertEqual(len(lines), 1, f"{words} in one line of\n{result.stderr}{result.stdout}")

    def statuses(self):
        """{case: status} of the file."""
        import h5py
        found = {}
        with h5py.File(self.folder / "x.h5") as file:
            for suite in file["suites"].values():
                status = suite["status"]
                names = dict(zip(status.attrs["flag_values"], status.attrs["flag_meanings"].split()))
                found.update((name, names[code]) for name, code in zip(suite["case"].asstr(), status[...]))
        return found

    def finished_cases(self):
        """Of the file that a run left behind: what it had measured before it ended."""
        part = self.folder / "x.h5.part"
        self.assertTrue(part.exists(), list(self.folder.iterdir()))
        recovered = cli.run("recover", part, "--force")
        self.assertEqual(recovered.returncode, 0, recovered.stderr)
        return [name for name, status in self.statuses().items() if status == "passed"]


    def measure_on(self, hosts, ranks_a_host, *arguments, **variables):
        """On this machine, under several names."""
        env = {**fake(gpus=f"{ranks_a_host}xGB200"), **variables}
        exports = [part for name in (*env, "OMP_NUM_THREADS") for part in ("-x", name)]
        places = ",".join(f"{host}:{ranks_a_host}" for host in hosts)
        # Ranks of the same machine must not spin, which MPI does not know here.
        command = [*cli.MPIEXEC, "--mca", "plm_rsh_agent", str(Path(__file__).parent / "agent.sh"), "--mca",
                   "mpi_yield_when_idle", "1", *exports, "--host", places, "-n", str(ranks_a_host * len(hosts)),
                   str(cli.RACKPROOF), "run", "--device", "cuda", *arguments, "--out", str(self.folder / "x.h5")]
        return subprocess.run(command, env=cli.environment(env), capture_output=True, text=True, timeout=300,
                              errors="replace", check=False)


class EverySuite(TestCase):
    def check(self, result, ranks, hosts):
        import h5py
        self.assertEqual(result.returncode, 0, result.stderr + result.stdout)
        found = self.statuses()
        self.assertEqual(set(found.values()), {"passed", "skipped"}, result.stdout)
        for suite in ("allreduce", "gemm", "links", "tokens"):
            self.assertIn("passed", [status for name, status in found.items() if name.startswith(suite)], result.stdout)
        identities = [identity(rank % (ranks // len(hosts)), hosts[rank // (ranks // len(hosts))])
                      for rank in range(ranks)]
        with h5py.File(self.folder / "x.h5") as file:
            self.assertEqual(file.attrs["device_fake"], 1)
            self.assertEqual(list(file["serial"].asstr()), [serial for _, serial in identities])
            self.assertEqual(list(file["hostname"].asstr()), [hosts[r // (ranks // len(hosts))] for r in range(ranks)])
            devices = json.loads(file["provenance/devices"].asstr()[()])
            self.assertEqual([device["uuid"] for device in devices], [uuid for uuid, _ in identities])
            configuration = json.loads(file["provenance/configuration"].asstr()[()])
            self.assertIn("NCCL", configuration["collective"])
            self.assertTrue((file["telemetry/power"][:, 0] > 0).all())

    def test_eight_gpus_of_one_host_and_auto_takes_them(self):
        result = cli.run("run", *FEW, "--out", self.folder / "x.h5", ranks=8, env=fake())
        self.check(result, 8, [socket.gethostname()])
        self.assertIn("8 x NVIDIA H100 80GB HBM3 [fake]", result.stdout)

    def test_every_collective_and_type_by_nccl_and_by_mpi(self):
        import h5py
        few = ("--suite", "allreduce", "--message-sizes", "1KiB", "--time-budget", "4s", "--max-samples", "3",
               "--collective-backends", "nccl,mpi")
        types = "f64,f32,f16,bf16,f8e4m3,f8e5m2,i64,u64,i32,u32,i8,u8"
        operations = "reduce-scatter,all-gather,all-to-all,broadcast,reduce,send-recv"
        for more in (("--message-types", types), ("--message-types", "bf16", "--collectives", operations)):
            with self.subTest(more=more):
                result = self.measure(*few, *more, "--force")
                self.assertEqual(result.returncode, 0, result.stderr + result.stdout)
                found = self.statuses()
                self.assertLessEqual(set(found.values()), {"passed", "skipped"}, result.stdout)
                passed = [name for name, status in found.items() if status == "passed"]
                self.assertGreaterEqual(len(passed), 2 * more[-1].count(",") - 2, result.stdout)
                with h5py.File(self.folder / "x.h5") as file:
                    suite = file["suites/allreduce"]
                    texts = dict(zip(suite["case"].asstr(), (row.tobytes().decode() for row in suite["implementation"][...])))
                by_nccl = [texts[name] for name in passed if not name.endswith("/mpi") and "send-recv" not in name]
                self.assertTrue(any("RING" in text for text in by_nccl), by_nccl)

    def test_copies_between_host_and_gpu(self):
        result = self.measure("--suite", "links", "--benchmark_filter=^links/(device|host)-", "--time-budget", "2s",
                              "--max-samples", "3", ranks=1)
        self.assertEqual(result.returncode, 0, result.stderr + result.stdout)
        self.assertEqual(list(self.statuses().values()), ["passed"] * 5, result.stdout)

    @unittest.skipUnless(IS_OPEN_MPI and CAN_NAME_HOSTS, "needs Open MPI's mpirun, and root to name hosts")
    def test_two_gpus_on_each_of_four_hosts(self):
        hosts = ["node0", "node1", "node2", "node3"]
        result = self.measure_on(hosts, 2, *FEW)
        self.check(result, 8, hosts)
        self.assertRegex(result.stdout, r"4 nodes \(node0, node1, node2, node3\)")
        self.assertRegex(result.stdout, r"8 B one-way: (?!not judged: too few)")


class Refused(TestCase):
    """Before anything is measured: exit code 2, and what to do."""

    def test_no_driver_no_device_and_too_few(self):
        host = re.escape(socket.gethostname())
        share = ("ranks 0 and 1 on", f"share the device {identity(0)[0]}", "mpirun -N")
        gpu = f"host {host}.*cuda:0 {identity(0)[0]} serial {identity(0)[1]}"
        for env, ranks, code, words in (
                (fake("none"), 1, 2, ("no NVIDIA driver is loaded", f"host {host}")),
                (fake("0"), 1, 2, ("no GPU is visible", f"host {host}")),
                (fake("1xH100"), 2, 2, share),
                (fake(RACKPROOF_FAKE_DRIVER="11.4"), 1, 2, ("driver is for CUDA 11.4, older than the CUDA", f"host {host}")),
                (fake("1xV100"), 1, 2, ("compute capability 7.0", "needs 8.0 or later", f"host {host}")),
                (fake(faults="no_kernel_image"), 1, 2, ("build has code for the architectures", "9.0", gpu)),
                (fake(faults="system_not_ready"), 1, 75, ("nvidia-fabricmanager", f"host {host}"))):
            with self.subTest(words=words):
                result = self.measure("--suite", "gemm", "--gemm-types", "f64", "--gemm-sizes", "128", ranks=ranks, env=env)
                self.assert_says(result, code, *words)
                self.assertEqual(list(self.folder.iterdir()), [])

    def test_two_ranks_on_one_gpu(self):
        result = self.measure("--suite", "gemm", "--gemm-types", "f64", "--gemm-sizes", "128", ranks=2,
                              env={**fake("2xH100"), "CUDA_VISIBLE_DEVICES": "1"})
        self.assert_says(result, 2, "ranks 0 and 1 on", f"share the device {identity(1)[0]}", "CUDA_VISIBLE_DEVICES")

    def test_ranks_that_see_some_gpus_each_take_one_of_theirs(self):
        """As srun --gpus-per-task=2 has it."""
        starts = []
        for rank in range(3):
            starts.append(self.folder / f"start-{rank}.sh")
            starts[-1].write_text(f'#!/bin/sh\nCUDA_VISIBLE_DEVICES={2 * rank},{2 * rank + 1} exec "{cli.RACKPROOF}" "$@"\n')
            starts[-1].chmod(0o755)
        result = cli.run("run", "--device", "cuda", "--suite", "gemm", "--gemm-types", "f64", "--gemm-sizes", "128",
                         "--time-budget", "1s", "--max-samples", "3", "--out", self.folder / "x.h5", binaries=starts,
                         env=fake(), timeout=60)
        self.assertEqual(result.returncode, 0, result.stderr + result.stdout)
        import h5py
        with h5py.File(self.folder / "x.h5") as file:
            self.assertEqual(list(file["serial"].asstr()), [identity(gpu)[1] for gpu in (0, 3, 4)])

    def test_a_node_that_misses_its_gpus_is_not_measured_by_its_cores(self):
        starts = []
        for gpus in ("2xH100", "0"):
            starts.append(self.folder / f"start-{gpus}.sh")
            starts[-1].write_text(f'#!/bin/sh\nRACKPROOF_FAKE_GPUS={gpus} exec "{cli.RACKPROOF}" "$@"\n')
            starts[-1].chmod(0o755)
        for binaries, first, other in ((starts, "cuda", "host"), (starts[::-1], "host", "cuda")):
            with self.subTest(first=first):
                result = cli.run("run", "--suite", "gemm", "--gemm-types", "f64", "--gemm-sizes", "128", "--out",
                                 self.folder / "x.h5", binaries=binaries, env=fake(), timeout=60)
                self.assert_says(result, 2, "--device auto", rf"than rank 0 \({first}\): rank 1 on .* has {other}")

    def test_auto_takes_the_host_where_there_is_no_gpu(self):
        result = cli.run("run", "--suite", "gemm", "--gemm-types", "f64", "--gemm-sizes", "128", "--time-budget",
                         "1s", "--out", self.folder / "x.h5", env=fake("none"))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertNotIn("[fake]", result.stdout)

    def test_type_that_the_chip_lacks_is_skipped(self):
        result = self.measure("--gemm-types", "f32,f8,nvf4", "--gemm-sizes", "128", "--suite", "gemm", "--time-budget",
                              "2s", "--max-samples", "5", ranks=1, env=fake("1xA100"))
        self.assertEqual(result.returncode, 0, result.stderr + result.stdout)
        found = self.statuses()
        for name, status in found.items():
            self.assertEqual(status, "passed" if name.startswith("gemm/f32") else "skipped", result.stdout)
        self.assertEqual({name.split("/")[1] for name in found}, {"f32", "f8", "nvf4"})
        self.assertEqual(result.stdout.count("needs a GPU of compute capability"), 2)


class Told(TestCase):
    """Without measuring."""

    def test_list_for_gpus_needs_none(self):
        listed = cli.run("list", "--device", "cuda", "--ranks", "2", env=fake("none"))
        self.assertEqual((listed.returncode, listed.stderr), (0, ""))
        for name in ("gemm/nvf4/", "gemm/f16/m8192n8192k8192", "links/device-to-host", "allreduce/f32/"):
            self.assertIn(name, listed.stdout)
        names = re.findall(r"^  (\S+/\S+)", listed.stdout, re.MULTILINE)
        run = self.measure("--benchmark_list_tests")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(run.stdout.split(), names)
        host = cli.run("list", "--device", "host", "--ranks", "2", env=fake())
        self.assertNotIn("gemm/nvf4/", host.stdout)
        auto = cli.run("list", "--ranks", "2", env=fake())
        self.assertEqual(auto.stdout, listed.stdout)

    def test_list_refuses_what_run_would(self):
        for option, words in (("--collective-backends", ("'nonsense'", "nccl, mpi")), ("--device", ("'nonsense'", "auto"))):
            with self.subTest(option=option):
                arguments = ("--device", "cuda") if option != "--device" else ()
                self.assert_refused(cli.run("list", *arguments, option, "nonsense", env=fake()), 2, option, *words)
        self.assert_refused(cli.run("list", "--device", "host", "--collective-backends", "nccl"), 2, "nccl", "known are mpi")

    def test_info_names_the_gpus(self):
        result = cli.run("info", env=fake("2xGB200"))
        self.assertEqual(result.returncode, 0, result.stderr)
        said = " ".join(result.stdout.split())
        for gpu in (0, 1):
            uuid, serial = identity(gpu)
            self.assertRegex(said, rf"cuda:{gpu} NVIDIA GB200 \[fake\], compute capability 10.0, 1 GiB, {uuid}, serial "
                                   rf"{serial}, PCI 0000:{0x18 + 8 * gpu:02x}:00.0, ECC on, driver \S+, CUDA 1")
        devices = json.loads(cli.run("info", "--json", env=fake("2xGB200")).stdout)["devices"]
        self.assertEqual([device["uuid"] for device in devices], [identity(gpu)[0] for gpu in (0, 1)])

    def test_info_tells_why_gpus_cannot_be_used_and_is_quiet_where_there_is_none(self):
        result = cli.run("info", env=fake(RACKPROOF_FAKE_DRIVER="11.4"))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("older than the CUDA", " ".join(result.stdout.split()))
        self.assertNotIn("\ndevices\n", cli.run("info", env=fake("none")).stdout)


class Faults(TestCase):
    """While it runs. Each names host, rank, UUID and serial of the part, and keeps what was finished."""

    SUMS = ("--suite", "allreduce", "--message-types", "f32", "--message-sizes", "8B,1KiB,64KiB", "--order", "listed")
    PRODUCTS = ("--suite", "gemm", "--gemm-types", "f32", "--gemm-sizes", "128", "--order", "listed")
    LONG = ("--max-samples", "60", "--precision", "0.01%", "--time-budget", "60s")

    def part_of(self, rank):
        uuid, serial = identity(rank)
        return (f"rank {rank}\\b", re.escape(socket.gethostname()), uuid, serial)

    def assert_blames(self, result, rank):
        """The table, whose messages are broken into lines, says that a case failed and where."""
        uuid, serial = identity(rank)
        self.assertRegex(" ".join(result.stdout.split()),
                         f"FAILED .* rank {rank} on {re.escape(socket.gethostname())} \\(cuda:{rank}, {uuid}, serial {serial}\\)")

    def test_gpu_that_dies_in_the_middle(self):
        import h5py
        for fault, words in (("ecc@call=1000@rank=1", ("uncorrectable", "drain the node")),
                             ("fallen_off_the_bus@call=1000@rank=1", ("lost the GPU", "off the bus"))):
            with self.subTest(fault=fault):
                result = self.measure(*self.SUMS, *self.LONG, "--force", env=fake("2xH100", fault))
                self.assert_says(result, 75, *words, *self.part_of(1))
                self.assertGreaterEqual(len(self.finished_cases()), 1)
                with h5py.File(self.folder / "x.h5") as file:  # what was felt until then is kept
                    self.assertTrue((file["telemetry/power"][:, 0] > 0).all())

    def test_gpu_that_dies_wherever_it_is_leaves_nobody_waiting_in_mpi(self):
        # While a case is made, measured and checked.
        for call in (150, 170, 190, 400):
            with self.subTest(call=call):
                result = self.measure(*self.SUMS, *self.LONG, "--collective-backends", "mpi", "--force",
                                      env=fake("2xH100", f"ecc@call={call}@rank=1"), timeout=60)
                self.assert_says(result, 75, "uncorrectable", *self.part_of(1))

    def test_tuned_product_that_finds_no_memory_on_one_rank_leaves_nobody_waiting(self):
        result = self.measure("--suite", "gemm", "--gemm-types", "f32", "--gemm-sizes", "128,64", "--gemm-algorithms", "tuned",
                              "--order", "listed", "--collective-backends", "mpi", "--max-samples", "5", "--time-budget", "5s",
                              env=fake("2xH100", "out_of_memory@malloc=4@rank=1"), timeout=60)
        self.assertEqual(result.returncode, 75, result.stderr + result.stdout)
        self.assertEqual(sorted(self.statuses().values()), ["error", "passed", "passed", "passed"], result.stdout)

    def test_work_that_hangs_is_given_up_whoever_does_the_collectives(self):
        few = ("--hang-timeout", "2s", "--force")
        tokens = ("--suite", "tokens", "--model", "tiny", "--prompt", "16", "--context", "16", "--token-types", "bf16")
        for arguments, fault in (((*self.PRODUCTS, *self.LONG), "hang@gemm=60@rank=1"),
                                 ((*self.PRODUCTS, *self.LONG, "--collective-backends", "mpi"), "hang@gemm=60@rank=1"),
                                 ((*tokens, "--collective-backends", "mpi"), "hang@kernel=300@rank=1")):
            with self.subTest(arguments=arguments):
                result = self.measure(*arguments, *few, env=fake("2xH100", fault), timeout=60)
                self.assert_says(result, 75, "the GPU was not done after 2", "--hang-timeout", *self.part_of(1))

    def test_split_that_hangs_is_given_up(self):
        result = self.measure("--suite", "tokens", "--model", "tiny", "--prompt", "16", "--context", "16", "--token-types", "bf16",
                              "--hang-timeout", "2s", env=fake("2xH100", "hang@split=1@rank=1"), timeout=60)
        self.assert_says(result, 75, "NCCL did not connect the ranks within 2.00 s", re.escape(socket.gethostname()))

    def test_memory_that_is_not_there(self):
        result = self.measure(*self.PRODUCTS, *self.LONG, env=fake("2xH100", "out_of_memory@malloc=9@rank=1"))
        self.assertEqual(result.returncode, 75, result.stderr + result.stdout)
        said = " ".join(result.stdout.split())
        uuid, serial = identity(1)
        self.assertRegex(said, f"ERROR .* of the GPU's memory were asked for, .* are free; .*"
                         f"host {re.escape(socket.gethostname())}, rank 1, device cuda:1 {uuid} serial {serial}")
        self.assertIn("passed", self.statuses().values())

    def test_collective_that_hangs_is_ended_and_told(self):
        # So many cases that it comes for certain, and so late that one is done however long its warm-up takes.
        sums = [*self.SUMS[:5], "8B,64B,1KiB,4KiB,16KiB,64KiB", *self.SUMS[6:]]
        result = self.measure(*sums, *self.LONG, "--hang-timeout", "2s",
                              env=fake("2xH100", "hang@all_reduce=300@rank=1"))
        self.assert_says(result, 75, "all_reduce of", "number", re.escape(socket.gethostname()))
        self.assertGreaterEqual(len(self.finished_cases()), 1)

    def test_frozen_rank_is_named_and_not_those_who_wait_for_it_elsewhere(self):
        sums = [*self.SUMS[:5], "8B,64B,1KiB,4KiB,16KiB,64KiB", *self.SUMS[6:]]
        result = self.measure(*sums, *self.LONG, "--hang-timeout", "2s", ranks=4,
                              env=fake("4xH100", "freeze@all_reduce=300@rank=1"), timeout=60)
        self.assert_says(result, 75, "the run hangs", "1 of 4 ranks behind")
        self.assert_says(result, 75, *self.part_of(1), r"stopped \(T\)", "allreduce/f32/")
        self.assertGreaterEqual(len(self.finished_cases()), 1)

    def test_wrong_sum_names_the_rank(self):
        result = self.measure(*self.SUMS, "--max-samples", "5", "--time-budget", "5s",
                              env=fake("2xH100", "wrong_sum@rank=1"))
        self.assertEqual(result.returncode, 3, result.stderr + result.stdout)
        self.assert_blames(result, 1)
        self.assertNotIn("rank 0 on", result.stdout)

    def test_flipped_bit_names_the_gpu(self):
        for fault, words in (("bit_flip@gemm=5@rank=1", "of C is wrong"),
                             ("bit_flip_once@gemm=5@rank=1", "1 of [0-9]+ products of one input had other bits")):
            with self.subTest(fault=fault):
                result = self.measure(*self.PRODUCTS, "--max-samples", "40", "--time-budget", "5s", "--force",
                                      env=fake("2xH100", fault))
                self.assertEqual(result.returncode, 3, result.stderr + result.stdout)
                self.assert_blames(result, 1)
                self.assertRegex(" ".join(result.stdout.split()), words)

    def test_throttled_gpu_is_told_with_the_reason(self):
        import h5py
        result = self.measure(*self.PRODUCTS, "--max-samples", "5", "--time-budget", "5s",
                              env=fake("2xH100", "throttle=1:power"))
        self.assertEqual(result.returncode, 0, result.stderr + result.stdout)
        with h5py.File(self.folder / "x.h5") as file:
            throttle = file["telemetry/throttle"]
            names = throttle.attrs["flag_meanings"].split()
            masks = dict(zip(names, throttle.attrs["flag_masks"]))
            self.assertTrue((throttle[1, 0] & masks["power_cap"]) != 0)
            self.assertEqual(throttle[0, 0], 0)
            self.assertLess(file["telemetry/clock"][1, 0], file["telemetry/clock"][0, 0])

    def test_memory_row_that_could_not_be_replaced_fails_the_gpu_whenever_that_was(self):
        result = self.measure(*self.PRODUCTS, "--max-samples", "5", "--time-budget", "2s",
                              env=fake("2xH100", "row_remap=1:failed"))
        self.assertEqual(result.returncode, 0, result.stderr + result.stdout)
        row = [line for line in result.stdout.splitlines() if re.match(r" +1  .*cuda:1", line)]
        self.assertRegex("".join(row), r"row_remap_failed \(replace it\)")
        verdict = cli.run("accept", self.folder / "x.h5", "--allow-fake")
        self.assertEqual(verdict.returncode, 3, verdict.stderr + verdict.stdout)
        self.assertRegex(" ".join(verdict.stdout.split()), r"FAIL device .*cuda:1 .*row_remap_failed \(replace it\)")

    def test_slow_gpu_shows_in_its_own_times(self):
        import h5py
        result = self.measure(*self.PRODUCTS, "--max-samples", "10", "--time-budget", "20s",
                              env=fake("2xH100", "slow_rank=1:0.05"))
        self.assertEqual(result.returncode, 0, result.stderr + result.stdout)
        with h5py.File(self.folder / "x.h5") as file:
            medians = [sorted(file["suites/gemm/time"][0, rank, :5])[2] for rank in (0, 1)]
        self.assertGreater(medians[1], 3 * medians[0])

    @unittest.skipUnless(IS_OPEN_MPI and CAN_NAME_HOSTS, "needs Open MPI's mpirun, and root to name hosts")
    def test_slow_and_throttled_gpu_among_its_peers_is_named_by_accept(self):
        hosts = ["node0", "node1", "node2"]
        result = self.measure_on(hosts, 2, *self.PRODUCTS, "--max-samples", "30", "--time-budget", "4s",
                                 RACKPROOF_FAKE_TIMES="1",
                                 RACKPROOF_FAKE_FAULTS="slow_rank=3:0.6,throttle=3:power,row_remap=2:pending")
        self.assertEqual(result.returncode, 0, result.stderr + result.stdout)
        verdict = cli.run("accept", self.folder / "x.h5", "--allow-fake")
        self.assertEqual(verdict.returncode, 3, verdict.stderr + verdict.stdout)
        said = " ".join(verdict.stdout.split())
        uuid, serial = identity(1, "node1")
        self.assertRegex(said, rf"FAIL device node1 cuda:1 NVIDIA GB200 \[fake\], serial {serial}, uuid {uuid}")
        self.assertRegex(said, r"takes 6[4-9]\.\d % longer than the median of 6 devices")
        self.assertIn("clocks of 1 device were held back; the first is node1 cuda:1: power_cap 100 %", said)
        self.assertIn("1 device told of errors; the first is node1 cuda:0: row_remap_pending (reset it)", said)
        self.assertIn("6 devices: 1 FAIL, 5 PASS", said)

    @unittest.skipUnless(IS_OPEN_MPI, "needs a launcher that can let the others live")
    def test_killed_peer_is_noticed_by_the_others(self):
        """mpirun would end them all at once: told not to, it leaves it to NCCL."""
        command = [*cli.MPIEXEC, "--enable-recovery", "-n", "2", "sh", "-c", '"$@"; echo "ended with $?"', "sh",
                   str(cli.RACKPROOF), "run", "--device", "cuda", *self.SUMS,
                   *self.LONG, "--out", str(self.folder / "x.h5")]
        result = subprocess.run(command, env=cli.environment(fake("2xH100", "die@all_reduce=150@rank=1")),
                                capture_output=True, text=True, timeout=100, errors="replace", check=False)
        self.assert_says(result, 0, "all_reduce of", "remote process exited", *self.part_of(0))
        self.assert_says(result, 0, *self.part_of(1), "gone", "allreduce/f32/")
        self.assertIn("ended with 75", result.stdout)
        self.assertIn("ended with 137", result.stdout)
        self.assertGreaterEqual(len(self.finished_cases()), 1)


if __name__ == "__main__":
    cli.main()
