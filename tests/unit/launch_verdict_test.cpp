#include "common/stats/launch_verdict.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "common/core/error.hpp"
#include "common/stats/calibration.hpp"
#include "common/stats/hodges_lehmann.hpp"

namespace rackproof::stats {
namespace {

using testing::Each;
using testing::SizeIs;

/// n launches around `middle`, evenly spread over +- `spread`.
std::vector<double> launches(int n, double middle, double spread, double offset = 0.0) {
  std::vector<double> times;
  for (int i = 0; i < n; ++i) times.push_back(middle * (1.0 + spread * (2.0 * (i + offset) / n - 1.0)));
  return times;
}

LaunchTimes sides(int n, double ratio, double spread, double margin = 0.01) {
  return {launches(n, 1e-3, spread, 0.25), launches(n, 1e-3 * ratio, spread, 0.5), margin};
}

LaunchVerdict judge(const LaunchTimes& one) { return judge_launches({&one, 1}).front(); }

TEST(LaunchVerdict, calls_what_lies_outside_the_margin_slower_or_faster) {
  const LaunchVerdict slower = judge(sides(10, 1.03, 0.005));
  EXPECT_EQ(slower.call, LaunchCall::slower);
  EXPECT_NEAR(slower.ratio, 1.03, 0.001);
  EXPECT_GT(slower.low, 1.01);
  EXPECT_LT(slower.p, 2e-5);
  EXPECT_EQ(slower.launches_needed, 0);
  EXPECT_EQ(judge(sides(10, 1.0 / 1.03, 0.005)).call, LaunchCall::faster);
}

TEST(LaunchVerdict, a_difference_that_is_real_but_small_is_the_same) {
  const LaunchVerdict verdict = judge(sides(10, 1.005, 0.002));
  EXPECT_LT(verdict.p, 0.001);
  EXPECT_EQ(verdict.call, LaunchCall::same);
}

TEST(LaunchVerdict, a_difference_across_the_margin_needs_more_launches) {
  const LaunchVerdict verdict = judge(sides(10, 1.012, 0.005));
  EXPECT_EQ(verdict.call, LaunchCall::inconclusive);
  EXPECT_GT(verdict.launches_needed, 10);
  EXPECT_FALSE(verdict.at_least);
  EXPECT_EQ(judge(sides(verdict.launches_needed, 1.012, 0.005)).call, LaunchCall::slower);
}

TEST(LaunchVerdict, on_the_edge_of_the_margin_no_number_of_launches_decides) {
  EXPECT_GT(judge(sides(10, 1.01, 0.02)).launches_needed, most_launches);
}

TEST(LaunchVerdict, three_launches_a_side_cannot_decide_whatever_they_say) {
  const LaunchVerdict verdict = judge(sides(3, 2.0, 0.001));
  EXPECT_NEAR(verdict.p, 0.1, 1e-12);
  EXPECT_EQ(verdict.call, LaunchCall::inconclusive);
  EXPECT_EQ(verdict.launches_needed, 4);
  EXPECT_EQ(verdict.low, 0.0);
  EXPECT_TRUE(std::isinf(verdict.high));
}

TEST(LaunchVerdict, one_launch_a_side_says_nothing_of_the_spread) {
  LaunchTimes one{{1.0}, {1.5}, 0.01};
  EXPECT_TRUE(judge(one).at_least);
  EXPECT_EQ(judge(one).launches_needed, 4);
  one.known_spread = 0.05;  // from a calibration
  EXPECT_FALSE(judge(one).at_least);
  EXPECT_EQ(judge(one).call, LaunchCall::inconclusive);
}

TEST(LaunchVerdict, of_many_cases_each_has_to_be_more_certain) {
  std::vector<LaunchTimes> cases(30, sides(5, 1.0, 0.001));
  cases[7] = sides(5, 1.5, 0.001);
  const std::vector<LaunchVerdict> verdicts = judge_launches(cases);
  EXPECT_NEAR(verdicts[7].p, 2.0 / 252.0, 1e-12);
  EXPECT_NEAR(verdicts[7].adjusted_p, 30 * 2.0 / 252.0, 1e-12);
  EXPECT_EQ(verdicts[7].call, LaunchCall::inconclusive);
  EXPECT_EQ(verdicts[7].launches_needed, fewest_launches(30));
  EXPECT_EQ(judge(cases[7]).call, LaunchCall::slower) << "alone, five launches are enough";
}

TEST(LaunchVerdict, cases_without_a_time_are_not_in_the_family) {
  std::vector<LaunchTimes> cases(30, LaunchTimes{{}, {1.0}, 0.01});
  cases[7] = sides(5, 1.5, 0.001);
  EXPECT_EQ(judge_launches(cases)[7].call, LaunchCall::slower);
  EXPECT_TRUE(std::isnan(judge_launches(cases)[0].ratio));
}

TEST(LaunchVerdict, a_time_that_cannot_be_is_a_defect) {
  const LaunchTimes one{{1.0, -1.0}, {1.0}, 0.01};
  EXPECT_THROW((void)judge(one), Error);
}

TEST(FewestLaunches, grow_with_the_number_of_cases) {
  EXPECT_EQ(fewest_launches(1), 4);      // 2 / C(8, 4) = 0.029
  EXPECT_EQ(fewest_launches(7), 6);      // 2 / C(10, 5) = 0.0079 is not below 0.05 / 7
  EXPECT_EQ(fewest_launches(200), 8);    // 2 / C(16, 8) = 1.6e-4
  EXPECT_EQ(fewest_launches(4000), 10);  // 2 / C(20, 10) = 1.1e-5
}

TEST(HodgesLehmann, an_empty_sample_is_a_defect) {
  const std::vector<double> one{1.0};
  EXPECT_THROW((void)hodges_lehmann({}, one), Error);
}

TEST(RankSumNull, refuses_what_it_was_not_made_for) { EXPECT_THROW((void)rank_sum_null(0, 3), Error); }

TEST(Calibration, margins_follow_the_noise_and_have_a_floor) {
  std::vector<std::vector<double>> times(2);
  for (int i = 0; i < 16; ++i) {
    times[0].push_back(1.0 + 1e-4 * ((i * 7) % 16));
    times[1].push_back(1.0 + 0.02 * ((i * 5) % 16));
  }
  const Calibration calibration = calibrate_launches(times);
  ASSERT_THAT(calibration.margin, SizeIs(2));
  EXPECT_EQ(calibration.margin[0], 0.01);
  EXPECT_NEAR(calibration.spread[1], 0.083, 0.01);
  EXPECT_GT(calibration.margin[1], calibration.spread[1]);
  EXPECT_LT(calibration.margin[1], 5 * calibration.spread[1]);
  EXPECT_GE(calibration.all, calibration.margin[1]);
  EXPECT_THROW((void)calibrate_launches(std::vector<std::vector<double>>(1, std::vector<double>(7, 1.0))), Error);
}

TEST(Calibration, with_its_margin_two_sides_of_one_thing_are_the_same) {
  std::vector<std::vector<double>> times(1);
  for (int i = 0; i < 16; ++i) times[0].push_back(1.0 + 0.01 * ((i * 7) % 16));
  const double margin = calibrate_launches(times).margin[0];
  LaunchTimes one{{}, {}, margin};
  for (int i = 0; i < 16; ++i) (i % 2 == 0 ? one.base : one.other).push_back(times[0][static_cast<std::size_t>(i)]);
  EXPECT_EQ(judge(one).call, LaunchCall::same);
}

}  // namespace
}  // namespace rackproof::stats
