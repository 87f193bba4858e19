"""Bad input: one line on stderr that says what, where and what to do; the exit code; nothing left behind."""

import json
import os
import subprocess

import cli
from cli import run

QUICK = ("--benchmark_filter=allreduce/f32/8B/out-of-place", "--time-budget", "2s")


class Arguments(cli.TestCase):
    def refuse(self, arguments, *words, code=2, ranks=None, **more):
        result = run(*arguments, ranks=ranks, cwd=self.folder, **more)
        self.assert_refused(result, code, *words)
        self.assertEqual([p.name for p in self.folder.iterdir() if ".h5" in p.name], [])

    def test_unknown_start_or_order(self):
        self.refuse(["run", "--start", "now"], "--start", "'now'", "barrier")
        self.refuse(["run", "--order", "-3"], "--order", "-3")
        self.refuse(["run", "--order", "random"], "--order", "random")

    def test_late_ranks_need_a_window(self):
        self.refuse(["run", "--suite", "allreduce", "--message-sizes", "8B", "--arrivals", "linear", "--start", "barrier",
                     "--time-budget", "2s"], "--start barrier", "--arrivals", ranks=2)

    def test_normals_are_no_whole_numbers(self):
        self.refuse(["list", "--suite", "allreduce", "--inputs", "normals", "--message-types", "i32,i8"], "--inputs normals",
                    "--message-types")

    def test_more_threads_than_openmp_allows(self):
        self.refuse(["run", "--threads", "2"], "--threads 2", "OMP_THREAD_LIMIT", env={"OMP_THREAD_LIMIT": "1"})

    def test_no_command(self):
        self.refuse([], "--help")

    def test_unknown_command(self):
        self.refuse(["measure"], "--help")

    def test_unknown_option(self):
        self.refuse(["run", "--fast"], "--fast", "run --help")

    def test_unknown_suite(self):
        self.refuse(["run", "--suite", "gemm,gem"], "'gem'", "gemm, links, tokens")

    def test_suite_named_twice(self):
        self.refuse(["run", "--suite", "gemm,gemm"], "twice")

    def test_unknown_suite_under_mpirun_is_said_once(self):
        self.refuse(["run", "--suite", "gem"], "'gem'", ranks=3)

    def test_filter_without_match(self):
        self.refuse(["run", "--benchmark_filter=nothing_like_this"], "no case matches", "rackproof list")

    def test_filter_without_match_under_mpirun(self):
        self.refuse(["run", "--benchmark_filter=nothing_like_this"], "no case matches", ranks=2)

    def test_filter_that_does_not_compile(self):
        self.refuse(["list", "--benchmark_filter=gemm["], "regular expression")

    def test_unknown_benchmark_flag(self):
        self.refuse(["run", "--benchmark_fitler=x"], "--benchmark_fitler")

    def test_flags_that_each_process_would_read_for_itself(self):
        for flag in ("--benchmark_enable_random_interleaving=true", "--benchmark_min_time=1",
                     "--benchmark_min_warmup_time=1"):
            self.refuse(["run", flag], flag.split("=")[0])

    def test_benchmark_flags_belong_to_run(self):
        self.refuse(["show", "x.h5", "--benchmark_filter=x"], "rackproof run")

    def test_repetitions_out_of_range(self):
        self.refuse(["run", "--benchmark_repetitions=0"], "--benchmark_repetitions")

    def test_unknown_type(self):
        self.refuse(["run", "--gemm-types", "f32,f31"], "f31", "bf16")
        self.refuse(["run", "--gemm-algorithms", "fastest"], "fastest", "tuned")
        self.refuse(["list", "--token-types", "i8"], "i8")

    def test_unknown_profile_device_and_buffers(self):
        self.refuse(["run", "--profile", "fast"], "--profile", "quick, accept")
        self.refuse(["run", "--device", "tpu"], "--device", "host")
        self.refuse(["run", "--buffers", "warm"], "--buffers")
        self.refuse(["run", "--progress", "loud"], "--progress")

    def test_quantities_without_unit(self):
        self.refuse(["run", "--time-budget", "90"], "--time-budget", "90s")
        self.refuse(["run", "--time-budget", "0s"], "--time-budget")
        self.refuse(["run", "--precision", "1"], "--precision", "1%")
        self.refuse(["run", "--max-message-size", "64"], "--max-message-size", "64MiB")
        self.refuse(["run", "--max-samples", "1"], "--max-samples")

    def test_label_without_equals(self):
        self.refuse(["run", "--label", "integrator"], "--label", "KEY=VALUE")
        self.refuse(["run", "--label", "=x"], "--label")
        self.refuse(["run", "--label", "a=1", "--label", "a=2"], "twice")
        self.refuse(["run", "--label", "a=\x1b[31m"], "control")

    def test_flags_of_the_library_with_bad_values(self):
        for flag in ("--benchmark_time_unit=zz", "--benchmark_color=zz", "--benchmark_context=foo",
                     "--benchmark_report_aggregates_only=zz", "--benchmark_format=xml", "--benchmark_out=x.h5"):
            self.refuse(["run", *QUICK, flag], flag.split("=")[0])

    def test_flags_of_the_library_in_the_environment(self):
        for name in ("BENCHMARK_LIST_TESTS", "BENCHMARK_REPETITIONS", "BENCHMARK_FORMAT"):
            self.refuse(["run", *QUICK], name, ranks=2, env={name: "2"})

    def test_seed_that_is_no_seed(self):
        for seed in ("-1", "99999999999999999999999", "x", ""):
            self.refuse(["run", "--seed", seed], "--seed")

    def test_empty_name_of_the_result_file(self):
        self.refuse(["run", "--out", ""], "--out")

    def test_collectives_that_make_no_sense(self):
        for option, value, *words in (("--collectives", "gather", "'gather'", "all-gather"),
                                      ("--reductions", "avg", "'avg'", "prod"),
                                      ("--message-types", "f15", "'f15'", "bf16"),
                                      ("--message-types", "f4e2m1", "f4e2m1", "f8e4m3"),
                                      ("--message-sizes", "1MiB,3B", "'3B'"), ("--groups", "every-0", "every-N"),
                                      ("--groups", "tp", "--tp N"), ("--arrivals", "never", "one-late"),
                                      ("--arrival-spread", "1ms", "--arrivals"), ("--inputs", "zeros", "normals")):
            with self.subTest(option=option, value=value):
                self.refuse(["list", "--suite", "allreduce", option, value], option, *words)
        self.refuse(["run", "--suite", "allreduce", "--collectives", "broadcast", "--reductions", "max"], "--reductions",
                    ranks=2)
        self.refuse(["list", "--suite", "allreduce", "--collectives", "broadcast", "--inputs", "normals"], "--inputs")
        self.refuse(["list", "--suite", "allreduce", "--message-sizes", "model", "--model", "llama-9"], "llama-9")

    def test_model_file_that_is_a_pipe(self):
        os.mkfifo(self.folder / "pipe.toml")
        self.refuse(["list", "--suite", "tokens", "--model", self.folder / "pipe.toml"], "pipe.toml")

    def test_unknown_model(self):
        self.refuse(["run", "--suite", "tokens", "--model", "llama-9"], "llama-9", "llama-100m")

    def test_tensor_parallel_degree_that_does_not_divide(self):
        self.refuse(["run", "--suite", "tokens", "--model", "llama-100m", "--tp", "3"], "3", ranks=3)
        self.refuse(["run", "--suite", "tokens", "--model", "llama-100m", "--tp", "2"], "--tp", ranks=3)

    def test_model_that_does_not_fit(self):
        result = run("run", "--suite", "tokens", "--model", "llama-3.1-405b", cwd=self.folder)
        self.assert_refused(result, 2, "llama-3.1-405b", "GiB")


