"""The page of `rackproof report` as a browser shows it: Debian's Chromium, without a window and without a network."""

import json
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

FILTER = ("--benchmark_filter=^allreduce/f32/(8B|1MiB)/out-of-place|^gemm/(f64|bf16)/m512n512k512"
          "|^gemm/bf16/m(1|128)n768k768|^tokens/tiny", "--time-budget", "8s")


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


# What stands for a thing in a chart, counted by its ink: {"use series-0": 8, ...}.
MARKS = """
    const ink = (e, name) => {
      for (; e.tagName !== "svg"; e = e.parentElement) {
        const value = e.getAttribute(name);
        if (value && value !== "none") return value.replace(/var\\(--(.*)\\)/, "$1");
      }
      return "none";
    };
    return [...document.querySelectorAll("svg.chart")].map(svg => {
      const count = {};
      for (const e of svg.querySelectorAll("path, polygon, use")) {
        const kind = `${e.tagName} ${ink(e, {path: "stroke", polygon: "fill", use: "color"}[e.tagName])}`;
        count[kind] = (count[kind] || 0) + 1;
      }
      for (const kind of ["path line", "path grid"]) delete count[kind];
      return [svg.getAttribute("aria-label"), count];
    })"""

# Pairs of texts of one chart that lie on another, and texts that a chart cuts off; in pixels of the page.
BAD_LABELS = """
    for (const d of document.querySelectorAll("details")) d.open = true;
    const found = [];
    for (const svg of document.querySelectorAll("svg.chart")) {
      const name = svg.getAttribute("aria-label"), frame = svg.getBoundingClientRect();
      const boxes = [...svg.querySelectorAll("text")].map(t => [t.textContent, t.getBoundingClientRect()]);
      for (const [i, [a, x]] of boxes.entries()) {
        if (x.left < frame.left - 1 || x.right > frame.right + 1 || x.top < frame.top - 2 || x.bottom > frame.bottom + 2)
          found.push([name, a, "cut off"]);
        for (const [b, y] of boxes.slice(i + 1)) {
          const wide = Math.min(x.right, y.right) - Math.max(x.left, y.left);
          const high = Math.min(x.bottom, y.bottom) - Math.max(x.top, y.top);
          if (wide > 1 && high > 4) found.push([name, a, b, wide, high]);
        }
      }
    }
    return found"""

# Texts with less contrast to what is behind them than 4.5 (WCAG 2.1, 1.4.3: contrast ratio, relative luminance).
FAINT_TEXTS = """
    for (const d of document.querySelectorAll("details")) d.open = true;
    const channels = colour => colour.match(/[\\d.]+/g).map(Number);
    const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = e => {
      for (; e; e = e.parentElement) {
        const colour = channels(getComputedStyle(e).backgroundColor);
        if (colour.length < 4 || colour[3] > 0) return colour;
      }
      return [255, 255, 255];
    };
    const faint = {};
    for (const e of document.querySelectorAll("body *")) {
      if (e.closest("script, defs")) continue;
      if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
      const style = getComputedStyle(e);
      const text = luminance(channels(e.tagName === "text" ? style.fill : style.color)), ground = luminance(behind(e));
      const contrast = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
      if (contrast < 4.5) faint[`${e.tagName}.${e.className} ${contrast.toFixed(1)}`] = e.textContent.slice(0, 40);
    }
    return faint"""


