#include "results/network_report.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "common/core/units.hpp"
#include "results/table.hpp"
#include "tests/unit/network_fixture.hpp"
#include "tests/unit/result_file_fixture.hpp"
#include "tests/unit/sweep_fixture.hpp"

namespace rackproof::results {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using namespace rackproof::results::testing;
using stats::testing::Machine;

double straight(double bytes) { return 2e-6 + bytes / 10e9; }

std::filesystem::path write_run(const TemporaryFolder& folder, Machine& machine, int ranks, double factor = 1.0,
                                int ranks_a_node = 2) {
  const auto time = [&](double bytes) {
    return factor * (2.0 * std::ceil(std::log2(ranks)) * 1e-6 + 2.0 * (ranks - 1.0) / ranks * bytes / 20e9);
  };
  const double whole = machine.effect(0.02);
  return write_sweep(folder / fmt::format("n{}.h5", ranks),
                     {ranks, ranks_a_node, "f32", fmt::format("00000000-0000-4000-8000-{:012}", ranks)},
                     machine.sweep([&](double bytes) { return whole * time(bytes); }, 0.01));
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// The cells of the first line that starts with `begin`, blanks apart.
std::vector<std::string> words_after(const std::string& text, const std::string& begin) {
  for (const std::string& line : lines_of(text)) {
    const std::size_t start = line.find_first_not_of(' ');
    if (start == std::string::npos || !line.substr(start).starts_with(begin)) continue;
    std::istringstream in(line.substr(start + begin.size()));
    std::vector<std::string> words;
    for (std::string word; in >> word;) words.push_back(word);
    return words;
  }
  ADD_FAILURE() << "no line '" << begin << "' in\n" << text;
  return std::vector<std::string>(20, "0");
}

TEST(NetworkReport, gives_the_model_of_a_series_under_the_name_that_its_cases_share) {
  const TemporaryFolder folder;
  const std::string text = network_report({write_sweep(folder / "x.h5", {}, Machine(1).sweep(straight))});
  EXPECT_THAT(text, HasSubstr("\nallreduce/f32/in-place, 2 ranks on 1 node, 12 sizes from 8 B to 32 MiB\n"));
  const auto row = words_after(text, "8 B  32 MiB");
  EXPECT_EQ(row[0], "12");
  EXPECT_NEAR(std::stod(row[1]), 2.0, 0.02);
  EXPECT_LE(std::stod(row[2]), 2.0);
  EXPECT_GE(std::stod(row[4]), 2.0);
  EXPECT_NEAR(std::stod(row[5]), 10.0, 0.2);
  EXPECT_NEAR(std::stod(row[9]), 19.5, 1.0) << "alpha / beta in KiB";
  EXPECT_THAT(text, AllOf(HasSubstr("none is off the model"), Not(HasSubstr("crossover"))));
  EXPECT_THAT(text, Not(HasSubstr("efficiency"))) << "no bandwidth was given";
}

TEST(NetworkReport, names_crossovers_and_sizes_off_the_model) {
  const TemporaryFolder folder;
  auto sizes = Machine(2).sweep([](double s) { return s < 40e3 ? straight(s) : 12e-6 + s / 25e9; });
  for (double& t : sizes[2].times) t *= 1.5;  // 128 B
  const std::string text = network_report({write_sweep(folder / "x.h5", {}, sizes)});
  EXPECT_THAT(text, HasSubstr("crossover above 32 KiB, at 128 KiB or below; the lines meet at 1"));
  EXPECT_THAT(text, HasSubstr("off the model: 128 B takes 3."));
  EXPECT_THAT(text, HasSubstr(" % more than the 2.0"));
  EXPECT_THAT(text, HasSubstr("; 1 size off the model"));
}

TEST(NetworkReport, holds_the_largest_message_against_each_way_of_doing_it) {
  const TemporaryFolder folder;
  const auto file = write_sweep(folder / "x.h5", {.ranks = 4}, Machine(3).sweep(straight));
  NetworkOptions options;
  options.link_bandwidth = 20e9;
  options.node_bandwidth = 15e9;
  options.link_latency = 0.5e-6;
  const std::string text = network_report({file}, options);
  // 32 MiB at 10 GB/s take 3.36 ms, as 4 ranks on two nodes: 1.5 S / 20 GB/s = 2.52 ms, S / 15 GB/s = 2.24 ms.
  const auto row = words_after(text, "point to point  2 (n-1)/n S / B");
  EXPECT_EQ(row[0] + " " + row[1], "2.52 ms");
  EXPECT_EQ(row[2], "20.00");
  EXPECT_NEAR(std::stod(row[3]), 75.0, 2.0);
  EXPECT_NEAR(std::stod(words_after(text, "between nodes   2 (N-1)/N S / B_N")[3]), 66.7, 2.0);
  EXPECT_NEAR(std::stod(words_after(text, "SHARP           S / B")[3]), 50.0, 2.0);
  EXPECT_NEAR(std::stod(words_after(text, "NVLS            (n+1)/n S / B")[3]), 62.5, 2.0);
  EXPECT_NEAR(std::stod(words_after(text, "double tree     2 S / B")[3]), 100.0, 3.0);
  // 8 B: two messages of 0.5 us one after the other, of 2 us.
  const auto small = words_after(text, "8 B");
  EXPECT_THAT(text, HasSubstr("1.00 us       50."));
  EXPECT_THAT(text, Not(HasSubstr("the network adds")));
  options.link_bandwidth = 10e9;
  EXPECT_THAT(network_report({file}, options), HasSubstr("above 100 %: the network adds (NVLS, SHARP)"));
}

TEST(NetworkReport, extrapolates_over_files_and_tests_itself_on_the_largest) {
  const TemporaryFolder folder;
  Machine machine(4);
  std::vector<std::filesystem::path> files;
  for (const int n : {2, 4, 8, 16}) files.push_back(write_run(folder, machine, n, 1.0, 16));
  NetworkOptions options;
  options.extrapolate = 64;
  const std::string text = network_report(files, options);
  EXPECT_THAT(text, HasSubstr("\nallreduce/f32/in-place over 4 runs with 2, 4, 8, 16 ranks\n"));
  const auto law = words_after(text, "8 B  32 MiB  2 ceil(log2 n)");
  EXPECT_NEAR(std::stod(law[0]), 1.0, 0.05);
  EXPECT_NEAR(std::stod(law[1]), 20.0, 1.0);
  EXPECT_THAT(text, HasSubstr("\nextrapolated to 64 ranks:\n"));
  const std::string predicted = text.substr(text.find("extrapolated"));
  const auto row = words_after(predicted, "8 B");
  EXPECT_NEAR(std::stod(row[0]), 12.0, 0.6);
  EXPECT_LT(std::stod(row[2]), 12.0);
  EXPECT_GT(std::stod(row[5]), 12.0);
  EXPECT_THAT(text, HasSubstr("\nback-test: 16 ranks, predicted from the runs with fewer:\n"));
  EXPECT_THAT(text, AllOf(HasSubstr("12 of 12 sizes covered; intervals reach up to 1."), Not(HasSubstr("WARNING"))));
}

TEST(NetworkReport, the_back_test_says_where_the_prediction_fails) {
  const TemporaryFolder folder;
  Machine machine(5);
  std::vector<std::filesystem::path> files;
  for (const int n : {2, 4, 8, 16, 32}) files.push_back(write_run(folder, machine, n, n == 32 ? 3.0 : 1.0, 8));
  const std::string text = network_report(files);
  EXPECT_THAT(text, HasSubstr("\n0 of 12 sizes covered"));
  EXPECT_THAT(text, HasSubstr("  NO\n"));
  EXPECT_THAT(text, HasSubstr("WARNING: runs on one node and on several are mixed"));
  EXPECT_THAT(text, Not(HasSubstr("extrapolated")));
}

TEST(NetworkReport, two_rank_counts_are_too_few_for_a_back_test) {
  const TemporaryFolder folder;
  Machine machine(6);
  const std::vector<std::filesystem::path> files{write_run(folder, machine, 2), write_run(folder, machine, 4)};
  EXPECT_THAT(network_report(files), HasSubstr("no back-test: it needs files of three rank counts"));
}

TEST(NetworkReport, lines_up_and_fits_the_page) {
  const TemporaryFolder folder;
  Machine machine(7);
  std::vector<std::filesystem::path> files;
  for (const int n : {2, 4, 8}) files.push_back(write_run(folder, machine, n));
  NetworkOptions options;
  options.extrapolate = 16;
  options.link_bandwidth = 50e9;
  std::vector<std::size_t> gaps;
  std::size_t rules = 0;
  for (const std::string& line : lines_of(network_report(files, options))) {
    EXPECT_FALSE(line.ends_with(" ")) << line;
    if (line.find_first_not_of("- ") == std::string::npos && !line.empty()) {
      ++rules;
      gaps.clear();
      for (std::size_t i = 0; i < line.size(); ++i) {
        if (line[i] == ' ') gaps.push_back(i);
      }
      EXPECT_LE(display_width(line), 120U);
    } else if (line.starts_with("  ") || line.starts_with("8 B")) {
      for (const std::size_t gap : gaps) EXPECT_TRUE(gap >= line.size() || line[gap] == ' ') << line;
    } else {
      gaps.clear();  // the table has ended
    }
  }
  EXPECT_EQ(rules, 3U * 3U + 3U);
}

TEST(NetworkReport, never_fits_the_times_of_two_backends_together) {
  const TemporaryFolder folder;
  const std::string nccl = write_sweep(folder / "nccl.h5", {.ranks = 2, .backend = "nccl"}, Machine(1).sweep(straight));
  const std::string mpi =
      write_sweep(folder / "mpi.h5", {.ranks = 4, .run_id = "00000000-0000-4000-8000-000000000004", .backend = "mpi"},
                  Machine(2).sweep(straight));
  const std::string host = write_sweep(
      folder / "host.h5", {.ranks = 8, .run_id = "00000000-0000-4000-8000-000000000008"}, Machine(3).sweep(straight));
  EXPECT_THAT(network_report({nccl, mpi, host}), Not(HasSubstr(" over 2 runs with")));
  EXPECT_THAT(network_report({nccl, mpi, host}), Not(HasSubstr(" over 3 runs with")));
  const std::string more = write_sweep(
      folder / "more.h5", {.ranks = 16, .run_id = "00000000-0000-4000-8000-000000000016", .backend = "nccl"},
      Machine(4).sweep(straight));
  EXPECT_THAT(network_report({nccl, mpi, more}), HasSubstr(" over 2 runs with 2, 16 ranks"));
}

TEST(NetworkReport, bounds_are_of_all_reduces_and_nodes_of_the_whole_world) {
  const TemporaryFolder folder;
  const auto sizes = Machine(12).sweep(straight);
  NetworkOptions options;
  options.link_bandwidth = 20e9;
  options.node_bandwidth = 20e9;
  const auto world =
      write_sweep(folder / "world.h5", {.ranks = 4, .groups = "world", .operation = "all-reduce"}, sizes);
  EXPECT_THAT(network_report({world}, options), AllOf(HasSubstr("4 ranks on 2 nodes"), HasSubstr("between nodes")));
  const auto groups =
      write_sweep(folder / "groups.h5", {.ranks = 4, .groups = "node", .operation = "all-reduce"}, sizes);
  EXPECT_THAT(network_report({groups}, options),
              AllOf(HasSubstr("groups of 4 ranks"), HasSubstr("point to point"), Not(HasSubstr("between nodes"))));
  const auto gather = write_sweep(folder / "gather.h5", {.ranks = 4, .operation = "all-gather"}, sizes);
  EXPECT_THAT(network_report({gather}, options), AllOf(HasSubstr("1/beta"), Not(HasSubstr("efficiency"))));
}

TEST(NetworkReport, leaves_out_what_failed_and_what_has_too_few_sizes) {
  const TemporaryFolder folder;
  const auto sizes = Machine(8).sweep(straight);
  const auto failed = write_sweep(folder / "failed.h5", {.status = Status::failed}, sizes);
  EXPECT_THAT(error_of(ExitCode::usage, [&] { static_cast<void>(network_report({failed})); }),
              AllOf(HasSubstr("failed.h5"), HasSubstr("no collective case that was measured to its end")));
  const auto few = write_sweep(folder / "few.h5", {}, {sizes.begin(), sizes.begin() + 1});
  EXPECT_THAT(error_of(ExitCode::usage, [&] { static_cast<void>(network_report({few})); }),
              AllOf(HasSubstr("few.h5"), HasSubstr("1 message size"), HasSubstr("needs 4")));
}

constexpr double infinity = std::numeric_limits<double>::infinity();

TEST(NetworkReport, times_that_cannot_be_are_refused) {
  const TemporaryFolder folder;
  int files = 0;
  for (const double wrong : {infinity, 5e-324, 1e308, 1.01e6, 0.99e-12, 0.0, -1.0}) {
    auto sizes = Machine(13).sweep(straight);
    sizes[3].times[7] = wrong;
    const auto file = write_sweep(folder / fmt::format("one{}.h5", ++files), {}, sizes);
    EXPECT_THAT(error_of(ExitCode::usage, [&] { static_cast<void>(network_report({file})); }),
                AllOf(HasSubstr(fmt::format("one{}.h5", files)), HasSubstr("sample 8 of"), HasSubstr("no time")));
  }
}

TEST(NetworkReport, repetitions_are_more_samples_of_one_series) {
  const TemporaryFolder folder;
  Machine machine(15);
  auto sizes = machine.sweep(straight);
  // Their median, and no repetition's own, is the truth.
  for (const double factor : {1.2, 0.8}) {
    const auto more = machine.sweep([&](double bytes) { return factor * straight(bytes); });
    sizes.insert(sizes.end(), more.begin(), more.end());
  }
  const auto file = write_sweep(folder / "x.h5", {.repeated = true}, sizes);
  const std::string text = network_report({file});
  EXPECT_THAT(text, HasSubstr("\nallreduce/f32/in-place, 2 ranks on 1 node, 12 sizes from 8 B to 32 MiB\n"));
  EXPECT_EQ(text.find(" sizes from "), text.rfind(" sizes from ")) << text;
  EXPECT_NEAR(std::stod(words_after(text, "8 B  32 MiB")[1]), 2.0, 0.05);
}

TEST(NetworkReport, names_the_sizes_that_cannot_be_judged_and_compares_none_of_them) {
  const TemporaryFolder folder;
  NetworkOptions options;
  options.link_bandwidth = 20e9;
  auto sizes = Machine(16).sweep(straight);
  EXPECT_THAT(network_report({write_sweep(folder / "good.h5", {}, sizes)}, options),
              AllOf(HasSubstr("\n32 MiB takes"), Not(HasSubstr("to judge"))));
  sizes[11].times.resize(5);  // 32 MiB
  sizes[10].times = {1e-4, 9e-4, 2e-4, 8e-4, 3e-4, 7e-4, 1e-4, 9e-4};
  const std::string text = network_report({write_sweep(folder / "bad.h5", {}, sizes)}, options);
  EXPECT_THAT(text, AllOf(HasSubstr("\ntoo few or too scattered samples to judge: 8 MiB, 32 MiB\n"),
                          HasSubstr("\n2 MiB takes"), Not(HasSubstr("32 MiB takes"))));
  for (stats::SizeSamples& size : sizes) size.times.resize(5);
  EXPECT_THAT(network_report({write_sweep(folder / "few.h5", {}, sizes)}, options),
              AllOf(HasSubstr("\nno size has the samples"), Not(HasSubstr(" takes "))));
}

TEST(NetworkReport, refuses_files_that_say_nothing_about_a_network) {
  const TemporaryFolder folder;
  RunHeader header = example_header();
  header.suites.resize(1);  // gemm alone
  const auto gemm = write_example(folder / "gemm.h5", header);
  EXPECT_THAT(error_of(ExitCode::usage, [&] { static_cast<void>(network_report({gemm})); }),
              AllOf(HasSubstr("gemm.h5"), HasSubstr("no collective case"), HasSubstr("--suite allreduce")));
  const auto alone = write_sweep(folder / "alone.h5", {.ranks = 1, .ranks_a_node = 1}, Machine(9).sweep(straight));
  EXPECT_THAT(error_of(ExitCode::usage, [&] { static_cast<void>(network_report({alone})); }),
              AllOf(HasSubstr("alone.h5"), HasSubstr("1 rank"), HasSubstr("2 or more")));
}

TEST(NetworkReport, refuses_one_run_twice_and_extrapolation_from_one_rank_count) {
  const TemporaryFolder folder;
  const auto first = write_sweep(folder / "a.h5", {}, Machine(10).sweep(straight));
  const auto copy = write_sweep(folder / "b.h5", {}, Machine(10).sweep(straight));
  EXPECT_THAT(error_of(ExitCode::usage,
                       [&] {
                         static_cast<void>(network_report({first, copy}));
                       }),
              AllOf(HasSubstr("a.h5"), HasSubstr("b.h5"), HasSubstr("same run")));
  NetworkOptions options;
  options.extrapolate = 8;
  EXPECT_THAT(error_of(ExitCode::usage, [&] { static_cast<void>(network_report({first}, options)); }),
              AllOf(HasSubstr("--extrapolate"), HasSubstr("two rank counts")));
}

TEST(NetworkReport, refuses_expressions_that_are_malformed_or_match_nothing) {
  const TemporaryFolder folder;
  const auto file = write_sweep(folder / "x.h5", {}, Machine(11).sweep(straight));
  NetworkOptions options;
  options.case_regex = "allreduce[";
  EXPECT_THAT(error_of(ExitCode::usage, [&] { static_cast<void>(network_report({file}, options)); }),
              HasSubstr("regular expression"));
  options.case_regex = "f64";
  EXPECT_THAT(error_of(ExitCode::usage, [&] { static_cast<void>(network_report({file}, options)); }),
              AllOf(HasSubstr("'f64'"), HasSubstr("x.h5")));
}

}  // namespace
}  // namespace rackproof::results
