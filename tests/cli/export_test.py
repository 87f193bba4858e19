"""`rackproof export`: every format read by somebody else's parser, the figures against what h5py and numpy make of the
file, golden output of files that are the same everywhere."""

import csv
import json
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import h5py
import numpy as np

import cli
from cli import run

COMPARE = Path("/usr/share/benchmark/compare.py")


class Export(cli.ExampleTestCase):
    def export(self, form, *names, more=()):
        result = run("export", *(self.examples / name for name in names), "--format", form, *more)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def test_a_case_that_limits_ended(self):
        path = self.folder / "certain.h5"
        path.write_bytes(next(iter(sorted(self.examples.glob("*.h5")))).read_bytes())
        with h5py.File(path, "r+") as file:
            reasons = next(iter(file["suites"].values()))["stop_reason"]
            reasons[...] = 3
        for form in ("csv", "json"):
            result = run("export", path, "--format", form, "--allow-fake")
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertIn("certain", result.stdout)

    def test_a_file_is_not_written_over_itself(self):
        path = self.folder / "x.h5"
        path.write_bytes(next(iter(sorted(self.examples.glob("*.h5")))).read_bytes())
        before = path.read_bytes()
        (self.folder / "link.h5").symlink_to(path)
        for out in (path, self.folder / "link.h5", self.folder / "." / "x.h5"):
            for command in (("export", path, "--format", "csv"), ("report", path)):
                with self.subTest(out=out, command=command[0]):
                    self.assert_refused(run(*command, "--out", out, "--force"), 2, "files to read")
        self.assertEqual(path.read_bytes(), before)

    def test_closed_descriptors(self):
        path = next(iter(sorted(self.examples.glob("*.h5"))))
        out = self.folder / "x.csv"
        for closed in ("<&-", "<&- >&-", "2>&-", "<&- >&- 2>&-"):
            with self.subTest(closed=closed):
                command = f'"{cli.RACKPROOF}" export "{path}" --format csv --allow-fake --out "{out}" --force {closed}'
                self.assertEqual(subprocess.run(command, shell=True, timeout=60, check=False).returncode, 0)
                wrong = f'"{cli.RACKPROOF}" export "{path}" --format nothing {closed}'
                self.assertEqual(subprocess.run(wrong, shell=True, timeout=60, check=False, stderr=subprocess.DEVNULL,
                                                ).returncode, 2)

    def table(self, *names, more=()):
        # With newline="", as the csv module wants it: text mode would hide the CR LF.
        out = self.folder / "table.csv"
        result = run("export", *(self.examples / name for name in names), "--format", "csv", "--out", out, "--force", *more)
        self.assertEqual((result.returncode, result.stderr, result.stdout), (0, "", ""))
        text = out.read_bytes().decode()
        self.assertTrue(text.endswith("\r\n"))
        with open(out, newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines, strict=True))
        for row in rows:
            self.assertNotIn(None, row)
            self.assertNotIn(None, row.values())
        return rows, text

    # ---- csv ----

    def test_csv_has_a_row_a_case_and_rank(self):
        rows, text = self.table("example.h5")
        self.assert_golden("export.csv", text.replace("\r\n", "\n"))
        self.assertEqual(len(rows), 6 * 3)
        self.assertEqual(rows[0]["run_id"], "3f0c1d3e-5b1f-4c1e-9d53-0d8f5e2f7a11")
        self.assertEqual(json.loads(rows[0]["labels"]), {"integrator": "acme", "site": "zürich"})
        self.assertEqual(json.loads(rows[0]["parameters"]), {"type": "f32", "m": 1000, "ratio": 0.5})
        with h5py.File(self.examples / "example.h5") as file:
            for row in rows:
                suite = file["suites"][row["suite"]]
                c = list(suite["case"].asstr()).index(row["case"])
                r = int(row["rank"])
                self.assertEqual(row["hostname"], file["hostname"].asstr()[r])
                self.assertEqual(int(row["samples"]), suite["samples"][c, r])
                times = suite["time"][c, r, :suite["samples"][c, r]]
                if row["status"] == "skipped":
                    self.assertEqual((row["time_s"], row["job_time_s"], row["verify_error"]), ("", "", ""))
                    continue
                self.assertAlmostEqual(float(row["time_s"]), np.median(times), delta=1e-15)
                self.assertEqual(int(row["digest"], 16), suite["digest"][c, r])
                self.assertAlmostEqual(float(row["verify_error"]), suite["verify_error"][c, r])
                if row["collective"] == "1":
                    self.assertAlmostEqual(float(row["job_time_s"]), np.nanmedian(suite["figure_time"][c]), delta=1e-15)
                    self.assertEqual(row["figure_value"], "")
                    self.assertAlmostEqual(float(row["job_figure_value"]), float(row["job_time_s"]) * 1e6)

    def test_csv_of_samples(self):
        rows, _ = self.table("example.h5", "broken.h5.part", more=["--samples"])
        self.assertEqual(len(rows), 5 * 3 * 30 + (20 + 19 + 18) * 2)
        with h5py.File(self.examples / "example.h5") as file:
            for row in rows[:5 * 3 * 30]:
                suite = file["suites"][row["suite"]]
                at = (list(suite["case"].asstr()).index(row["case"]), int(row["rank"]), int(row["sample"]))
                self.assertEqual(float(row["time_s"]), suite["time"][at])
                self.assertEqual(float(row["begin_s"]), suite["begin"][at])
                self.assertEqual(float(row["job_time_s"]), suite["figure_time"][at[0], at[2]])
                self.assertEqual(int(row["late"]), suite["flags"][at] & 1)
                self.assertEqual(int(row["switches"]), suite["switches"][at])
                self.assertEqual(np.float32(row["probe_s"]), suite["probe"][at])
                self.assertEqual(row["timer"] == "device", row["host_time_s"] != "")

    def test_csv_has_the_same_columns_and_types_for_every_file(self):
        import pandas  # pylint: disable=import-outside-toplevel
        for more in ([], ["--samples"]):
            frames = {}
            for name in ("example.h5", "hostile.h5", "pairs.h5", "broken.h5.part"):
                self.table(name, more=more)
                frames[name] = pandas.read_csv(self.folder / "table.csv")
            columns = {tuple(frame.columns) for frame in frames.values()}
            self.assertEqual(len(columns), 1)
            for column in columns.pop():
                # A column without any value is read as numbers.
                kinds = {frame[column].dtype.kind for frame in frames.values() if frame[column].notna().any()}
                self.assertLessEqual(len(kinds - {"i", "f"} if "f" in kinds else kinds), 1, (column, kinds))
                self.assertFalse("O" in kinds and len(kinds) > 1, (column, kinds))
        pairs, _ = self.table("pairs.h5")
        self.assertEqual([row["partner"] for row in pairs], ["1", "0", "", "2", "", "0"])

    def test_csv_holds_no_formula(self):
        rows, _ = self.table("hostile.h5")
        texts = {value for row in rows for value in row.values()}
        self.assertIn("'=HYPERLINK(\"http://example.invalid\",\"x\")", texts)
        self.assertIn("'+1+1", texts)
        self.assertIn("'@SUM(1)", texts)
        for text in texts:
            if text[:1] in ("=", "+", "-", "@", "\t", "\r"):
                float(text)  # a number is none

    # ---- json ----

    def test_json(self):
        text = self.export("json", "example.h5", "second.h5", "pairs.h5", "broken.h5.part")
        document = json.loads(text)
        self.assertEqual((document["schema_name"], document["schema_version"]), ("rackproof-export", 1))
        self.assertEqual([run_["finished"] for run_ in document["runs"]], [True, True, True, False])
        example = document["runs"][0]
        self.assertEqual([rank["hostname"] for rank in example["ranks"]], ["node-a", "node-a", "nöde-b"])
        cases = {case["name"]: case for suite in example["suites"] for case in suite["cases"]}
        self.assertEqual(len(cases), 6)
        rows, _ = self.table("example.h5")
        for row in rows:
            case = cases[row["case"]]
            self.assertEqual(case["status"], row["status"])
            if row["status"] == "skipped":
                self.assertNotIn("time_s", case)
                continue
            self.assertEqual(case["ranks"]["time_s"][int(row["rank"])], float(row["time_s"]))
            self.assertEqual(case["time_s"]["median"], float(row["job_time_s"]))
        self.assertEqual(document["runs"][2]["suites"][0]["cases"][0]["partners"], [1, 0, -1])

    def test_json_of_samples_and_cases(self):
        document = json.loads(self.export("json", "example.h5", more=["--samples", "--case", "gemm/f64"]))
        (suite,) = document["runs"][0]["suites"]
        (case,) = suite["cases"]
        with h5py.File(self.examples / "example.h5") as file:
            times = file["suites/gemm/time"][2, :, :30]
        self.assertEqual(case["sample_time_s"], times.tolist())
        self.assertEqual(len(case["job_time_s"]), 30)
        self.assertEqual(len(case["warmup_time_s"]), 7)

    # ---- junit ----

    def test_junit(self):
        text = self.export("junit", "example.h5", "broken.h5.part")
        self.assert_golden("export-junit.xml", text)
        root = xml.fromstring(text)
        self.assertEqual(root.tag, "testsuites")
        # What is common to Jenkins' junit-10.xsd, GitLab and Surefire.
        allowed = {"testsuites": {"name"},
                   "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname"},
                   "testcase": {"name", "classname", "time"}, "properties": set(), "property": {"name", "value"},
                   "failure": {"type", "message"}, "error": {"type", "message"}, "skipped": {"message"},
                   "system-out": set()}
        for element in root.iter():
            self.assertEqual(set(element.attrib) - allowed[element.tag], set(), element.tag)
        for suite in root:
            self.assertEqual([child.tag for child in suite][0], "properties")
            found = [child.tag for case in suite.findall("testcase") for child in case if child.tag != "system-out"]
            self.assertEqual(int(suite.get("tests")), len(suite.findall("testcase")))
            for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
                self.assertEqual(int(suite.get(attribute)), found.count(tag))
        statuses = [{child.tag: child.get("type") for child in case if child.tag != "system-out"}
                    for case in root.iter("testcase")]
        self.assertIn({"failure": "failed"}, statuses)
        self.assertIn({"skipped": None}, statuses)
        self.assertIn({}, statuses)

    def test_junit_takes_nothing_unchecked_or_missing_for_passed(self):
        root = xml.fromstring(self.export("junit", "broken.h5.part"))
        children = [next((child.get("type") for child in case if child.tag in ("failure", "error")), None)
                    for case in root.iter("testcase")]
        self.assertEqual(children[:3], ["mistrusted", "error", "not_run"])

    # ---- openmetrics ----

    def test_openmetrics_is_both_text_formats(self):
        from prometheus_client.openmetrics import parser as openmetrics  # pylint: disable=import-outside-toplevel
        from prometheus_client import parser as prometheus  # pylint: disable=import-outside-toplevel
        text = self.export("openmetrics", "example.h5")
        self.assert_golden("export.prom", text)
        for module in (openmetrics, prometheus):
            families = list(module.text_string_to_metric_families(text))
            samples = {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}
            self.assertTrue(all(family.type == "gauge" for family in families))
            self.assertTrue(all(name.startswith("rackproof_") for name, _ in samples))
            self.assertTrue(all(s.timestamp is None for f in families for s in f.samples))
            self.assertEqual(samples[("rackproof_run_start_time_seconds", ())], 1772719402)
            self.assertEqual(samples[("rackproof_cases", (("status", "failed"), ("suite", "gemm")))], 1)
            labels = (("case", "allreduce/f32/sum/8B"), ("suite", "allreduce"))
            time = samples[("rackproof_case_time_seconds", labels)]
            self.assertAlmostEqual(samples[("rackproof_case_latency_seconds", labels)], time)
            self.assertAlmostEqual(samples[("rackproof_case_busbw_bytes_per_second", labels)] * time, 8 * 4 / 3)
            # As many series as cases, whatever the number of ranks and runs.
            self.assertFalse([labels for _, labels in samples if {"rank", "run_id"} & {key for key, _ in labels}])

    def test_openmetrics_is_of_one_run(self):
        for form in ("openmetrics", "ocptv"):
            result = run("export", self.examples / "example.h5", self.examples / "second.h5", "--format", form)
            self.assert_refused(result, 2, form, "one file")

    # ---- OCP test and validation ----

    def test_ocptv(self):
        text = self.export("ocptv", "example.h5")
        self.assert_golden("export.jsonl", text)
        lines = [json.loads(line) for line in text.splitlines()]
        self.check_ocp(lines)
        start = lines[1]["testRunArtifact"]["testRunStart"]
        self.assertEqual([info["hardwareInfoId"] for info in start["dutInfo"]["hardwareInfos"]], ["rank0", "rank1", "rank2"])
        self.assertEqual(lines[-1]["testRunArtifact"]["testRunEnd"], {"status": "COMPLETE", "result": "FAIL"})
        diagnoses = [line["testStepArtifact"]["diagnosis"] for line in lines if "diagnosis" in line.get("testStepArtifact", {})]
        self.assertEqual({d["verdict"] for d in diagnoses},
                         {"rackproof-gemm-check-passed", "rackproof-gemm-check-failed", "rackproof-allreduce-check-passed"})
        broken = [json.loads(line) for line in self.export("ocptv", "broken.h5.part").splitlines()]
        self.check_ocp(broken)
        self.assertEqual(broken[-1]["testRunArtifact"]["testRunEnd"], {"status": "ERROR", "result": "NOT_APPLICABLE"})

    def check_ocp(self, lines):
        """By the specification 2.0: what every line must have and may have, and the order of them."""
        shapes = {  # kind: required, optional
            "testRunStart": ({"name", "version", "commandLine", "parameters", "dutInfo"}, {"metadata"}),
            "testRunEnd": ({"status", "result"}, set()), "testStepStart": ({"name"}, set()),
            "testStepEnd": ({"status"}, set()), "log": ({"severity", "message"}, set()),
            "error": ({"symptom"}, {"message", "softwareInfoIds"}),
            "measurement": ({"name", "value"}, {"unit", "validators", "hardwareInfoId"}),
            "diagnosis": ({"verdict", "type"}, {"message", "hardwareInfoId"})}
        self.assertEqual(lines[0]["schemaVersion"], {"major": 2, "minor": 0})
        self.assertEqual([line["sequenceNumber"] for line in lines], list(range(len(lines))))
        known = set()
        open_step = None
        for line in lines[1:]:
            self.assertRegex(line["timestamp"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
            (key,) = set(line) - {"sequenceNumber", "timestamp"}
            artifact = dict(line[key])
            step = artifact.pop("testStepId", None)
            ((kind, content),) = artifact.items()
            self.assertEqual(step is not None, key == "testStepArtifact")
            required, optional = shapes[kind]
            self.assertLessEqual(required, set(content))
            self.assertLessEqual(set(content), required | optional)
            if kind == "testRunStart":
                known = {info["hardwareInfoId"] for info in content["dutInfo"]["hardwareInfos"]}
            elif kind == "testStepStart":
                self.assertIsNone(open_step)
                open_step = step
            elif key == "testStepArtifact":
                self.assertEqual(step, open_step)
            if kind == "testStepEnd":
                self.assertIn(content["status"], ("COMPLETE", "ERROR", "SKIP"))
                open_step = None
            if "hardwareInfoId" in content:
                self.assertIn(content["hardwareInfoId"], known)
        self.assertIsNone(open_step)

    # ---- Google Benchmark ----

    def test_benchmark_is_read_by_compare_py(self):
        for number, names in (("one", ["example.h5"]), ("two", ["second.h5"])):
            (self.folder / f"{number}.json").write_text(self.export("benchmark", *names))
        one = json.loads((self.folder / "one.json").read_text())
        self.assertEqual(one["context"]["left_out"], ["allreduce/f32/sum/1073741824B: skipped"])
        failed = [b["name"] for b in one["benchmarks"] if b.get("error_occurred")]
        self.assertEqual(failed, ["gemm/bf16/m1000n1000k1000/packed/iterations:1/manual_time"])
        # Debian's compare.py, in Debian's Python, which has scipy.
        result = subprocess.run([sys.executable, COMPARE, "--no-color", "benchmarks", self.folder / "one.json",
                                 self.folder / "two.json"], capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        rows = [line.split() for line in result.stdout.splitlines() if "/manual_time" in line and "pvalue" not in line]
        self.assertEqual(len(rows), 5, result.stdout)
        for row in rows:
            self.assertAlmostEqual(float(row[1]), 0.03, delta=0.0002)

    def test_files_are_repetitions_of_a_benchmark(self):
        document = json.loads(self.export("benchmark", "example.h5", "second.h5"))
        entries = [b for b in document["benchmarks"] if b["name"].startswith("allreduce/f32/sum/8B/")]
        self.assertEqual([(b["repetitions"], b["repetition_index"]) for b in entries], [(2, 0), (2, 1)])
        self.assertEqual(len({b["family_index"] for b in document["benchmarks"]}), 5)

    def test_no_format_calls_passed_what_its_numbers_deny(self):
        empty, wrong = self.folder / "empty.h5", self.folder / "wrong.h5"
        for path in (empty, wrong):
            path.write_bytes((self.examples / "example.h5").read_bytes())
            with h5py.File(path, "r+") as file:
                status = file["suites/gemm/status"][...]
                status[1] = status[0]  # the case that failed
                file["suites/gemm/status"][...] = status
                if path == empty:
                    file["suites/gemm/samples"][0] = 0
                else:
                    file["suites/gemm/verify_error"][0, 1] = 50.0
        self.assertEqual(self.ocp_end(self.export("ocptv", empty)), {"status": "COMPLETE", "result": "NOT_APPLICABLE"})
        self.assertEqual(self.ocp_end(self.export("ocptv", wrong)), {"status": "COMPLETE", "result": "FAIL"})
        for path, reason in ((empty, "no time was measured"), (wrong, "the error of rank 1 is 50.00 times the tolerance")):
            failures = list(xml.fromstring(self.export("junit", path)).iter("failure"))
            self.assertEqual(len(failures), 1)
            self.assertIn(reason, failures[0].get("message"))

    def ocp_end(self, text):
        lines = [json.loads(line) for line in text.splitlines()]
        self.check_ocp(lines)
        return lines[-1]["testRunArtifact"]["testRunEnd"]

    # ---- the command ----

    def test_hostile_names_stay_text_in_every_format(self):
        root = xml.fromstring(self.export("junit", "hostile.h5"))
        self.assertIn("gemm/<img src=x onerror=alert(1)>", {case.get("name") for case in root.iter("testcase")})
        from prometheus_client import parser  # pylint: disable=import-outside-toplevel
        for family in parser.text_string_to_metric_families(self.export("openmetrics", "hostile.h5")):
            self.assertTrue(family.name.startswith("rackproof_"), family.name)
        self.check_ocp([json.loads(line) for line in self.export("ocptv", "hostile.h5").splitlines()])
        json.loads(self.export("json", "hostile.h5"))
        json.loads(self.export("benchmark", "hostile.h5"))
        for form in ("csv", "json", "junit", "openmetrics", "ocptv", "benchmark"):
            self.assertNotIn("\x1b", self.export(form, "hostile.h5"))

    def test_refuses_what_makes_no_sense(self):
        example = self.examples / "example.h5"
        self.assert_refused(run("export", example), 2, "--format")
        self.assert_refused(run("export", example, "--format", "xlsx"), 2, "'xlsx'", "openmetrics")
        self.assert_refused(run("export", example, "--format", "junit", "--samples"), 2, "--samples", "csv")
        self.assert_refused(run("export", example, "--format", "csv", "--case", "("), 2, "regular expression")
        self.assert_refused(run("export", example, "--format", "csv", "--case", "zzz"), 2, "zzz", "example.h5")
        self.assert_refused(run("export", example, example, "--format", "csv"), 2, "another of the files")
        self.assert_refused(run("export", self.folder / "none.h5", "--format", "csv"), 2, "none.h5")
        self.assert_refused(run("export", example, "--format", "csv", "--force"), 2, "--out")
        self.assert_refused(run("export", example, "--format", "csv", "--max-memory", "4"), 2, "--max-memory")
        self.assert_refused(run("export", example, "--format", "csv", "--max-time", "0s"), 2, "--max-time")

    def test_fakes_are_refused_unless_told(self):
        fake = self.examples / "fake.h5"
        self.assert_refused(run("export", fake, "--format", "csv"), 2, "fake.h5", "--allow-fake")
        rows, _ = self.table("fake.h5", more=["--allow-fake"])
        self.assertEqual({row["device_fake"] for row in rows}, {"1"})

    def test_a_file_is_written_whole_and_replaced_only_when_told(self):
        out = self.folder / "out.csv"
        out.write_text("precious")
        command = ["export", self.examples / "example.h5", "--format", "csv", "--out", out]
        self.assert_refused(run(*command), 2, "out.csv", "--force")
        self.assertEqual(out.read_text(), "precious")
        bad = ["export", self.folder / "none.h5", "--format", "csv", "--out", out, "--force"]
        self.assert_refused(run(*bad), 2, "none.h5")
        self.assertEqual(out.read_text(), "precious")
        self.assertEqual(run(*command, "--force").returncode, 0)
        self.assertTrue(out.read_text().startswith("run_id,"))
        self.assertEqual([path.name for path in self.folder.iterdir()], ["out.csv"])
        self.assert_refused(run("export", self.examples / "example.h5", "--format", "csv", "--out", "/proc/x.csv"), 2,
                            "/proc/x.csv")

    def test_a_full_disk_is_no_success(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            result = subprocess.run([cli.RACKPROOF, "export", self.examples / "example.h5", "--format", "json"], stdout=full,
                                    stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        self.assertEqual(result.returncode, 75, result.stderr)
        self.assertRegex(result.stderr, r"^rackproof: stdout: .*No space left.*\n$")


if __name__ == "__main__":
    cli.main()
