"""`rackproof accept` and `run --limits` on runs of this machine, with the numbers blanked."""

import json
import re

import cli
import h5py
from cli import blank, run

# Short cases: there are samples enough on a busy machine, too.
CASES = ("--suite", "gemm,allreduce", "--gemm-types", "f64", "--gemm-sizes", "64", "--message-types", "f32",
         "--message-sizes", "8B", "--benchmark_filter=^gemm|out-of-place", "--max-samples", "400", "--time-budget", "20s")

LIMIT = """
[[limit]]
name = "{name}"
case = '{case}'
figure = "{figure}"
unit = "{unit}"
scope = "{scope}"
{bound} = {value}
spec = {spec}
source = "a test"
condition = "any machine"
"""


def limits(*entries):
    text = 'name = "test"\ndescription = "for a test"\n'
    for name, case, figure, unit, scope, bound, value, spec in entries:
        text += LIMIT.format(name=name, case=case, figure=figure, unit=unit, scope=scope, bound=bound, value=value, spec=spec)
    return text


# What any machine does, and what none does.
EASY = (("product", "^gemm/f64/", "tflops", "TFLOP/s", "device", "min", 1e-6, 2e-6),
        ("all-reduce", "^allreduce/", "latency", "us", "rack", "max", 1e6, 5e5))
HARD = (("product", "^gemm/f64/", "tflops", "TFLOP/s", "device", "min", 1e6, 2e6),)


def form(text):
    """What does not depend on the machine."""
    text = re.sub(r"(?m)^(attempts|peers|note) .*\n( {11}.*\n)*", r"\1 ...\n", text)
    text = re.sub(r"(?m)^(    |      )(?! ).*(\n      .*)*", lambda m: m.group(0) if "limit:" in m.group(0) else "    ...", text)
    text = re.sub(r"(?m)^(FAIL device) .*", r"\1 ...", text)
    return blank(re.sub(r"(?s)\nheadroom: .*", "\nheadroom: ...\n", text))


