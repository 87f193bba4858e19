"""`rackproof network` on times that are known, to the digit; it and `rackproof show --quantiles` on runs of this
machine, whose numbers are anybody's guess."""

import re

import cli
from cli import blank, run

SWEEP = ("--benchmark_filter=^allreduce/f32/(8B|1KiB|64KiB|1MiB)/out-of-place", "--time-budget", "4s")


def without_folder(text):
    return re.sub(r"(?m)^.*'/.*/", "RUN '.../", text)


class Network(cli.ExampleTestCase):
    def measure(self, name, ranks, *more):
        out = self.folder / name
        result = run("run", *SWEEP, "--out", out, *more, ranks=ranks)
        self.assertEqual(result.returncode, 0, result.stderr)
        return out

    def test_known_times(self):
        """2 us and 10 GB/s, 1 % from size to size."""
        out = self.examples / "sweep.h5"
        result = run("network", out)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assert_golden("network.txt", without_folder(result.stdout))
        result = run("network", out, "--link-bandwidth", "400Gb/s", "--link-latency", "200ns", "--case", "f32")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assert_golden("network-bounds.txt", without_folder(result.stdout))

    def test_one_file(self):
        out = self.measure("two.h5", 2)
        result = run("network", out, "--link-bandwidth", "400Gb/s")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertRegex(result.stdout, r"(?m)^allreduce/f32/out-of-place, 2 ranks on 1 node, 4 sizes from 8 B to 1 MiB$")
        self.assertRegex(result.stdout, r"(?m)^ *8 B +1 MiB +4 ")
        for size in ("8 B", "1 KiB", "64 KiB", "1 MiB"):
            self.assertRegex(result.stdout, rf"(?m)^ *{size} +[\d.]+ [num]?s ")
        self.assert_refused(run("network", out, "--extrapolate", 8), 2, "--extrapolate", "two rank counts")
        self.assert_refused(run("network", out, out), 2, "same run")
        self.assert_refused(run("network", out, "--case", "8B"), 2, "1 message size", "needs 4")
        self.assert_refused(run("network", out, "--case", "zzz"), 2, "zzz", "two.h5")
        self.assert_refused(run("network", out, "--case", "["), 2, "regular expression")

    def test_three_rank_counts(self):
        files = [self.measure(f"n{ranks}.h5", ranks) for ranks in (2, 3, 4)]
        result = run("network", *files, "--extrapolate", 16)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        over = result.stdout[result.stdout.index(" over 3 runs"):]
        self.assertIn("extrapolated to 16 ranks:", over)
        self.assertIn("back-test: 4 ranks, predicted from the runs with fewer:", over)
        self.assertRegex(over, r"\n[0-4] of 4 sizes covered; ")
        two = run("network", *files[:2])
        self.assertEqual((two.returncode, two.stderr), (0, ""))
        self.assertIn("no back-test", two.stdout)

    def test_what_says_nothing_about_a_network(self):
        alone = self.folder / "alone.h5"
        self.assertEqual(run("run", *SWEEP, "--out", alone).returncode, 0)
        self.assert_refused(run("network", alone), 2, "alone.h5", "1 rank", "2 or more")
        gemm = self.folder / "gemm.h5"
        self.assertEqual(run("run", "--benchmark_filter=^gemm/f64/m512", "--time-budget", "2s", "--out", gemm,
                             ranks=2).returncode, 0)
        self.assert_refused(run("network", gemm), 2, "gemm.h5", "no collective case", "--suite allreduce")

    def test_bad_arguments(self):
        missing = self.folder / "missing.h5"
        self.assert_refused(run("network"), 2, "FILE", "network --help")
        self.assert_refused(run("network", missing), 2, "missing.h5")
        self.assert_refused(run("network", missing, "--link-bandwidth", "400"), 2, "--link-bandwidth", "400Gb/s")
        self.assert_refused(run("network", missing, "--link-bandwidth", "0GB/s"), 2, "--link-bandwidth")
        self.assert_refused(run("network", missing, "--link-latency", "2us"), 2, "--link-latency", "--link-bandwidth")
        self.assert_refused(run("network", missing, "--extrapolate", "1"), 2, "--extrapolate")
        self.assert_refused(run("network", missing, "--extrapolate", "many"), 2, "--extrapolate")
        (self.folder / "text.h5").write_text("hello\n" * 1000)
        self.assert_refused(run("network", self.folder / "text.h5"), 2, "text.h5")


class Quantiles(cli.TestCase):
    def test_form(self):
        out = self.folder / "x.h5"
        measured = run("run", "--benchmark_filter=^allreduce/f32/(8B|16MiB)/out-of-place|^gemm/f64/m512", "--max-samples",
                       "250", "--time-budget", "6s", "--out", out, ranks=2)
        self.assertEqual(measured.returncode, 0, measured.stderr)
        shown = run("show", out, "--quantiles")
        self.assertEqual((shown.returncode, shown.stderr), (0, ""))
        tables = shown.stdout.partition("\n\n")[2]
        # How many samples a case gets depends on the machine, but 250 are too few for p99.
        self.assert_golden("show-quantiles.txt", re.sub(r"(?m) PASSED .*", " PASSED ...", blank(tables)))
        rows = [line for line in tables.splitlines() if "/8B/" in line]
        self.assertRegex(rows[-1], r"n too small +- +n too small +-$")
        self.assert_refused(run("show", out, "--quantiles", "--ranks"), 2, "--quantiles", "--ranks")


if __name__ == "__main__":
    cli.main()
