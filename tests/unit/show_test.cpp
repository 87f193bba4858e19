#include "results/show.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <sstream>
#include <string>
#include <vector>

#include "results/reader.hpp"
#include "results/table.hpp"
#include "tests/unit/result_file_fixture.hpp"

namespace rackproof::results {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using namespace rackproof::results::testing;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// The line that starts with `name` and a space.
std::string row_of(const std::string& text, const std::string& name) {
  for (const std::string& line : lines_of(text)) {
    if (line.starts_with(name + " ")) return line;
  }
  ADD_FAILURE() << "no row '" << name << "' in\n" << text;
  return {};
}

std::string row_after(const std::string& text, const std::string& name) {
  const std::vector<std::string> lines = lines_of(text);
  const auto row = std::find_if(lines.begin(), lines.end(), [&](const auto& line) { return line.starts_with(name); });
  return row != lines.end() && row + 1 != lines.end() ? *(row + 1) : "";
}

/// One case with these times of each rank (s) and one figure, amount 1 "unit" a second.
std::filesystem::path write_case(const std::filesystem::path& path, const std::vector<std::vector<double>>& times,
                                 bool collective, const CaseOutcome& outcome, FigureHeader::Kind kind,
                                 std::uint8_t flags = 0) {
  RunHeader header = example_header();
  header.ranks.resize(times.size(), {"node", "host:0", "CPU", "", 0, 0});
  header.suites = {{"suite", {{"suite/case", {}, 0, 0, 0, 0, {{"figure", "unit", kind, 1.0}}, collective, ""}}}};
  Writer writer(path, header);
  RankBlock block;
  block.columns = static_cast<int>(times.front().size());
  for (const auto& rank : times) {
    block.samples.push_back(block.columns);
    block.time.insert(block.time.end(), rank.begin(), rank.end());
    block.flags.insert(block.flags.end(), rank.size(), flags);
  }
  writer.write_block(0, 0, block);
  writer.finish_case(0, 0, outcome);
  writer.finish();
  return path;
}

TEST(Show, says_what_devices_felt_what_held_them_back_and_what_was_counted) {
  const TemporaryFolder folder;
  const std::filesystem::path path = write_example(folder / "run.h5");
  const std::string text = show(path);
  EXPECT_THAT(text, HasSubstr("what the devices felt"));
  EXPECT_THAT(text, Not(HasSubstr("0  node-a host:0"))) << "its device told nothing";
  EXPECT_THAT(row_of(text, "   1  node-a host:1"),
              AllOf(HasSubstr("300 305 309"), HasSubstr("power_cap 10 %, too_hot 10 %"), HasSubstr("ecc_corrected +1"),
                    Not(HasSubstr("idle"))));
  EXPECT_THAT(row_of(text, "   2  nöde-b host:0"), AllOf(HasSubstr("300 310 319"), HasSubstr("power_cap 5 %")));
  EXPECT_THAT(show(path, {.case_regex = "gemm"}), Not(HasSubstr("what the devices felt")));
}

TEST(Show, says_whose_clock_times_are_by_where_it_is_not_the_hosts) {
  const TemporaryFolder folder;
  const std::filesystem::path path = write_example(folder / "run.h5");
  EXPECT_THAT(show(path), HasSubstr("Times of 1 case are by the devices' own clocks"));
  EXPECT_THAT(show(path, {.case_regex = "f32"}), Not(HasSubstr("own clocks")));
}

TEST(Show, of_many_devices_those_that_were_held_back_are_told_first) {
  const TemporaryFolder folder;
  RunHeader header = example_header();
  header.ranks.assign(20, {"node", "cuda:0", "GPU", "", 0, 0});
  TelemetryBlock block;
  block.columns = 1;
  block.values.resize(3);
  for (int rank = 0; rank < 20; ++rank) {
    block.ticks.push_back(1);
    block.readings.push_back(1);
    block.cost.push_back(0.0);
    block.time.push_back(1.0);
    block.values[0].push_back(500.0F);
    block.values[1].push_back(rank == 18 ? 4.0F : 1.0F);
    block.values[2].push_back(0.0F);
  }
  Writer writer(folder / "run.h5", header);
  writer.write_telemetry(block);
  writer.finish();
  const std::string text = show(folder / "run.h5");
  EXPECT_THAT(text, HasSubstr("and 4 more"));
  EXPECT_THAT(row_of(text, "  18  node"), HasSubstr("power_cap 100 %"));
  EXPECT_THAT(text, Not(HasSubstr("  19  node")));
  EXPECT_THAT(show(folder / "run.h5", {.ranks = true}), HasSubstr("  19  node"));
}

CaseOutcome passed(std::vector<double> figure_time) {
  CaseOutcome outcome;
  outcome.status = Status::passed;
  outcome.stop_reason = StopReason::converged;
  outcome.figure_time = std::move(figure_time);
  return outcome;
}

TEST(Show, says_first_what_was_measured_where) {
  const TemporaryFolder folder;
  const std::string text = show(write_example(folder / "run.h5"));
  EXPECT_THAT(text, AllOf(HasSubstr("3f0c1d3e-5b1f-4c1e-9d53-0d8f5e2f7a11"), HasSubstr("2026-03-05T14:03:22Z"),
                          HasSubstr("rackproof 0.1.0"), HasSubstr("2 nodes (node-a, nöde-b), 3 ranks"),
                          HasSubstr("3 x Example CPU"), HasSubstr("integrator=acme, site=zürich")));
  EXPECT_THAT(text, Not(HasSubstr("fake")));
}

TEST(Show, ends_with_the_counts_and_the_names_of_what_failed) {
  const TemporaryFolder folder;
  const std::string text = show(write_example(folder / "run.h5"));
  EXPECT_TRUE(text.ends_with("\n6 cases: 4 passed, 1 failed, 1 skipped\nFAILED gemm/bf16/m1000n1000k1000/packed\n"))
      << text;
}

TEST(Show, gives_the_figure_of_the_job_for_a_collective_case) {
  const TemporaryFolder folder;
  // Each rank takes 1 s; the job, from the last begin to the last end, 0.5 s.
  const auto file =
      write_case(folder / "x.h5", {{1, 1, 1}, {1, 1, 1}}, true, passed({0.25, 0.5, 4.0}), FigureHeader::Kind::rate);
  EXPECT_EQ(row_of(show(file), "suite/case"), "suite/case  PASSED        3  500 ms        -   2.000");
  EXPECT_THAT(show(file), Not(HasSubstr("slowest")));
}

TEST(Show, gives_the_typical_and_the_slowest_rank_for_independent_work) {
  const TemporaryFolder folder;
  const std::vector<std::vector<double>> times{{1.0, 1.0, 9.0}, {2.0, 2.0, 0.1}, {4.0, 4.0, 4.0}};
  const auto rate = write_case(folder / "x.h5", times, false, passed({4, 4, 9}), FigureHeader::Kind::rate);
  EXPECT_EQ(row_of(show(rate), "suite/case"), "suite/case  PASSED        3  2.00 s        -  0.5000  0.2500 @2");
  const auto time = write_case(folder / "y.h5", times, false, passed({4, 4, 9}), FigureHeader::Kind::time);
  EXPECT_EQ(row_of(show(time), "suite/case"), "suite/case  PASSED        3  2.00 s        -   2.000  4.000 @2");
}

TEST(Show, gives_the_interval_of_the_median_in_percent) {
  const TemporaryFolder folder;
  std::vector<double> times;
  for (int i = 0; i < 41; ++i) times.push_back(1.0 + 0.01 * ((i * 17) % 41 - 20));  // 0.8 to 1.2, median 1
  const auto file = write_case(folder / "x.h5", {std::vector<double>(40, 1.0)}, true,
                               passed({times.begin(), times.end() - 1}), FigureHeader::Kind::rate);
  EXPECT_THAT(row_of(show(file), "suite/case"), ContainsRegex(R"( 995 ms  -[0-9]\.[0-9] \+[0-9]\.[0-9] )"));
}

TEST(Show, marks_and_explains_what_is_less_certain) {
  const TemporaryFolder folder;
  CaseOutcome outcome = passed({1, 1, 1});
  outcome.stop_reason = StopReason::budget;
  const auto file = write_case(folder / "x.h5", {{1, 1, 1}}, true, outcome, FigureHeader::Kind::rate,
                               schema::flag_late | schema::flag_barrier);
  const std::string text = show(file);
  EXPECT_THAT(row_of(text, "suite/case"), HasSubstr(" 3~^="));
  EXPECT_THAT(
      text, AllOf(HasSubstr("\n~ sampling ended"), HasSubstr("\n^ more than"), HasSubstr("\n= started by a barrier")));
  const auto sure = write_case(folder / "y.h5", {{1, 1, 1}}, true, passed({1, 1, 1}), FigureHeader::Kind::rate);
  EXPECT_THAT(show(sure), Not(HasSubstr("~")));
}

TEST(Show, marks_samples_too_short_for_the_clock_and_shares_above_a_peak) {
  const TemporaryFolder folder;
  const auto brief =
      write_case(folder / "x.h5", {{1, 1, 1}}, true, passed({1, 1, 1}), FigureHeader::Kind::rate, schema::flag_short);
  EXPECT_THAT(row_of(show(brief), "suite/case"), HasSubstr(" 3* "));
  EXPECT_THAT(show(brief), HasSubstr("\n* reading the clock"));
  for (const double share : {99.0, 120.0}) {
    RunHeader header = example_header();
    header.suites.resize(1);
    header.suites[0].cases.resize(1);
    header.suites[0].cases[0].figures = {{"of_peak", "%", FigureHeader::Kind::rate, share * 1e-3}};  // times of 1 ms
    const std::string text = show(write_example(folder / (std::to_string(share) + ".h5"), header));
    EXPECT_EQ(text.find("\n! above 100 % of the peak") != std::string::npos, share > 100.0) << text;
  }
}

TEST(Show, gives_the_reason_below_a_case_that_did_not_pass) {
  const TemporaryFolder folder;
  const std::string text = show(write_example(folder / "run.h5"));
  EXPECT_THAT(row_of(text, "gemm/bf16/m1000n1000k1000/packed"), HasSubstr("FAILED"));
  EXPECT_EQ(row_after(text, "gemm/bf16/m1000n1000k1000/packed"), "    naïve sum differs on rank 2");
  EXPECT_EQ(row_of(text, "allreduce/f32/sum/1073741824B") + "|", "allreduce/f32/sum/1073741824B  SKIPPED|");
  EXPECT_EQ(row_after(text, "allreduce/f32/sum/1073741824B"), "    needs 3 GiB, and 2 GiB are free");
}

TEST(Show, shows_cases_of_one_suite_apart_where_they_have_other_figures) {
  const TemporaryFolder folder;
  RunHeader header = example_header();
  header.suites.resize(1);
  header.suites[0].cases[1].figures = {{"ttft", "ms", FigureHeader::Kind::time, 1e3}};
  const std::string text = show(write_example(folder / "run.h5", header));
  const std::vector<std::string> lines = lines_of(text);
  const auto headers =
      std::count_if(lines.begin(), lines.end(), [](const auto& line) { return line.starts_with("case "); });
  EXPECT_EQ(headers, 2) << text;
  EXPECT_LT(text.find("gemm/f64/m64n64k64"), text.find("gemm/bf16")) << "the case without figures stays with the first";
}

TEST(Show, gives_one_row_a_rank) {
  const TemporaryFolder folder;
  write_example(folder / "run.h5");
  const std::string text = show(folder / "run.h5", {.case_regex = "^gemm/f32", .ranks = true});
  std::vector<std::string> rows;
  for (const std::string& line : lines_of(text)) {
    if (line.starts_with("gemm/f32")) rows.push_back(line);
  }
  ASSERT_EQ(rows.size(), 3U) << text;
  EXPECT_THAT(rows[2], AllOf(HasSubstr("   2  nöde-b  host:0"), HasSubstr("0.3000"), HasSubstr("fedcba98")));
  EXPECT_THAT(rows[0], HasSubstr("1.999")) << "TFLOP/s from the rank's own times";
  EXPECT_THAT(text, Not(HasSubstr("allreduce")));
  EXPECT_THAT(text, HasSubstr("\n1 case: 1 passed\n"));
}

/// 1 ms to n ms, in no order: `step` and n have no common divisor.
std::vector<double> milliseconds(int n, int step) {
  std::vector<double> times;
  for (int i = 0; i < n; ++i) times.push_back(1e-3 * (1 + (static_cast<long>(i) * step) % n));
  return times;
}

TEST(Show, gives_quantiles_with_bounds_that_hold_with_95_percent) {
  const TemporaryFolder folder;
  RunHeader header = example_header();
  header.ranks.resize(1);
  header.max_samples = 3000;
  header.suites = {{"suite",
                    {{"suite/a", {}, 0, 0, 0, 0, {}, true, ""},
                     {"suite/b", {}, 0, 0, 0, 0, {}, true, ""},
                     {"suite/c", {}, 0, 0, 0, 0, {}, true, "not here"}}}};
  {
    Writer writer(folder / "x.h5", header);
    writer.finish_case(0, 0, passed(milliseconds(2995, 7919)));
    writer.finish_case(0, 1, passed(milliseconds(20, 7)));
    writer.finish();
  }
  const std::string text = show(folder / "x.h5", {.quantiles = true});
  // Bounds of 2995 values: x(1544), x(2723), x(2975) and the largest; of 20 values x(15), and none for p90.
  EXPECT_EQ(
      row_of(text, "suite/a"),
      "suite/a  PASSED      2995   1.50 s   1.54 s       2.70 s   2.72 s       2.97 s   2.98 s       2.99 s   3.00 s");
  EXPECT_EQ(
      row_of(text, "suite/b"),
      "suite/b  PASSED        20  10.5 ms  15.0 ms  n too small        -  n too small        -  n too small        -");
  EXPECT_EQ(row_of(text, "suite/c") + "|", "suite/c  SKIPPED|");
  EXPECT_THAT(text, HasSubstr("\n3 cases: 2 passed, 1 skipped\n"));
}

TEST(Show, counts_fewer_samples_for_a_tail_where_neighbours_are_alike) {
  const TemporaryFolder folder;
  std::vector<double> slow;  // a ramp: 40 samples that are worth one or two
  for (int i = 0; i < 40; ++i) slow.push_back(1.0 + 0.01 * i);
  const auto file = write_case(folder / "x.h5", {slow}, true, passed(slow), FigureHeader::Kind::rate);
  EXPECT_THAT(row_of(show(file, {.quantiles = true}), "suite/case"),
              HasSubstr("40  n too small        -  n too small"));
}

TEST(Show, breaks_a_page_of_quantiles_that_would_be_too_wide_in_two) {
  const TemporaryFolder folder;
  RunHeader header = example_header();
  header.suites.resize(1);
  header.suites[0].cases.resize(1);
  header.suites[0].cases[0].name = "gemm/" + std::string(50, 'x');
  {
    Writer writer(folder / "run.h5", header);
    writer.write_block(0, 0, example_block(0, 0, 0, 3, 30));
    writer.finish_case(0, 0, example_outcome(0, 0, 3, 30));
    writer.finish();
  }
  const std::string text = show(folder / "run.h5", {.quantiles = true});
  std::size_t heads = 0;
  for (const std::string& line : lines_of(text)) {
    EXPECT_LE(display_width(line), 120U) << line;
    heads += line.starts_with("case ") ? 1U : 0U;
  }
  EXPECT_EQ(heads, 2U);
}

TEST(Show, lines_up_and_fits_the_page) {
  const TemporaryFolder folder;
  write_example(folder / "run.h5");
  for (const bool ranks : {false, true}) {
    std::vector<std::size_t> gaps;
    for (const std::string& line : lines_of(show(folder / "run.h5", {.case_regex = "", .ranks = ranks}))) {
      EXPECT_LE(display_width(line), ranks ? 124U : 120U) << line;
      EXPECT_FALSE(line.ends_with(" ")) << line;
      if (line.starts_with("---")) {
        gaps.clear();
        for (std::size_t i = 0; i < line.size(); ++i) {
          if (line[i] == ' ') gaps.push_back(i);
        }
      } else if (line.starts_with("gemm/") || line.starts_with("allreduce/")) {
        const bool ascii = std::all_of(line.begin(), line.end(), [](char c) { return c > 0; });
        for (const std::size_t gap : gaps) EXPECT_TRUE(!ascii || gap >= line.size() || line[gap] == ' ') << line;
      }
    }
    EXPECT_FALSE(gaps.empty());
  }
}

TEST(Show, drops_figures_rather_than_overflow_the_page) {
  const TemporaryFolder folder;
  RunHeader header = example_header();
  header.suites.resize(1);
  header.suites[0].cases.resize(1);
  for (int i = 0; i < 12; ++i) {
    header.suites[0].cases[0].figures.push_back(
        {"figure_number_" + std::to_string(i), "x", FigureHeader::Kind::rate, 1.0});
  }
  {
    Writer writer(folder / "run.h5", header);
    writer.write_block(0, 0, example_block(0, 0, 0, 3, 30));
    writer.finish_case(0, 0, example_outcome(0, 0, 3, 30));
    writer.finish();
  }
  const std::string text = show(folder / "run.h5");
  for (const std::string& line : lines_of(text)) EXPECT_LE(display_width(line), 120U) << line;
  EXPECT_THAT(text, AllOf(HasSubstr("rate"), HasSubstr("(more figures in the file)")));
}

TEST(Show, warns_of_a_fake_device_and_of_a_run_that_broke_off) {
  const TemporaryFolder folder;
  RunHeader header = example_header();
  header.device_fake = true;
  {
    Writer writer(folder / "run.h5", header);
    writer.write_block(0, 0, example_block(0, 0, 0, 3, 30));
    writer.finish_case(0, 0, example_outcome(0, 0, 3, 30));
  }
  const std::string text = show(folder / "run.h5.part");
  EXPECT_THAT(text, AllOf(HasSubstr("fake device"), HasSubstr("6 cases: 1 passed, 1 skipped, 4 not run")));
  EXPECT_EQ(row_of(text, "gemm/f64/m64n64k64") + "|", "gemm/f64/m64n64k64                not run|");
}

TEST(Show, names_the_libraries_that_decide_figures_in_one_line) {
  const TemporaryFolder folder;
  RunHeader header = example_header();
  const std::string node = R"({"build_id": "x", "libraries": [
      {"path": "/usr/lib/libdnnl.so.2.6", "version": "2.6.3"},
      {"path": "/usr/lib/libmpi.so.40.30.4", "version": "Open MPI v4.1.4, package: Debian"},
      {"path": "/usr/lib/libopenblasp-r0.3.21.so", "version": "OpenBLAS 0.3.21 DYNAMIC_ARCH"},
      {"path": "/usr/lib/libm.so.6"}]})";
  header.provenance["libraries"] = "[" + node + "]";
  const std::string wanted = "libraries  Open MPI v4.1.4, oneDNN 2.6.3, OpenBLAS 0.3.21";
  EXPECT_THAT(show(write_example(folder / "one.h5", header)), HasSubstr(wanted + "\n"));
  std::string other = node;
  other.replace(other.find("2.6.3"), 5, "3.0.0");
  header.provenance["libraries"] = "[" + node + "," + other + "]";
  EXPECT_THAT(show(write_example(folder / "two.h5", header)),
              HasSubstr(wanted + " on the first node; NOT the same on all nodes"));
  for (const char* odd : {"not json", "{}", "[1, 2]", R"([{"libraries": 3}])", R"([{"libraries": [{"path": 3}]}])"}) {
    header.provenance["libraries"] = odd;
    header.provenance["labels"] = odd;
    EXPECT_THAT(show(write_example(folder / ("odd" + std::to_string(std::hash<std::string>()(odd)) + ".h5"), header)),
                StartsWith("run "));
  }
}

