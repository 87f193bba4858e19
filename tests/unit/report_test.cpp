#include "results/report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <regex>
#include <set>

#include "result_file_fixture.hpp"
#include "results/report/chart_sheet.hpp"
#include "results/report/charts.hpp"
#include "results/report/gnuplot.hpp"

namespace rackproof::results {
namespace {

using namespace rackproof::results::testing;  // NOLINT(google-build-using-namespace)
using ::testing::HasSubstr;
using ::testing::Not;

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + what.size())) ++found;
  return found;
}

std::string page_of(const std::filesystem::path& file) {
  ReportOptions options;
  options.files = {file};
  options.allow_fake = true;
  return report_page(options);
}

// ---- gnuplot ----

TEST(Gnuplot, that_is_not_installed_is_named_with_its_package) {
  const std::string line =
      error_of(ExitCode::usage, [] { (void)run_gnuplot("", {.program = "no-such-gnuplot-anywhere"}); });
  EXPECT_THAT(line, HasSubstr("gnuplot-nox"));
}

TEST(Gnuplot, that_fails_says_why) {
  const std::string line = error_of(ExitCode::internal, [] { (void)run_gnuplot("plot $nothing\n"); });
  EXPECT_THAT(line, HasSubstr("gnuplot failed"));
}

TEST(Gnuplot, that_takes_too_long_is_ended) {
  const std::string line = error_of(ExitCode::internal, [] { (void)run_gnuplot("pause 600\n", {.time_limit = 0.2}); });
  EXPECT_THAT(line, HasSubstr("took more than"));
}

