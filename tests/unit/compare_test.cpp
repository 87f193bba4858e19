#include "results/compare.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/unit/launch_fixture.hpp"

namespace rackproof::results {
namespace {

using namespace rackproof::results::testing;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

/// A folder with sides of launches.
class Compared : public ::testing::Test {
 protected:
  CompareSide side(const std::string& name, int first, int count, const LaunchPlan& like = {0, launch_header()}) {
    CompareSide side{name, {}};
    for (int i = 0; i < count; ++i) {
      LaunchPlan plan = like;
      plan.number = first + i;
      side.files.push_back(write_launch(folder_ / (name + std::to_string(i) + ".h5"), plan));
    }
    return side;
  }

  static const ComparedCase& find(const Contrast& contrast, const std::string& name) {
    const auto found = std::find_if(contrast.cases.begin(), contrast.cases.end(),
                                    [&](const ComparedCase& one) { return one.name == name; });
    if (found == contrast.cases.end()) throw std::runtime_error("no case " + name);
    return *found;
  }

  TemporaryFolder folder_;
};

TEST_F(Compared, a_launch_counts_once_and_the_ratio_is_of_times) {
  LaunchPlan slow{0, launch_header()};
  slow.factor = [](const std::string& name, int) { return name == "gemm/f32/m512" ? 1.03 : 1.0; };
  const Comparison comparison = compare(side("a", 1, 6), {side("b", 11, 6, slow)});
  ASSERT_THAT(comparison.contrasts, SizeIs(1));
  const ComparedCase& one = find(comparison.contrasts.front(), "gemm/f32/m512");
  EXPECT_THAT(one.base.times, SizeIs(6));
  EXPECT_EQ(one.call, Call::slower);
  EXPECT_NEAR(one.verdict.ratio, 1.03, 0.004);
  EXPECT_EQ(one.figure.name, "tflops");
  EXPECT_EQ(verdict_of(comparison), ExitCode::fail);
  // Its suite: the geometric mean of 1.03 and 1.
  EXPECT_NEAR(comparison.contrasts.front().suites.front().ratio, std::sqrt(1.03), 0.003);
  EXPECT_EQ(comparison.contrasts.front().suites.front().slower, 1U);
}

TEST_F(Compared, the_same_thing_is_the_same) {
  const Comparison comparison = compare(side("a", 1, 6), {side("b", 11, 6)});
  for (const ComparedCase& one : comparison.contrasts.front().cases) EXPECT_EQ(one.call, Call::same) << one.name;
  EXPECT_EQ(verdict_of(comparison), ExitCode::pass);
  EXPECT_THAT(comparison.warnings, IsEmpty());
  EXPECT_THAT(comparison.contrasts.front().differences, IsEmpty());
  EXPECT_EQ(comparison.contrasts.front().devices_compared, 4U);
  EXPECT_EQ(comparison.family, 4 + 4) << "cases and devices are one family";
}

TEST_F(Compared, what_differs_between_the_sides_is_told_and_what_belongs_to_a_run_is_not) {
  LaunchPlan other{0, launch_header("blis")};
  other.header.provenance["environment"] = R"({"OMP_NUM_THREADS": "2", "PMIX_ID": "18"})";
  const Comparison comparison = compare(side("a", 1, 2), {side("b", 11, 2, other)});
  std::string text;
  for (const auto& one : comparison.contrasts.front().differences) {
    text += one.subject + ": " + one.base + " -> " + one.other + "\n";
  }
  EXPECT_EQ(text,
            "environment OMP_NUM_THREADS: 1 -> 2\n"
            "label blas: openblas -> blis\n"
            "library libblis: - -> 0.9.0\n"
            "library libopenblasp: OpenBLAS 0.3.21, build abcdef01 -> -\n"
            "rackproof build: 01234567 -> 98765432\n");
}

TEST_F(Compared, launches_of_a_side_that_are_not_alike_are_warned_of) {
  CompareSide base = side("a", 1, 2);
  LaunchPlan other{7, launch_header()};
  other.header.provenance["environment"] = R"({"OMP_NUM_THREADS": "2"})";
  base.files.push_back(write_launch(folder_ / "odd.h5", other));
  const Comparison comparison = compare(base, {side("b", 11, 2)});
  ASSERT_THAT(comparison.warnings, SizeIs(1));
  EXPECT_THAT(comparison.warnings.front(), AllOf(HasSubstr("launches of a are not alike"), HasSubstr("OMP_NUM_THREADS"),
                                                 HasSubstr("1 in 2 launches"), HasSubstr("2 in 1 launch")));
}

TEST_F(Compared, what_is_new_in_every_launch_tells_nothing_of_the_sides) {
  const auto numbered = [&](const std::string& name, int first) {
    CompareSide side{name, {}};
    for (int i = 0; i < 3; ++i) {
      LaunchPlan plan{first + i, launch_header()};
      plan.header.provenance["labels"] = fmt::format(R"({{"night": "{}"}})", first + i);
      side.files.push_back(write_launch(folder_ / (name + std::to_string(i) + ".h5"), plan));
    }
    return side;
  };
  const Comparison comparison = compare(numbered("a", 1), {numbered("b", 11)});
  EXPECT_THAT(comparison.restless, ::testing::ElementsAre("label night"));
  EXPECT_THAT(comparison.warnings, IsEmpty());
  EXPECT_THAT(comparison.contrasts.front().differences, IsEmpty());
}

TEST_F(Compared, ranks_that_go_round_the_nodes_differ_from_ranks_that_fill_them) {
  LaunchPlan round{0, launch_header()};
  for (std::size_t r = 0; r < round.header.ranks.size(); ++r)
    round.header.ranks[r].node_index = static_cast<int>(r % 2);
  LaunchPlan full = round;
  for (std::size_t r = 0; r < full.header.ranks.size(); ++r) {
    full.header.ranks[r].node_index = r < full.header.ranks.size() / 2 ? 0 : 1;
  }
  const Comparison comparison = compare(side("a", 1, 4, full), {side("b", 11, 4, round)});
  const auto& differences = comparison.contrasts.front().differences;
  const auto found = std::find_if(differences.begin(), differences.end(), [](const ProvenanceDifference& one) {
    return one.subject == "nodes of the ranks in turn";
  });
  ASSERT_NE(found, differences.end());
  EXPECT_EQ(found->base, "0 x 2, 1 x 2");
  EXPECT_EQ(found->other, "0, 1, 0, 1");
}

TEST_F(Compared, a_case_that_one_side_lacks_is_missing) {
  LaunchPlan other{0, launch_header()};
  other.header.suites[1].cases.pop_back();
  other.header.suites[0].cases[1].skip_reason = "needs more memory";
  const Comparison comparison = compare(side("a", 1, 4), {side("b", 11, 4, other)});
  const Contrast& contrast = comparison.contrasts.front();
  EXPECT_EQ(find(contrast, "allreduce/f32/1MiB").call, Call::missing);
  EXPECT_THAT(find(contrast, "allreduce/f32/1MiB").note, HasSubstr("b has no time of it (not in the file)"));
  EXPECT_EQ(find(contrast, "gemm/f64/m512").call, Call::missing);
  EXPECT_THAT(find(contrast, "gemm/f64/m512").note, HasSubstr("needs more memory"));
  EXPECT_EQ(verdict_of(comparison), ExitCode::fail);
  EXPECT_EQ(comparison.family, 2 + 4) << "what has no p-value is not in the family";
}

TEST_F(Compared, a_case_that_failed_once_has_failed) {
  CompareSide other = side("b", 11, 3);
  LaunchPlan bad{20, launch_header()};
  bad.status = [](const std::string& name) { return name == "gemm/f64/m512" ? Status::failed : Status::passed; };
  other.files.push_back(write_launch(folder_ / "bad.h5", bad));
  const Comparison comparison = compare(side("a", 1, 4), {other});
  const ComparedCase& one = find(comparison.contrasts.front(), "gemm/f64/m512");
  EXPECT_EQ(one.call, Call::failed);
  EXPECT_THAT(one.note, HasSubstr("its check failed in 1 of 4 launches of b: naïve sum"));
}

TEST_F(Compared, one_name_for_other_work_is_different) {
  LaunchPlan other{0, launch_header()};
  other.header.suites[0].cases[0].flop *= 2.0;
  const Comparison comparison = compare(side("a", 1, 4), {side("b", 11, 4, other)});
  EXPECT_EQ(find(comparison.contrasts.front(), "gemm/f32/m512").call, Call::different);
}

TEST_F(Compared, skipped_on_both_sides_is_no_failure) {
  LaunchPlan plan{0, launch_header()};
  plan.header.suites[0].cases[1].skip_reason = "no such device";
  const Comparison comparison = compare(side("a", 1, 6, plan), {side("b", 11, 6, plan)});
  EXPECT_EQ(find(comparison.contrasts.front(), "gemm/f64/m512").call, Call::skipped);
  EXPECT_EQ(verdict_of(comparison), ExitCode::pass);
}

TEST_F(Compared, several_sides_are_one_family) {
  const Comparison comparison = compare(side("a", 1, 4), {side("b", 11, 4), side("c", 21, 4)});
  EXPECT_THAT(comparison.contrasts, SizeIs(2));
  EXPECT_EQ(comparison.family, 2 * (4 + 4));
}

TEST_F(Compared, repetitions_of_a_case_are_one_case) {
  LaunchPlan plan{0, launch_header()};
  CaseHeader again = plan.header.suites[0].cases[0];
  again.name += "/repetition1";
  again.parameters.set("repetition", std::int64_t{1});
  plan.header.suites[0].cases[0].parameters.set("repetition", std::int64_t{0});
  plan.header.suites[0].cases.push_back(again);
  const Comparison comparison = compare(side("a", 1, 4, plan), {side("b", 11, 4)});
  EXPECT_THAT(comparison.contrasts.front().cases, SizeIs(4));
  EXPECT_THAT(find(comparison.contrasts.front(), "gemm/f32/m512").base.times, SizeIs(4));
}

TEST_F(Compared, one_run_given_twice_is_refused) {
  const CompareSide a = side("a", 1, 2);
  EXPECT_THAT(error_of(ExitCode::usage, [&] { (void)compare(a, {a}); }),
              AllOf(HasSubstr("same run"), HasSubstr("a0.h5")));
}

TEST(Facts, are_bounded_and_survive_any_text) {
  RunHeader header = launch_header();
  std::string wide = "{";
  for (int i = 0; i < 10000; ++i) wide += fmt::format("{}\"k{}\": {}", i == 0 ? "" : ",", i, i);
  header.provenance["configuration"] = wide + "}";
  header.provenance["environment"] = std::string(5000, '[') + std::string(5000, ']');
  header.provenance["libraries"] = R"([{"libraries": [{"path": 3}, 7, {"path": "/"}]}, 4, null])";
  header.provenance["machines"] = R"({"cpu": {"model": "x"}})";
  const auto facts = facts_of(header);
  EXPECT_LE(facts.size(), 4100U);
  EXPECT_EQ(facts.at("command"), "run --suite gemm,allreduce");
}

TEST(MarginsFile, what_is_written_is_read) {
  const TemporaryFolder folder;
  Margins margins;
  margins.cases["gemm/\"odd\" \\ name"] = {0.0123, 0.0};
  margins.all = 0.04;
  margins.launches = 20;
  margins.ranks = 2;
  margins.hosts = "node-a";
  write_text(folder / "m.toml", margins_toml(margins));
  const Margins read = read_margins(folder / "m.toml");
  EXPECT_EQ(read.cases.at("gemm/\"odd\" \\ name").margin, 0.0123);
  EXPECT_EQ(read.all, 0.04);
  EXPECT_EQ(read.launches, 20);
  write_text(folder / "bad.toml", "all = -1\n[cases]\n");
  EXPECT_THAT(error_of(ExitCode::usage, [&] { (void)read_margins(folder / "bad.toml"); }),
              AllOf(HasSubstr("bad.toml"), HasSubstr("'all'")));
  write_text(folder / "none.toml", "all = 0.01\n");
  EXPECT_THAT(error_of(ExitCode::usage, [&] { (void)read_margins(folder / "none.toml"); }), HasSubstr("[cases]"));
}

}  // namespace
}  // namespace rackproof::results