TEST(Show, refuses_expressions_that_are_malformed_or_match_nothing) {
  const TemporaryFolder folder;
  write_example(folder / "run.h5");
  EXPECT_THAT(error_of(ExitCode::usage, [&] { static_cast<void>(show(folder / "run.h5", {.case_regex = "gemm["})); }),
              AllOf(HasSubstr("'gemm['"), HasSubstr("regular expression")));
  EXPECT_THAT(error_of(ExitCode::usage, [&] { static_cast<void>(show(folder / "run.h5", {.case_regex = "zzz"})); }),
              AllOf(HasSubstr("'zzz'"), HasSubstr("run.h5"), HasSubstr("gemm/f32/m1000n1000k1000")));
}

/// The same two cases with two backends; the second case failed with the second of them.
std::filesystem::path write_two_backends(const std::filesystem::path& path) {
  RunHeader header = example_header();
  header.suites = {{"allreduce", {}}};
  for (const std::int64_t bytes : {std::int64_t{1024}, std::int64_t{4096}}) {
    for (const std::string backend : {"nccl", "mpi"}) {
      const std::string name = "allreduce/f32/" + std::to_string(bytes) + "B" + (backend == "mpi" ? "/mpi" : "");
      header.suites[0].cases.push_back({name,
                                        {{"type", std::string("f32")}, {"backend", backend}},
                                        0,
                                        0,
                                        0,
                                        bytes,
                                        {{"latency", "us", FigureHeader::Kind::time, 1e6}},
                                        true,
                                        ""});
    }
  }
  Writer writer(path, header);
  for (std::size_t c = 0; c < 4; ++c) {
    writer.write_block(0, c, example_block(0, c, 0, 3, 30));
    CaseOutcome outcome = passed(std::vector<double>(30, c % 2 == 0 ? 2e-3 : 5e-3));
    if (c == 3) outcome.status = Status::failed;
    writer.finish_case(0, c, outcome);
  }
  writer.finish();
  return path;
}

TEST(Show, puts_the_backends_of_a_case_side_by_side) {
  const TemporaryFolder folder;
  const std::string text = show(write_two_backends(folder / "run.h5"));
  const std::string table = text.substr(text.find("side by side"));
  EXPECT_THAT(table, StartsWith("side by side"));
  EXPECT_THAT(row_of(table, "allreduce/f32/1024B"), ContainsRegex("2\\.00 ms +5\\.00 ms +2\\.50"));
  EXPECT_THAT(row_of(table, "allreduce/f32/4096B"), ContainsRegex("2\\.00 ms +- +-$"));
  EXPECT_THAT(show(write_example(folder / "one.h5")), Not(HasSubstr("side by side")));
}

}  // namespace
}  // namespace rackproof::results