class Files(cli.TestCase):
    def test_out_folder_missing(self):
        result = run("run", *QUICK, "--out", self.folder / "none" / "x.h5", ranks=2)
        self.assert_refused(result, 2, "none")

    def test_out_is_a_folder(self):
        (self.folder / "x.h5").mkdir()
        result = run("run", *QUICK, "--out", self.folder / "x.h5", ranks=2)
        self.assert_refused(result, 2, "x.h5")

    def test_out_folder_not_writable(self):
        # Root may write anywhere but into /proc.
        result = run("run", *QUICK, "--out", "/proc/x.h5", ranks=2)
        self.assert_refused(result, 2, "/proc")

    def test_benchmark_out_not_writable(self):
        result = run("run", *QUICK, "--benchmark_out=/proc/x.json", "--out", self.folder / "x.h5", ranks=2)
        self.assert_refused(result, 2, "--benchmark_out")
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_existing_file_is_kept_unless_forced(self):
        out = self.folder / "x.h5"
        out.write_text("precious")
        result = run("run", *QUICK, "--out", out, ranks=2)
        self.assert_refused(result, 2, "x.h5", "--force")
        self.assertEqual(out.read_text(), "precious")
        self.assertEqual([p.name for p in self.folder.iterdir()], ["x.h5"])
        result = run("run", *QUICK, "--out", out, "--force", ranks=2)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(run("show", out).returncode, 0)

    def test_show_and_recover_on_what_is_no_result(self):
        files = {"empty.h5": b"", "text.h5": b"hello\n" * 1000, "garbage.h5": os.urandom(4096),
                 "signature.h5": b"\x89HDF\r\n\x1a\n" + os.urandom(2000)}
        for name, content in files.items():
            (self.folder / name).write_bytes(content)
        (self.folder / "folder.h5").mkdir()
        for name in [*files, "missing.h5", "folder.h5"]:
            for command in ("show", "recover"):
                extra = ["--out", self.folder / "new.h5"] if command == "recover" else []
                with self.subTest(file=name, command=command):
                    self.assert_refused(run(command, self.folder / name, *extra), 2, name)
        self.assertFalse((self.folder / "new.h5").exists())

    def test_show_with_a_bad_expression_or_without_match(self):
        out = self.folder / "x.h5"
        self.assertEqual(run("run", *QUICK, "--out", out, ranks=2).returncode, 0)
        self.assert_refused(run("show", out, "--case", "["), 2, "regular expression")
        self.assert_refused(run("show", out, "--case", "zzz"), 2, "zzz")

    def test_show_on_a_truncated_file(self):
        out = self.folder / "x.h5"
        self.assertEqual(run("run", *QUICK, "--out", out, ranks=2).returncode, 0)
        content = out.read_bytes()
        for share in (0.01, 0.1, 0.5, 0.9, 0.999):
            cut = self.folder / "cut.h5"
            cut.write_bytes(content[: int(len(content) * share)])
            with self.subTest(share=share):
                self.assert_refused(run("show", cut), 2, "cut.h5")


