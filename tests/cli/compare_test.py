"""`rackproof compare` on launches that the real writer made: golden output, exit codes, and what it refuses."""

import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

import cli
from cli import run

LAUNCHES = os.environ["RACKPROOF_LAUNCHES"]


class Compare(cli.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        holder = tempfile.TemporaryDirectory(prefix="rackproof-launches-")
        cls.addClassCleanup(holder.cleanup)
        cls.launches = Path(holder.name)
        subprocess.run([LAUNCHES, cls.launches], check=True, timeout=120)

    def files(self, side, count=10):
        return [f"{side}-{i:02d}.h5" for i in range(1, count + 1)]

    def compare(self, *arguments, code=0):
        """What it prints, run in the launches' folder, so that no path of it is in the output."""
        result = run("compare", *arguments, cwd=self.launches)
        self.assertEqual((result.returncode, result.stderr), (code, ""), result.stdout)
        return result.stdout

    def row(self, text, name):
        (line,) = [line for line in text.splitlines() if line.startswith(name + " ")]
        return line

    def test_one_case_slower_one_faster(self):
        text = self.compare(*self.files("base"), "--to", *self.files("slow"), code=3)
        self.assert_golden("compare.txt", text)
        self.assertRegex(self.row(text, "gemm/f32/m512"), r" 1\.030 .* SLOWER$")
        self.assertRegex(self.row(text, "allreduce/f32/8B"), r" 0\.970 .* FASTER$")
        self.assertRegex(self.row(text, "gemm/f64/m512"), r" SAME$")

    def test_json_says_what_the_tables_say(self):
        sides = (*self.files("base"), "--to", *self.files("slow"))
        document = json.loads(self.compare(*sides, "--json", code=3))
        self.assertEqual((document["schema_name"], document["schema_version"]), ("rackproof-comparison", 1))
        self.assertEqual(document["verdict"], "FAIL")
        self.assertEqual(document["base"], {"name": "base", "files": self.files("base")})
        (new,) = document["others"]
        self.assertEqual(new["files"], self.files("slow"))
        text = self.compare(*sides, code=3)
        for case in new["cases"]:
            row = self.row(text, case["name"])
            self.assertIn(f" {case['time_ratio']:.3f} ", row)
            self.assertIn(f"{case['low']:.3f} {case['high']:.3f}", row)
            self.assertTrue(row.removesuffix("?").endswith(case["verdict"]) or case["verdict"] == "INCONCLUSIVE", row)
            self.assertEqual([len(case[side]["launch_time_s"]) for side in ("base", "other")], [10, 10])
            self.assertLess(case["p"], case["p_holm"] + 1e-12)
        slower = {case["name"]: case for case in new["cases"] if case["verdict"] == "SLOWER"}
        self.assertIn("gemm/f32/m512", " ".join(slower))
        for case in slower.values():
            times = case["other"]["launch_time_s"]
            self.assertAlmostEqual(case["other"]["time_s"], statistics.median(times), delta=1e-12)
        self.assertEqual(sum(suite["slower"] for suite in new["suites"]), len(slower))
        missing = json.loads(self.compare(*self.files("base", 2), "--to", *self.files("slow", 2), "--json", code=4))
        self.assertEqual(missing["verdict"], "INCONCLUSIVE")

    def test_the_same_thing(self):
        text = self.compare(*self.files("base"), "--to", *self.files("same"))
        self.assertIn("were made with the same things", text)
        self.assertIn("\nPASS: 4 same of 4 cases\n", text)

    def test_by_label(self):
        files = [*self.files("slow", 5), *self.files("base", 5)]
        text = self.compare(*files, "--by", "blas", "--base", "openblas", "--case", "gemm", code=3)
        self.assert_golden("compare-by.txt", text)
        turned = self.compare(*files, "--by", "blas", "--case", "gemm/f32")
        self.assertRegex(self.row(turned, "gemm/f32/m512"), r" 0\.971 .* FASTER$")
        launches = (lambda *more: run("compare", *files, *more, cwd=self.launches))
        self.assert_refused(launches("--by", "site"), 2, "slow-01.h5", "no label 'site'", "blas")
        self.assert_refused(launches("--by", "blas", "--base", "mkl"), 2, "blas=mkl")
        self.assert_refused(run("compare", *self.files("base"), "--by", "blas", cwd=self.launches), 2, "blas=openblas")

    def test_too_few_launches_decide_nothing(self):
        text = self.compare("base-01.h5", "--to", "slow-01.h5", code=4)
        self.assertRegex(self.row(text, "gemm/f32/m512"), r" INCONCLUSIVE +>= [5-9]$")
        self.assertIn("Too few launches to show any difference", text)

    def test_a_missing_case_is_a_failure(self):
        text = self.compare(*self.files("base", 4), "--to", *self.files("bad", 4), code=3)
        self.assert_golden("compare-bad.txt", text)

    def test_a_device_that_got_slower_beside_the_others(self):
        text = self.compare(*self.files("base"), "--to", *self.files("device"), code=3)
        (line,) = [line for line in text.splitlines() if "rank 2" in line]
        self.assertRegex(line, r"SLOWER  rank 2 node-b host:0 SN-3  time ratio 1\.0[45]\d ")
        self.assertNotIn("rank 1", text)

    def test_an_unfinished_launch_is_told_and_what_it_lacks_is_not_called_the_same(self):
        text = self.compare(*self.files("base"), "--to", *self.files("same", 9), "broken.h5.part", code=4)
        self.assertIn("WARNING 'broken.h5.part' is unfinished", text)
        self.assertIn("1 of 10 launches of new have no time of it (not run)", text)

    def test_other_numbers_of_ranks(self):
        text = self.compare(*self.files("base", 2), "--to", "ranks.h5", code=4)
        self.assertIn("WARNING base ran with 4 ranks and new with 3 ranks", text)
        mixed = run("compare", "base-01.h5", "ranks.h5", "--to", *self.files("same", 2), cwd=self.launches)
        self.assert_refused(mixed, 2, "base-01.h5", "ranks.h5", "3 ranks")

    def test_calibrated_margins(self):
        out = self.folder / "margins.toml"
        text = self.compare(*self.files("base"), "--calibrate", "--out", out)
        self.assertRegex(text, r"\ngemm/f32/m512 +0\.\d\d +1\.00\n")
        self.assertEqual(text, self.compare(*self.files("base"), "--calibrate"))
        wide = out.read_text().replace('"gemm/f32/m512" = {margin = 0.01', '"gemm/f32/m512" = {margin = 0.05')
        self.assertIn("0.05", wide)
        out.write_text(wide)
        text = self.compare(*self.files("base"), "--to", *self.files("slow"), "--margins", out)
        self.assertRegex(self.row(text, "gemm/f32/m512"), r" 5\.0  SAME$")
        few = self.compare(*self.files("base", 4), "--to", *self.files("same", 4), "--margins", out)
        self.assertIn("WARNING the margins are for 5 launches a side or more, and a side has 4", few)
        self.assertNotIn("the margins are of", few)
        out.write_text(out.read_text().replace("ranks = 4", "ranks = 72").replace('hosts = "', 'hosts = "else'))
        other = self.compare(*self.files("base"), "--to", *self.files("same"), "--margins", out)
        self.assertIn("WARNING the margins are of 72 ranks, and these launches of 4", other)
        self.assertRegex(other, "WARNING the margins are of else[^,]+, [^,]+, and these launches of")
        os.mkfifo(self.folder / "pipe.toml")
        pipe = run("compare", *self.files("base"), "--to", *self.files("same"), "--margins", self.folder / "pipe.toml",
                   cwd=self.launches)
        self.assert_refused(pipe, 2, "pipe.toml")
        for option in (("--margin", "5%"), ("--alpha", "0.2")):
            refused = run("compare", *self.files("base"), "--calibrate", *option, cwd=self.launches)
            self.assert_refused(refused, 2, option[0])
        again = run("compare", *self.files("base"), "--calibrate", "--out", out, cwd=self.launches)
        self.assert_refused(again, 2, "margins.toml", "--force")
        few = run("compare", *self.files("base", 7), "--calibrate", cwd=self.launches)
        self.assert_refused(few, 2, "8 launches", "got 7")

    def test_what_is_refused(self):
        def refused(*arguments):
            return run("compare", *arguments, cwd=self.launches)
        self.assert_refused(refused("base-01.h5"), 2, "--to", "--by")
        self.assert_refused(refused("base-01.h5", "--to", "base-01.h5"), 2, "same run")
        self.assert_refused(refused("base-01.h5", "base-01.h5", "--to", "same-01.h5"), 2, "same run")
        self.assert_refused(refused("base-01.h5", "--to", "fake.h5"), 2, "fake.h5", "--allow-fake")
        self.assertIn("fake.h5' was made with a fake device",
                      self.compare("base-01.h5", "--to", "fake.h5", "--allow-fake", code=4))
        self.assert_refused(refused("base-01.h5", "--to", "nothing.h5"), 2, "nothing.h5")
        self.assert_refused(refused("base-01.h5", "--to", "same-01.h5", "--case", "zzz"), 2, "zzz")
        self.assert_refused(refused("base-01.h5", "--to", "same-01.h5", "--case", "["), 2, "regular expression")
        self.assert_refused(refused("base-01.h5", "--to", "same-01.h5", "--margin", "0.01"), 2, "--margin", "1%")
        self.assert_refused(refused("base-01.h5", "--to", "same-01.h5", "--alpha", "5%"), 2, "--alpha")
        self.assert_refused(refused("base-01.h5", "--to", "same-01.h5", "--margins", "base-01.h5"), 2, "TOML")
        self.assert_refused(refused("base-01.h5", "--to", "same-01.h5", "--out", "x"), 2, "--calibrate")


if __name__ == "__main__":
    cli.main()
