"""A run of all suites: what lands in the file, and what other programs read from it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cli
from cli import run

SMALL = "--benchmark_filter=^allreduce/.*/(8B|1KiB|64KiB)/|^gemm/.*m512n512k512|^tokens/tiny"


class Run(cli.TestCase):
    def measure(self, *more, ranks=2, select=SMALL, **others):
        out = self.folder / "x.h5"
        budget = () if "--time-budget" in more else ("--time-budget", "6s")
        result = run("run", select, *budget, "--out", out, *more, ranks=ranks, **others)
        self.assertEqual(result.returncode, 0, result.stderr + result.stdout)
        self.assertEqual([p.name for p in self.folder.glob("*.part*")], [])
        return out, result

    def test_every_world_size(self):
        # MPICH's ranks spin where there are more than cores: minutes for 8 of them.
        for ranks in (None, 1, 2, 3, 4, 8) if "mpich" not in cli.MPIEXEC[0] else (None, 1, 2, 3):
            with self.subTest(ranks=ranks):
                out, result = self.measure("--force", "--time-budget", "4s", ranks=ranks)
                self.assertNotIn("FAILED", result.stdout)
                self.assertNotIn("ERROR", result.stdout)
                self.assertRegex(result.stdout, r"tokens/tiny/\S+ +PASSED")
                self.assertRegex(result.stdout, r"gemm/\S+ +PASSED")
                if (ranks or 1) > 1:
                    self.assertRegex(result.stdout, r"allreduce/\S+ +PASSED")
                self.check_with_python(out)

    def test_start_by_barrier_is_flagged_in_every_sample(self):
        import h5py
        for start, flag in (("barrier", 2), ("window", 0)):
            out = self.folder / f"{start}.h5"
            result = run("run", "--benchmark_filter=^allreduce/f32/(8B|1MiB)/out", "--time-budget", "2s", "--start", start,
                         "--out", out, ranks=2)
            self.assertEqual(result.returncode, 0, result.stderr)
            with h5py.File(out) as file:
                suite = file["suites/allreduce"]
                for case, samples in enumerate(suite["samples"][:, 0]):
                    self.assertTrue((suite["flags"][case, :, :samples] & 2 == flag).all(), (start, suite["case"][case]))

    def test_openmp_allows_fewer_threads_than_it_is_asked_for(self):
        result = run("run", "--benchmark_filter=^gemm/.*m512n512k512", "--time-budget", "2s", "--out",
                     self.folder / "x.h5", env={"OMP_NUM_THREADS": "2", "OMP_THREAD_LIMIT": "1"})
        self.assertEqual(result.returncode, 0, result.stderr + result.stdout)
        self.assertRegex(result.stdout, r"devices .*, 1 thread\n")
        self.assertNotIn("multiplies no", result.stdout)

    def test_order_of_cases_is_shuffled_recorded_and_can_be_repeated(self):
        import h5py
        orders = {}
        for order in ("listed", "7", "7", "shuffled"):
            out, report = self.folder / "x.h5", self.folder / "report.json"
            result = run("run", "--benchmark_filter=^gemm/.*m512n512k512", "--time-budget", "2s", "--order", order, "--force",
                         "--out", out, f"--benchmark_out={report}", ranks=2)
            self.assertEqual(result.returncode, 0, result.stderr)
            with h5py.File(out) as file:
                listed = list(file["suites/gemm/case"].asstr())
                recorded = json.loads(file["provenance/configuration"].asstr()[()])["order"]
            names = [one["run_name"].partition("/iterations")[0] for one in json.loads(report.read_text())["benchmarks"]]
            self.assertEqual(sorted(names), sorted(listed))
            self.assertEqual(recorded if order == "listed" else str(recorded), order if order != "shuffled" else str(recorded))
            self.assertEqual(orders.setdefault(order, names), names)
        self.assertEqual(orders["listed"], listed)
        self.assertNotEqual(orders["7"], listed)

    def test_links_meet_in_pairs_and_end_in_a_verdict(self):
        import h5py
        crowded = (os.cpu_count() or 1) < 4
        words = {1: "needs at least 2 ranks", 2: "not judged: too few",
                 4: "8 B one-way: not judged: " if crowded else "8 B one-way: "}
        for ranks, expected in words.items():
            with self.subTest(ranks=ranks):
                out, result = self.measure("--force", "--suite", "links", "--max-samples", "20", ranks=ranks,
                                           select="--benchmark_filter=^links/(8B|1MiB)/")
                self.assertIn(expected, result.stdout)
                self.assertNotIn("FAILED", result.stdout)
                self.assertNotIn("ERROR", result.stdout)
                self.assertIn("SKIPPED" if ranks == 1 else "meetings", result.stdout)
                self.check_with_python(out)
                with h5py.File(out) as file:
                    group = file["suites/links"]
                    names = list(group["case"].asstr()[...])
                    # With few ranks the rounds are gone through several times, and their numbers have two digits.
                    (first,) = [i for i, name in enumerate(names) if re.fullmatch("links/8B/one-way/round-0+", name)]
                    met = group["partner"][first]
                self.assertEqual(list(met), {1: [-1], 2: [1, 0], 4: [3, 2, 1, 0]}[ranks])
                shown = run("show", out, "--case", "round-0").stdout
                self.assertIn("links/8B/one-way/round-0", shown)

    def check_with_python(self, out):
        """h5py, pandas, xarray with both engines and h5dump agree with each other."""
        script = Path(__file__).parent / "python" / "check_file.py"
        checked = subprocess.run([sys.executable, script, out], capture_output=True, text=True, check=False)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_provenance_has_no_secrets_and_all_that_matters(self):
        import h5py
        out, _ = self.measure("--label", "integrator=acme", "--label", "site=lab 1",
                              env={"NCCL_API_TOKEN": "hunter2", "OMPI_MCA_btl_password": "hunter2", "HOME_SECRET": "hunter2"})
        with h5py.File(out) as file:
            self.assertEqual(file.attrs["schema_name"], "rackproof")
            texts = {name: file["provenance"][name][()].decode() for name in file["provenance"]}
        for text in texts.values():
            self.assertNotIn("hunter2", text)
        self.assertEqual(json.loads(texts["labels"]), {"integrator": "acme", "site": "lab 1"})
        self.assertEqual(json.loads(texts["topology"])["nodes"][0]["ranks"], [0, 1])
        self.assertIn("--label", texts["command"])
        self.assertIn("OMP_NUM_THREADS", json.loads(texts["environment"]))
        self.assertTrue(texts["file_system"])
        libraries = [one["path"] for one in json.loads(texts["libraries"])[0]["libraries"]]
        for name in ("mpi", "dnnl", "blas", "hdf5", "benchmark"):
            self.assertTrue(any(name in path for path in libraries), f"no {name} among {libraries}")
        configuration = json.loads(texts["configuration"])
        self.assertGreater(configuration["peaks"]["flop_per_s"]["f32"], 1e9)

    def test_google_benchmark_report_and_repetitions(self):
        report = self.folder / "report.json"
        out = self.folder / "x.h5"
        result = run("run", "--benchmark_filter=^gemm/f64/m512", "--time-budget", "5s", "--out", out,
                     "--benchmark_repetitions=3", f"--benchmark_out={report}", ranks=2)
        self.assertEqual(result.returncode, 0, result.stderr)
        runs = json.loads(report.read_text())["benchmarks"]
        single = [one for one in runs if one["run_type"] == "iteration"]
        self.assertEqual(len(single), 3 * len({one["run_name"] for one in single}))
        for one in single:
            self.assertGreater(one["real_time"], 0)
        self.assertEqual(result.stdout.count("gemm/f64/m512n512k512"), len(single))

    def test_json_instead_of_the_table(self):
        out = self.folder / "x.h5"
        result = run("run", "--benchmark_filter=^gemm/f64/m512", "--time-budget", "5s", "--out", out,
                     "--benchmark_format=json", ranks=2)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertGreater(len(json.loads(result.stdout)["benchmarks"]), 0)

    def test_default_file_name(self):
        result = run("run", "--benchmark_filter=^gemm/f64/m512", "--time-budget", "2s", cwd=self.folder)
        self.assertEqual(result.returncode, 0, result.stderr)
        names = [p.name for p in self.folder.iterdir()]
        self.assertEqual(len(names), 1)
        self.assertRegex(names[0], r"^rackproof-.+-\d{8}T\d{6}Z\.h5$")

    def test_a_suite_alone_and_in_the_order_asked_for(self):
        listed = run("list", "--suite", "tokens,gemm").stdout
        self.assertNotIn("allreduce/", listed)
        self.assertLess(listed.index("tokens/"), listed.index("gemm/"))

    def test_list_as_json(self):
        cases = json.loads(run("list", "--ranks", 4, "--json").stdout)
        self.assertEqual(len({case["name"] for case in cases}), len(cases))
        for case in cases:
            self.assertTrue(case["parameters"])


if __name__ == "__main__":
    cli.main()