TEST(Gnuplot, gets_scripts_and_gives_output_of_any_length) {
  std::string script;
  for (int i = 0; i < 20'000; ++i) script += "print \"0123456789\"\n";
  script = "set print \"-\"\n" + script;
  EXPECT_EQ(run_gnuplot(script).size(), 20'000U * 11);
}

// ---- charts ----

TEST(ChartSheet, hands_no_text_to_gnuplot_but_its_marks) {
  const TemporaryFolder folder;
  const std::filesystem::path trace = folder / "trace";
  ChartSheet sheet;
  std::string labels;
  const std::vector<std::string> hostile{"'; system(\"touch " + trace.string() + "\") #",
                                         "`touch " + trace.string() + "`",
                                         "\n!touch " + trace.string() + "\n",
                                         "%s%n%1000000d",
                                         "a_b^c{x} \\ zQ1Qz",
                                         "</text><script>alert(1)</script>"};
  for (const std::string& text : hostile) {
    labels += fmt::format("{}{} {}", labels.empty() ? "" : ", ", sheet.label(text), labels.size());
  }
  const std::string here = sheet.add(
      300, 200, "<x>", fmt::format("set xrange [0:200]\nset yrange [0:1]\nset xtics ({})\nplot 0.5\n", labels));
  for (const std::string& text : hostile) EXPECT_THAT(sheet.script(), Not(HasSubstr(text)));
  EXPECT_THAT(sheet.script(), Not(HasSubstr("touch")));
  const std::string page = sheet.place("before " + here + " after");
  EXPECT_FALSE(std::filesystem::exists(trace));
  EXPECT_THAT(page, HasSubstr("before <svg"));
  EXPECT_THAT(page, HasSubstr("</svg> after"));
  EXPECT_THAT(page, HasSubstr("&#39;; system(&quot;touch"));
  EXPECT_THAT(page, HasSubstr("%s%n%1000000d"));
  EXPECT_THAT(page, HasSubstr("a_b^c{x} \\ zQ1Qz")) << "a text that looks like a mark is text";
  EXPECT_THAT(page, Not(HasSubstr("<script>")));
}

TEST(ChartSheet, draws_every_chart_in_its_place_without_identifiers) {
  ChartSheet sheet;
  std::string page;
  for (int i = 0; i < 3; ++i) {
    page = sheet.add(200, 100, fmt::format("chart number {}", i),
                     data_block("d", std::vector<std::vector<double>>{{0, 1}, {1, 2}}) +
                         fmt::format("plot $d using 1:2 with linespoints pointtype 7 linecolor {}\n",
                                     gnuplot_colour(series_ink(static_cast<std::size_t>(i))))) +
           page;
  }
  page = sheet.place(page);
  EXPECT_LT(page.find("chart number 2"), page.find("chart number 0"));
  for (int i = 0; i < 3; ++i) EXPECT_THAT(page, HasSubstr(fmt::format("var(--series-{})", i)));
  EXPECT_THAT(page, Not(HasSubstr(" id=")));
  EXPECT_THAT(page, Not(HasSubstr("rgb(")));
  EXPECT_THAT(svg_points(), HasSubstr("id=\"gpPt6\"")) << "what points refer to";
  EXPECT_THAT(page, HasSubstr("href=\"#gpPt6\""));
}

TEST(Charts, heat_levels_are_steps_of_the_ratio) {
  EXPECT_EQ(heat_level(1.0, 0.01), 7);
  EXPECT_EQ(heat_level(1.004, 0.01), 7);
  EXPECT_EQ(heat_level(1.01, 0.01), 8);
  EXPECT_EQ(heat_level(1.0 / 1.0201, 0.01), 5);
  EXPECT_EQ(heat_level(9.0, 0.01), 14);
  EXPECT_EQ(heat_level(0.1, 0.01), 0);
  EXPECT_EQ(heat_level(std::nan(""), 0.01), -1);
}

TEST(Charts, steps_of_an_axis_are_round) {
  EXPECT_DOUBLE_EQ(nice_step(10.0, 5), 2.0);
  EXPECT_DOUBLE_EQ(nice_step(1.1, 5), 0.5);
  EXPECT_DOUBLE_EQ(nice_step(0.3, 4), 0.1);
}

TEST(Charts, a_long_name_loses_its_middle) {
  EXPECT_EQ(shortened("gemm/f32/plain", 20), "gemm/f32/plain");
  EXPECT_EQ(shortened("0123456789", 5), "01…89");
  EXPECT_EQ(shortened("äöüäöüäöü", 5), "äö…öü");
}

// ---- pages ----

TEST(ReportPage, has_every_case_of_the_file_and_what_is_wrong_with_it) {
  const TemporaryFolder folder;
  const std::string page = page_of(write_example(folder / "x.h5"));
  const RunHeader header = example_header();
  for (const SuiteHeader& suite : header.suites) {
    for (const CaseHeader& one : suite.cases) EXPECT_THAT(page, HasSubstr(">" + one.name + "<")) << one.name;
  }
  EXPECT_THAT(page, HasSubstr("naïve sum differs on rank 2"));
  EXPECT_THAT(page, HasSubstr("needs 3 GiB, and 2 GiB are free"));
  EXPECT_THAT(page, HasSubstr(">FAIL<"));
  EXPECT_THAT(page, HasSubstr("node-a"));
  EXPECT_THAT(page, HasSubstr("zürich"));
}

TEST(ReportPage, holds_all_that_it_needs) {
  const TemporaryFolder folder;
  const std::string page = page_of(write_example(folder / "x.h5"));
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  const std::regex reference(R"((src|href)="(?!#|data:))");
  EXPECT_FALSE(std::regex_search(page, reference));
  EXPECT_THAT(page, Not(HasSubstr("http://")));
  EXPECT_THAT(page, Not(HasSubstr("https://")));
  EXPECT_THAT(page, Not(HasSubstr("<!--chart")));
  EXPECT_THAT(page, Not(HasSubstr("zQ")));
}

TEST(ReportPage, identifiers_are_there_once) {
  const TemporaryFolder folder;
  const std::string page = page_of(write_example(folder / "x.h5"));
  const std::regex identifier(R"re(\sid="([^"]*)")re");
  std::set<std::string> seen;
  for (std::sregex_iterator i(page.begin(), page.end(), identifier), end; i != end; ++i) {
    EXPECT_TRUE(seen.insert((*i)[1]).second) << (*i)[1];
  }
  EXPECT_GT(seen.size(), 3U);
}

TEST(ReportPage, text_from_the_file_is_neither_markup_nor_command) {
  const TemporaryFolder folder;
  const std::filesystem::path trace = folder / "trace";
  RunHeader header = example_header();
  const std::string hostile =
      "<img src=x onerror=alert(1)>'; system(\"touch " + trace.string() + "\") `touch " + trace.string() + "`";
  for (SuiteHeader& suite : header.suites) {
    for (CaseHeader& one : suite.cases) one.name = hostile + one.name;
    for (CaseHeader& one : suite.cases) {
      for (FigureHeader& figure : one.figures) figure.unit = "</small><script>1</script>";
    }
  }
  for (RankHeader& rank : header.ranks) {
    rank.hostname = rank.device_id = rank.serial = rank.device_name = hostile;
  }
  header.software = header.date = hostile;
  header.telemetry[0].unit = hostile;
  header.provenance["labels"] = R"({"<script>": "</dd><script>2</script>"})";
  header.provenance["command"] = "</pre><script>3</script>";
  const std::string page = page_of(write_example(folder / "x.h5", header));
  EXPECT_FALSE(std::filesystem::exists(trace));
  EXPECT_THAT(page, HasSubstr("&lt;img src=x onerror=alert(1)&gt;"));
  EXPECT_THAT(page, Not(HasSubstr("<img")));
  EXPECT_EQ(count(page, "<script>"), 1U) << "the page's own";
}

TEST(ReportPage, of_several_launches_shows_how_they_spread) {
  const TemporaryFolder folder;
  RunHeader other = example_header();
  other.run_id = "4f0c1d3e-5b1f-4c1e-9d53-0d8f5e2f7a11";
  ReportOptions options;
  options.files = {write_example(folder / "a.h5"), write_example(folder / "b.h5", other)};
  options.title = "Two <launches>";
  const std::string page = report_page(options);
  EXPECT_THAT(page, HasSubstr("<h1>Two &lt;launches&gt;</h1>"));
  EXPECT_THAT(page, HasSubstr("launches <small>% of it</small>"));
  EXPECT_THAT(page, HasSubstr("a.h5"));
}

TEST(ReportPage, against_a_baseline_has_a_call_for_every_case) {
  const TemporaryFolder folder;
  ReportOptions options;
  options.files = {write_example(folder / "new.h5")};
  RunHeader other = example_header();
  other.run_id = "4f0c1d3e-5b1f-4c1e-9d53-0d8f5e2f7a11";
  options.baseline = {write_example(folder / "old.h5", other)};
  const std::string page = report_page(options);
  EXPECT_THAT(page, HasSubstr("Ratio of times with 95 % intervals"));
  EXPECT_THAT(page, HasSubstr("Every case, launches against the baseline"));
  EXPECT_THAT(page, HasSubstr("INCONCLUSIVE")) << "one launch a side decides nothing";
}

/// Many ranks on nodes of 8, two cases; rank 1234 takes 20 % longer.
RunHeader large_header(int ranks) {
  RunHeader header = example_header();
  header.ranks.clear();
  for (int r = 0; r < ranks; ++r) {
    header.ranks.push_back({fmt::format("node-{}", r / 8), fmt::format("cuda:{}", r % 8), "Example GPU",
                            fmt::format("SN-{}", r), r / 8, r % 8});
  }
  header.suites.resize(1);
  header.telemetry.clear();
  header.telemetry_ticks = 0;
  return header;
}

TEST(ReportPage, of_ten_thousand_ranks_names_the_worst_and_stays_small) {
  const TemporaryFolder folder;
  constexpr int ranks = 10'240;
  constexpr int slow = 1234;
  const RunHeader header = large_header(ranks);
  Writer writer(folder / "x.h5", header);
  for (std::size_t c = 0; c < header.suites[0].cases.size(); ++c) {
    for (int first = 0; first < ranks; first += 1024) {
      RankBlock block = example_block(0, c, first, 1024, 8);
      for (int r = 0; r < 1024; ++r) {
        const double factor = first + r == slow ? 1.2 : 1.0;
        for (int i = 0; i < 8; ++i) block.time[static_cast<std::size_t>(r * 8 + i)] = 1e-3 * factor * (1.0 + 1e-4 * i);
      }
      block.host_time.clear();
      writer.write_block(0, c, block);
    }
    CaseOutcome outcome = example_outcome(0, c, 1, 8);
    writer.finish_case(0, c, outcome);
  }
  writer.finish();
  const std::string page = page_of(folder / "x.h5");
  EXPECT_THAT(page, HasSubstr("SN-1234<"));
  EXPECT_THAT(page, HasSubstr("+20.0 @1234"));
  EXPECT_THAT(page, HasSubstr("A column is 112 ranks"));
  EXPECT_LT(page.size(), std::size_t{1} << 20);
}

}  // namespace
}  // namespace rackproof::results
