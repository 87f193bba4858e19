"""The page of `rackproof report` as a browser shows it: Debian's Chromium, without a window and without a network."""

import os
import re
import subprocess
import unittest

import h5py

import cli
from cli import run

try:
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
except ImportError:  # packages chromium-driver, python3-selenium
    webdriver = None

FILTER = ("--benchmark_filter=^allreduce/f32/(8B|1MiB)/out-of-place|^gemm/(f64|bf16)/m512n512k512|^tokens/tiny/f32",
          "--time-budget", "8s")


def open_browser():
    """A dead proxy: whatever a page would fetch fails, and says so on the console."""
    options = Options()
    options.binary_location = "/usr/bin/chromium"
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--proxy-server=127.0.0.1:9", "--proxy-bypass-list=<-loopback>"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)


class Refusals(cli.ExampleTestCase):
    def test_bad_input_is_one_line(self):
        text = self.folder / "x.txt"
        text.write_text("no result file")
        page = self.folder / "x.html"
        self.assert_refused(run("report", text, "-o", page), 2, "x.txt")
        self.assertFalse(page.exists())
        self.assert_refused(run("report", text), 2, "--out")
        page.write_text("mine")
        self.assert_refused(run("report", text, "-o", page), 2, "--force")
        self.assertEqual(page.read_text(), "mine")

    def test_a_full_disk_leaves_no_page_behind(self):
        """As a full disk: no file of this process may grow beyond 8 KiB."""
        page = self.folder / "x.html"
        for before in (None, "mine"):
            if before:
                page.write_text(before)
            result = subprocess.run(["bash", "-c", 'ulimit -f 8; exec "$@"', "-", cli.RACKPROOF, "report",
                                     self.examples / "example.h5", "-o", page, "--force"], env=cli.environment(),
                                    capture_output=True, text=True, timeout=60, check=False)
            self.assert_refused(result, 75, "x.html", "cannot be written", "free some space")
            self.assertEqual([path.name for path in self.folder.iterdir()], ["x.html"] if before else [])
        self.assertEqual(page.read_text(), "mine")
        # The text on a device that is full.
        with open("/dev/full", "wb") as full:
            shown = subprocess.run([cli.RACKPROOF, "show", self.examples / "example.h5"], stdout=full,
                                   stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        self.assertEqual(shown.returncode, 75, shown.stderr)


class Words(cli.TestCase):
    def setUp(self):
        super().setUp()
        subprocess.run([os.environ["RACKPROOF_LAUNCHES"], self.folder], check=True, timeout=120)

    def page(self, *arguments):
        out = self.folder / "x.html"
        result = run("report", *arguments, "-o", out, "--force", "--max-time", "30s", cwd=self.folder)
        self.assertEqual(result.returncode, 0, result.stderr)
        return out.read_text()

    def sides(self, name):
        return sorted(path.name for path in self.folder.glob(f"{name}-*.h5"))

    def test_slower_than_the_baseline_is_no_pass(self):
        page = self.page(*self.sides("slow"), "--baseline", *self.sides("base"))
        self.assertIn("<strong>FAIL</strong>", page)
        self.assertIn("Against the baseline: 1 of 4 cases slower, missing or failed.", page)
        page = self.page(*self.sides("same"), "--baseline", *self.sides("base"))
        self.assertIn("<strong>PASS</strong>", page)
        self.assertIn("Against the baseline: 4 of 4 cases the same or faster.", page)

    def test_a_file_of_absurd_numbers_has_a_page_that_ends(self):
        for value in (float("inf"), 1e308, 1e-320):
            path = self.folder / "absurd.h5"
            path.write_bytes((self.folder / "base-01.h5").read_bytes())
            with h5py.File(path, "r+") as file:
                file["suites/gemm/flop"][0] = value
            with self.subTest(value=value):
                self.assertIn("</html>", self.page(path))


class Page(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.case = cli.TestCase()
        cls.case.setUp()
        cls.addClassCleanup(cls.case.doCleanups)
        folder = cls.case.folder
        measured = run("run", *FILTER, "--out", folder / "x.h5", "--label", "site=<b>lab", ranks=2)
        assert measured.returncode == 0, measured.stderr
        cls.page = folder / "x.html"
        cls.written = run("report", folder / "x.h5", "-o", cls.page, "--title", "Rack <7>")
        assert cls.written.returncode == 0, cls.written.stderr
        cls.browser = open_browser()
        cls.addClassCleanup(cls.browser.quit)

    def open(self, width=1280, scheme="light"):
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia",
                                     {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                     {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False})
        self.browser.get(self.page.as_uri())

    def test_nothing_is_wrong_on_the_console_and_nothing_is_fetched(self):
        self.browser.get_log("browser")
        self.open()
        self.assertEqual(self.browser.get_log("browser"), [])
        self.assertEqual(self.browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)"),
                         [])

    def test_the_policy_stops_a_script_that_is_not_the_pages_own(self):
        self.open()
        self.browser.execute_script("const s = document.createElement('script'); s.textContent = 'window.stranger = 1';"
                                    "document.body.append(s)")
        self.assertIsNone(self.browser.execute_script("return window.stranger"))
        self.assertIn("Content Security Policy", str(self.browser.get_log("browser")))

    def test_every_chart_has_its_marks(self):
        self.open()
        charts = self.browser.execute_script("""
            return [...document.querySelectorAll("svg.chart")].map(svg => ({
                name: svg.getAttribute("aria-label"),
                marks: svg.querySelectorAll("path:not(.gridline), polygon, use, rect").length,
                labels: svg.querySelectorAll("text").length,
                colours: [...svg.querySelectorAll("path, polygon, use")].map(
                    e => e.getAttribute("stroke") || e.getAttribute("fill") || e.getAttribute("color")),
                box: svg.viewBox.baseVal.width}))""")
        self.assertGreaterEqual(len(charts), 7, "a chart a case, ranks, roofline")
        for chart in charts:
            with self.subTest(chart=chart["name"]):
                self.assertGreater(chart["marks"], 2)
                self.assertGreater(chart["labels"], 2)
                self.assertNotIn("rgb(", str(chart["colours"]))
                self.assertTrue(chart["name"])
        names = [chart["name"] for chart in charts]
        for word in ("Distribution of", "Heat map", "Roofline"):
            self.assertTrue(any(word in name for name in names), names)

    def test_no_label_lies_on_another(self):
        """Labels of one chart, in pixels of the page."""
        self.open()
        self.browser.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
        overlaps = self.browser.execute_script("""
            const found = [];
            for (const svg of document.querySelectorAll("svg.chart")) {
              const boxes = [...svg.querySelectorAll("text")].map(t => [t.textContent, t.getBoundingClientRect()]);
              for (const [i, [a, x]] of boxes.entries()) for (const [b, y] of boxes.slice(i + 1)) {
                const wide = Math.min(x.right, y.right) - Math.max(x.left, y.left);
                const high = Math.min(x.bottom, y.bottom) - Math.max(x.top, y.top);
                if (wide > 1 && high > 4) found.push([svg.getAttribute("aria-label"), a, b, wide, high]);
              }
            }
            return found""")
        self.assertEqual(overlaps, [])

    def test_tables_are_sorted_by_the_heading_that_is_pressed(self):
        self.open()
        table = self.browser.find_elements(By.CSS_SELECTOR, "table.sortable")[0]
        heads = table.find_elements(By.CSS_SELECTOR, "thead th")
        column = [head.text.split()[0] for head in heads].index("median")

        def keys():
            return self.browser.execute_script(
                "return [...arguments[0].tBodies[0].rows].map(r => Number(r.cells[arguments[1]].dataset.key))", table, column)

        self.assertGreater(len(keys()), 1)
        heads[column].find_element(By.TAG_NAME, "button").click()
        self.assertEqual(heads[column].get_attribute("aria-sort"), "ascending")
        self.assertEqual(keys(), sorted(keys()))
        heads[column].find_element(By.TAG_NAME, "button").click()
        self.assertEqual(heads[column].get_attribute("aria-sort"), "descending")
        self.assertEqual(keys(), sorted(keys(), reverse=True))
        heads[0].find_element(By.TAG_NAME, "button").click()
        self.assertEqual([head.get_attribute("aria-sort") for head in heads].count("none"), len(heads) - 1)

    def test_light_and_dark_and_paper_have_colours_of_their_own(self):
        seen = {}
        for scheme in ("light", "dark"):
            self.open(scheme=scheme)
            seen[scheme] = self.browser.execute_script("""
                const body = getComputedStyle(document.body);
                const text = getComputedStyle(document.querySelector("svg.chart text"));
                return [body.backgroundColor, body.color, text.fill]""")
            channels = [int(v) for v in re.findall(r"\d+", seen[scheme][0])[:3]]
            (self.assertGreater if scheme == "light" else self.assertLess)(sum(channels), 380)
        for light, dark in zip(seen["light"], seen["dark"]):
            self.assertNotEqual(light, dark)
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": [
            {"name": "prefers-color-scheme", "value": "dark"}]})
        self.assertEqual(self.browser.execute_script("return getComputedStyle(document.body).backgroundColor"),
                         "rgb(255, 255, 255)")
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})

    def test_fits_narrow_and_wide_screens(self):
        for width in (400, 1280):
            self.open(width=width)
            self.browser.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
            self.assertLessEqual(self.browser.execute_script("return document.scrollingElement.scrollWidth"), width)

    def test_wide_tables_scroll_in_their_own_box(self):
        """A heading that is wider than any screen, in every table; nothing else of the page may move with it."""
        for width in (400, 1280):
            self.open(width=width)
            boxes = self.browser.execute_script("""
                for (const d of document.querySelectorAll("details")) d.open = true;
                for (const head of document.querySelectorAll("thead th:nth-child(2)")) head.append("x".repeat(1000));
                return [...document.querySelectorAll("table")].map(table => {
                  const box = table.closest(".scroll");
                  if (!box) return [table.caption && table.caption.textContent, null];
                  box.scrollLeft = 200;
                  return [table.caption.textContent, box.scrollWidth > box.clientWidth, box.scrollLeft,
                          box.getBoundingClientRect().right <= document.documentElement.clientWidth];
                })""")
            self.assertGreater(len(boxes), 2)
            for box in boxes:
                self.assertEqual(box[1:], [True, 200, True], box)
            self.assertEqual(self.browser.execute_script("window.scrollTo(500, 0); return window.scrollX"), 0)
            self.assertLessEqual(self.browser.execute_script("return document.scrollingElement.scrollWidth"), width)

    def test_text_from_outside_is_text(self):
        self.open()
        self.assertEqual(self.browser.title, "Rack <7>")
        self.assertEqual(self.browser.find_element(By.TAG_NAME, "h1").text, "Rack <7>")
        self.assertIn("site=<b>lab", self.browser.find_element(By.TAG_NAME, "body").text)

    def test_identifiers_are_there_once(self):
        self.open()
        ids = self.browser.execute_script("return [...document.querySelectorAll('[id]')].map(e => e.id)")
        self.assertEqual(sorted(set(ids)), sorted(ids))


if __name__ == "__main__":
    cli.main()