class Page(unittest.TestCase):
    """Three pages: of a run, of launches against a baseline, of several launches of a rack of GPUs."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.case = cli.TestCase()
        cls.case.setUp()
        cls.addClassCleanup(cls.case.doCleanups)
        cls.folder = folder = cls.case.folder
        measured = run("run", *FILTER, "--out", folder / "x.h5", "--label", "site=<b>lab", ranks=2)
        assert measured.returncode == 0, measured.stderr
        launches = folder / "launches"
        launches.mkdir()
        subprocess.run([os.environ["RACKPROOF_LAUNCHES"], launches], check=True, timeout=120)
        cls.base, cls.slow, cls.rack = (sorted(launches.glob(f"{name}-*.h5")) for name in ("base", "slow", "rack"))
        cls.pages = {}
        for name, arguments in {"run": [folder / "x.h5", "--title", "Rack <7>"], "rack": cls.rack,
                                "baseline": [*cls.slow, "--baseline", *cls.base]}.items():
            cls.pages[name] = folder / f"{name}.html"
            written = run("report", *arguments, "-o", cls.pages[name])
            assert written.returncode == 0, written.stderr
        cls.browser = open_browser()
        cls.addClassCleanup(cls.browser.quit)

    def open(self, page="run", width=1280, scheme="light"):
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia",
                                     {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                     {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False})
        self.browser.get(self.pages[page].as_uri())

    def each_page(self, **how):
        for page in self.pages:
            self.open(page, **how)
            yield page

    def marks(self, page):
        self.open(page)
        return dict(self.browser.execute_script(MARKS))

    def chart(self, page, words):
        """The marks of the one chart whose description begins with these words."""
        (marks,) = [count for name, count in self.marks(page).items() if name.startswith(words)]
        return marks

    def test_nothing_is_wrong_on_the_console_and_nothing_is_fetched(self):
        self.browser.get_log("browser")
        for scheme in ("light", "dark"):
            for page in self.each_page(scheme=scheme):
                self.assertEqual(self.browser.get_log("browser"), [], page)
                self.assertEqual(self.browser.execute_script(
                    "return performance.getEntriesByType('resource').map(e => e.name)"), [], page)

    def test_the_policy_stops_a_script_that_is_not_the_pages_own(self):
        self.open()
        self.browser.execute_script("const s = document.createElement('script'); s.textContent = 'window.stranger = 1';"
                                    "document.body.append(s)")
        self.assertIsNone(self.browser.execute_script("return window.stranger"))
        self.assertIn("Content Security Policy", str(self.browser.get_log("browser")))

    # ---- charts ----

    def test_every_chart_has_a_name_axes_and_the_pages_colours(self):
        for page in self.each_page():
            charts = self.browser.execute_script("""
                return [...document.querySelectorAll("svg.chart")].map(svg => ({
                    name: svg.getAttribute("aria-label"),
                    labels: svg.querySelectorAll("text").length,
                    colours: [...svg.querySelectorAll("path, polygon, use")].map(
                        e => e.getAttribute("stroke") || e.getAttribute("fill") || e.getAttribute("color"))}))""")
            for chart in charts:
                with self.subTest(chart=chart["name"]):
                    self.assertTrue(chart["name"])
                    self.assertGreater(chart["labels"], 2)
                    self.assertNotIn("rgb(", str(chart["colours"]))
            wanted = {"run": {"Heat map", "Roofline rate", "Share of", "Distribution of"},
                      "rack": {"Heat map", "Matrix of", "Roofline rate", "Distribution of", "power over", "clock over",
                               "temperature over"},
                      "baseline": {"Ratio of", "Heat map", "Roofline rate", "Distribution of"}}[page]
            self.assertLessEqual(wanted, {" ".join(chart["name"].split()[:2]).replace(":", "") for chart in charts})

    def listed_cases(self, page):
        """The cases in the tables: all but meetings of pairs."""
        self.open(page)
        return self.browser.execute_script(
            "return [...document.querySelectorAll('#tables tbody tr')].map(row => row.cells[0].textContent)")

    def test_a_distribution_has_a_line_for_every_launch_or_rank(self):
        of_many = {"path series-0": 1, "path series-1": 1, "path series-2": 1}
        expected = {
            "rack": lambda name: of_many,  # three launches, each in its colour
            "baseline": lambda name: {"path muted": 8, "path series-0": 8},  # at most eight of a side
            "run": lambda name: {"path muted": 1, "path series-1": 1} if "gemm/" in name else {"path series-0": 1}}
        for page, lines in expected.items():
            found = {re.sub(r"^Distribution of .* of (\S+): p50 .*", r"\1", name): marks
                     for name, marks in self.marks(page).items() if name.startswith("Distribution of")}
            self.assertEqual(found, {name: lines(name) for name in self.listed_cases(page)})

    def test_the_forest_has_every_ratio_where_it_belongs(self):
        found = run("compare", *self.base, "--to", *self.slow, "--json")
        cases = sorted(json.loads(found.stdout)["others"][0]["cases"], key=lambda case: -case["time_ratio"])
        self.assertEqual([case["verdict"] for case in cases], ["SLOWER", "SAME", "SAME", "FASTER"])
        self.assertEqual(self.chart("baseline", "Ratio of"), {
            "use bad": 1, "use series-0": 2, "use good": 1, "path bad": 1, "path series-0": 1, "path good": 1,
            "polygon grid": 4, "path muted": 1})  # the band of each row, and the line at no difference
        points, intervals, bands = self.browser.execute_script("""
            const svg = document.querySelector("svg[aria-label^='Ratio of']");
            const numbers = (e, name) => e.getAttribute(name).match(/-?[\\d.]+/g).map(Number);
            const bars = [...svg.querySelectorAll("path")].filter(
                e => ["var(--bad)", "var(--good)", "var(--series-0)"].includes(e.getAttribute("stroke")));
            // "M low,y L high,y" and the two ends of it.
            return [[...svg.querySelectorAll("use")].map(e => numbers(e, "transform").slice(0, 2)),
                    bars.flatMap(e => e.getAttribute("d").split("M").slice(1))
                        .map(one => one.match(/-?[\\d.]+/g).map(Number)).filter(([, y, , z]) => y === z),
                    [...svg.querySelectorAll("polygon")].map(e => numbers(e, "points"))]""")
        self.assertEqual(len(points), 4)
        points.sort(key=lambda point: point[1])
        intervals.sort(key=lambda interval: interval[1])
        # The axis is linear: two of the points give its scale, all else follows.
        (x0, _), (x1, _) = points[0], points[-1]
        scale = (x0 - x1) / (cases[0]["time_ratio"] - cases[-1]["time_ratio"])
        for case, point, interval in zip(cases, points, intervals, strict=True):
            with self.subTest(case=case["name"]):
                for ratio, x in ((case["time_ratio"], point[0]), (case["low"], interval[0]), (case["high"], interval[2])):
                    self.assertAlmostEqual(x, x0 + scale * (ratio - cases[0]["time_ratio"]), delta=0.1)
                self.assertAlmostEqual(point[1], interval[1], delta=0.1)
                (band,) = [b for b in bands if min(b[1::2]) < point[1] < max(b[1::2])]
                for ratio, x in ((1.0 / (1.0 + case["margin"]), min(band[::2])), (1.0 + case["margin"], max(band[::2]))):
                    self.assertAlmostEqual(x, x0 + scale * (ratio - cases[0]["time_ratio"]), delta=0.1)

    def test_the_matrix_has_every_pair_where_it_belongs(self):
        """All ten ranks met; what goes to or from node 1 takes 10 % more; nobody meets itself."""
        with h5py.File(self.rack[0]) as file:
            rounds = file["suites/links/partner"][...]
        met = {(rank, int(other)) for partners in rounds for rank, other in enumerate(partners) if other >= 0}
        self.assertEqual(met, {(a, b) for a in range(10) for b in range(10) if a != b})
        expected = {"polygon heat-7": 1}  # what is usual is one background
        for a in range(10):
            row = ["page" if a == b else "heat-10" if 1 in (a // 2, b // 2) else "heat-7" for b in range(10)]
            for b, ink in enumerate(row):
                if ink != "heat-7" and (b == 0 or row[b - 1] != ink):  # neighbours that are alike are one
                    expected[f"polygon {ink}"] = expected.get(f"polygon {ink}", 0) + 1
        self.assertEqual(self.chart("rack", "Matrix of pairs, 16 MiB"), expected)

    def test_the_map_of_ranks_shows_the_slow_one_in_every_case(self):
        products = [name for name in self.listed_cases("rack") if name.startswith("gemm/")]
        self.assertEqual(len(products), 19)
        self.assertEqual(self.chart("rack", "Heat map of 19 cases over 10 ranks"),
                         {"polygon heat-7": 1, "polygon heat-12": 19})
        places = self.browser.execute_script("""
            const cells = [...document.querySelectorAll("svg[aria-label^='Heat map'] polygon")].map(e => e.getBBox());
            const all = cells.shift();
            return cells.map(cell => 10 * (cell.x + cell.width / 2 - all.x) / all.width)""")
        for place in places:
            self.assertAlmostEqual(place, 7.5, delta=0.01)

    def test_the_roofline_has_a_mark_for_every_case_and_a_roof_for_every_type(self):
        for page, path in (("rack", self.rack[0]), ("run", self.folder / "x.h5")):
            cases = 0
            types = set()  # that have a share of a peak
            with h5py.File(path) as file:
                for name in ("gemm", "tokens"):
                    suite = file["suites"][name]
                    measured = (suite["samples"][...].max(axis=1) > 0) & (suite["flop"][...] > 0)
                    cases += int(measured.sum())
                    types |= set(suite["type"][...][measured])
            marks = self.chart(page, "Roofline")
            self.assertEqual(sum(count for kind, count in marks.items() if kind.startswith("use ")), cases, page)
            self.assertEqual([count for kind, count in marks.items() if kind.startswith("path ")], [1] * len(types), page)

    def test_telemetry_of_many_devices_is_a_band_and_a_line(self):
        for words in ("power", "clock", "temperature"):
            self.assertEqual(self.chart("rack", words + " over time"), {"polygon muted": 1, "path series-0": 1})

    def test_explained_steps_have_a_piece_for_every_share_of_their_table(self):
        marks = self.chart("run", "Share of products")
        rows = self.browser.execute_script("""
            return [...document.querySelectorAll("#tokens tbody tr")].map(
                row => [...row.cells].slice(2, 9).map(cell => cell.dataset.key === undefined ? null : Number(cell.dataset.key)))""")
        self.assertGreater(len(rows), 1)
        pieces = sum(share is not None for row in rows for share in row[:-1])
        self.assertGreater(pieces, len(rows))
        self.assertEqual(sum(count for kind, count in marks.items() if kind.startswith("polygon series-")), pieces)
        self.assertEqual(marks.get("polygon grid", 0),
                         sum(sum(share or 0.0 for share in row[:-1]) < 100.0 for row in rows))

    def test_no_label_lies_on_another_or_is_cut_off(self):
        for width in (1280, 400):
            for page in self.each_page(width=width):
                self.assertEqual(self.browser.execute_script(BAD_LABELS), [], page)

    # ---- tables ----

    def test_tables_are_sorted_by_the_heading_that_is_pressed(self):
        keys = """return [...arguments[0].tBodies[0].rows].map(r => r.cells[arguments[1]].dataset.key)
                      .filter(k => k !== undefined).map(Number)"""
        for page in self.each_page():
            tables = self.browser.find_elements(By.CSS_SELECTOR, "table.sortable")
            self.assertGreater(len(tables), 2)
            for table in tables:
                heads = table.find_elements(By.CSS_SELECTOR, "thead th")
                numbers = [i for i, head in enumerate(heads) if "n" in head.get_attribute("class").split()]
                if not numbers:
                    continue
                column = max(numbers, key=lambda i: len(set(self.browser.execute_script(keys, table, i))))
                for direction in ("ascending", "descending"):
                    heads[column].find_element(By.TAG_NAME, "button").click()
                    self.assertEqual(heads[column].get_attribute("aria-sort"), direction)
                    found = self.browser.execute_script(keys, table, column)
                    self.assertEqual(found, sorted(found, reverse=direction == "descending"), page)
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

    def test_text_can_be_read_in_the_light_and_in_the_dark(self):
        for scheme in ("light", "dark"):
            for page in self.each_page(scheme=scheme):
                self.assertEqual(self.browser.execute_script(FAINT_TEXTS), {}, page)

    def test_fits_narrow_and_wide_screens(self):
        for width in (400, 1280):
            for page in self.each_page(width=width):
                self.browser.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
                self.assertLessEqual(self.browser.execute_script("return document.scrollingElement.scrollWidth"), width, page)

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
        for page in self.each_page():
            ids = self.browser.execute_script("return [...document.querySelectorAll('[id]')].map(e => e.id)")
            self.assertEqual(sorted(set(ids)), sorted(ids), page)


if __name__ == "__main__":
    cli.main()