class World(cli.TestCase):
    def test_singletons_started_by_mistake(self):
        result = run("run", *QUICK, cwd=self.folder, env={"SLURM_NTASKS": "4", "SLURM_STEP_ID": "0"})
        self.assert_refused(result, 2, "4 tasks", "srun --mpi=pmix")
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_mpirun_in_an_allocation_has_daemons_as_slurms_tasks(self):
        result = run("run", *QUICK, cwd=self.folder, ranks=2, env={"SLURM_NTASKS": "3", "SLURM_STEP_ID": "0"})
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_ranks_with_different_arguments(self):
        command = [*cli.MPIEXEC, "-n", "1", str(cli.RACKPROOF), "run", *QUICK, ":", "-n", "1", str(cli.RACKPROOF), "run",
                   *QUICK, "--seed", "2"]
        result = subprocess.run(command, cwd=self.folder, env=cli.environment(), capture_output=True, text=True,
                                timeout=60, check=False)
        self.assert_refused(result, 2, "rank 1", "other arguments")
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_ranks_with_different_binaries(self):
        # The same program but for its build id.
        build_id = bytes.fromhex(json.loads(run("info", "--json").stdout)["process"]["build_id"])
        content = cli.RACKPROOF.read_bytes()
        self.assertEqual(content.count(build_id), 1)
        other = self.folder / "rackproof-other"
        other.write_bytes(content.replace(build_id, bytes(reversed(build_id))))
        other.chmod(0o755)
        result = run("run", *QUICK, "--out", self.folder / "x.h5", binaries=[cli.RACKPROOF, other, cli.RACKPROOF])
        self.assert_refused(result, 2, "rank 1", "another binary")
        self.assertFalse((self.folder / "x.h5").exists())


if __name__ == "__main__":
    cli.main()