class Accept(cli.TestCase):
    def measure(self, name, *more, ranks=2):
        out = self.folder / name
        result = run("run", *CASES, "--out", out, *more, ranks=ranks)
        self.assertEqual(result.returncode, 0, result.stderr)
        return out

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def test_verdicts_and_exit_codes(self):
        out = self.measure("x.h5")
        easy, hard = self.file("easy.toml", limits(*EASY)), self.file("hard.toml", limits(*HARD))
        good = run("accept", out, "--limits", easy)
        self.assertEqual((good.returncode, good.stderr), (0, ""), good.stdout)
        self.assertRegex(good.stdout, r"^verdict    PASS\n")
        self.assertRegex(good.stdout, r"(?m)^product +PASS +device +2 ")
        self.assert_golden("accept.txt", form(good.stdout))
        bad = run("accept", out, "--limits", hard)
        self.assertEqual((bad.returncode, bad.stderr), (3, ""))
        self.assertRegex(bad.stdout, r"^verdict    FAIL\n")
        self.assertEqual(len(re.findall(r"(?m)^FAIL device \S+ host:[01]$", bad.stdout)), 2, bad.stdout)
        self.assertRegex(bad.stdout, r"limit: gemm/f64/m64n64k64/plain: tflops")
        alone = run("accept", out)
        self.assertEqual(alone.returncode, 4)
        self.assertIn("no limit and no baseline", alone.stdout)

    def test_attempts_baseline_and_limits_made_of_runs(self):
        one, two, three = (self.measure(f"{i}.h5") for i in range(3))
        easy = self.file("easy.toml", limits(*EASY))
        both = run("accept", one, two, "--limits", easy)
        self.assertEqual(both.returncode, 0, both.stdout)
        self.assertEqual(len(re.findall(r"(?m)^(attempts|  +) *[12]: PASS  ", both.stdout)), 2, both.stdout)
        compared = run("accept", three, "--baseline", one, two, "--floor", "50%")
        self.assertIn(compared.returncode, (0, 3), compared.stderr)
        self.assertIn("baseline ", compared.stdout)
        made = self.folder / "made.toml"
        result = run("accept", one, two, "--make-limits", made, "--margin", "20%")
        self.assertEqual((result.returncode, result.stdout), (0, ""), result.stderr)
        self.assertRegex(result.stderr, rf"^Wrote {re.escape(str(made))}(; comments at its end tell .*)?\n$")
        self.assertEqual("# left out" in made.read_text(), "comments" in result.stderr)
        self.assertIn("[[limit]]", made.read_text())
        self.assertIn(run("accept", one, "--limits", made).returncode, (0, 4))
        self.assert_refused(run("accept", one, "--make-limits", made), 2, "made.toml")
        self.assertEqual(run("accept", one, "--make-limits", made, "--force").returncode, 0)

    def test_run_stops_when_it_is_certain(self):
        easy = self.file("easy.toml", limits(*EASY))
        out = self.measure("x.h5", "--limits", easy)
        with h5py.File(out) as file:
            for suite in ("gemm", "allreduce"):
                self.assertEqual(list(file[f"suites/{suite}/stop_reason"]), [3] * len(file[f"suites/{suite}/case"]))
            self.assertLess(file["suites/allreduce/samples"][...].max(), 200)
            configuration = file["provenance/configuration"].asstr()[()]
            self.assertIn('"producers_risk": 0.005', configuration)
            self.assertIn('"consumers_risk": 0.01', configuration)
            self.assertEqual(file["provenance/limits"].asstr()[()], easy.read_text())
        shown = run("show", out).stdout
        self.assertRegex(shown, r"(?m)^gemm/f64/\S+ +PASSED +\d+[~^=*]*#")
        self.assertIn("\n# sampling ended as soon as it was certain", shown)
        exported = json.loads(run("export", out, "--format", "json").stdout)
        self.assertEqual({case["stop_reason"] for suite in exported["runs"][0]["suites"] for case in suite["cases"]},
                         {"certain"})
        judged = run("accept", out, "--limits", easy)
        self.assertEqual(judged.returncode, 0, judged.stdout)
        self.assertIn("the run's own sequential test", judged.stdout)
        hard = self.file("hard.toml", limits(*HARD))
        out = self.measure("y.h5", "--limits", hard)
        self.assertEqual(run("accept", out, "--limits", hard).returncode, 3)

    def test_a_run_with_limits_goes_on_with_the_same_limits_alone(self):
        easy = self.file("easy.toml", limits(*EASY))
        out = self.folder / "x.h5"
        # No case fits into so little wall time: all are left to the second launch.
        first = run("run", *CASES[:-1], "10m", "--limits", easy, "--wall-time", "20s", "--resume", out, ranks=2)
        self.assertEqual(first.returncode, 75, first.stderr)
        goes_on = ("run", *CASES[:-1], "10m", "--resume", out)
        self.assert_refused(run(*goes_on, ranks=2), 2, "against limits and this command has no --limits")
        other = self.file("other.toml", easy.read_text().replace("min = 1e-06", "min = 1.5e-06"))
        self.assertNotEqual(other.read_text(), easy.read_text())
        self.assert_refused(run(*goes_on, "--limits", other, ranks=2), 2, "others than those of --limits")
        second = run(*goes_on, "--limits", easy, ranks=2)
        self.assertEqual(second.returncode, 0, second.stderr)
        with h5py.File(out) as file:
            for suite in ("gemm", "allreduce"):
                self.assertEqual(list(file[f"suites/{suite}/stop_reason"]), [3] * len(file[f"suites/{suite}/case"]))
            self.assertEqual(file["provenance/limits"].asstr()[()], easy.read_text())
            self.assertEqual(len(json.loads(file["provenance/resumed"].asstr()[()])), 2)
        judged = run("accept", out, "--limits", easy)
        self.assertEqual(judged.returncode, 0, judged.stdout)

    def test_what_cannot_be_is_refused_and_what_is_missing_is_no_pass(self):
        whole, less = self.measure("x.h5"), self.measure("y.h5", ranks=1)
        products = self.file("products.toml", limits(EASY[0]))
        self.assertEqual(run("accept", whole, "--limits", products).returncode, 0)
        both = run("accept", whole, less, "--limits", products)
        self.assertEqual(both.returncode, 4, both.stdout)
        self.assertRegex(both.stdout, r"(?m)^INCONCLUSIVE device \S+ host:1$")
        self.assertIn("attempts: PASS, not there", both.stdout)
        with h5py.File(whole, "r+") as file:
            file["suites/gemm/time"][0, 1, 3] = 0.0
        self.assert_refused(run("accept", whole, "--limits", products), 2, "x.h5", "gemm/f64/", "rank 1: sample 4 of")

    def test_bad_arguments(self):
        out = self.measure("x.h5")
        lost = self.file("lost.toml", limits(("lost", "^gemm/f16/", "tflops", "TFLOP/s", "device", "min", 1, 2)))
        low = self.file("low.toml", limits(("low", "^gemm/f64/", "tflops", "TFLOP/s", "device", "min", 0.9, 2)))
        unit = self.file("unit.toml", limits(("unit", "^gemm/f64/", "tflops", "GFLOP/s", "device", "min", 1, 2)))
        self.assert_refused(run("accept"), 2, "FILE", "accept --help")
        self.assert_refused(run("accept", out, "--limits", lost), 2, "limit 'lost'", "no case matches", "x.h5")
        self.assert_refused(run("accept", out, "--limits", low), 2, "limit 'low'", "half of the specification")
        self.assert_refused(run("accept", out, "--limits", unit), 2, "limit 'unit'", "TFLOP/s")
        self.assert_refused(run("accept", out, "--limits", "h100-sxm"), 2, "H100")
        self.assert_refused(run("accept", out, "--limits", "nothing"), 2, "'nothing'", "gb200-nvl72")
        self.assert_refused(run("accept", out, "--limits", self.folder / "none.toml"), 2, "none.toml")
        self.assert_refused(run("accept", out, "--floor", "5"), 2, "--floor", "5%")
        self.assert_refused(run("accept", out, out), 2, "same run")
        self.assert_refused(run("accept", out, "--margin", "5%"), 2, "--make-limits")
        self.assert_refused(run("accept", out, "--make-limits", self.folder / "x.txt"), 2, ".toml")
        self.assert_refused(run("accept", out, out, "--make-limits", self.folder / "x.toml"), 2, "same run")
        for ignored in (("--faults",), ("--floor", "5%")):
            self.assert_refused(run("accept", out, "--make-limits", self.folder / "x.toml", *ignored), 2, ignored[0])
        self.assert_refused(run("run", *CASES, "--out", self.folder / "z.h5", "--limits", lost, ranks=2), 2, "no case matches")
        self.assertFalse((self.folder / "z.h5.part").exists())


if __name__ == "__main__":
    cli.main()
