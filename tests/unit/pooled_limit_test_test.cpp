// Few samples of each of many parts against a limit, with what all of them tell of the spread.
#include "common/stats/pooled_limit_test.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace rackproof::stats {
namespace {

using Side = LimitJudgement::Side;

/// Three samples each of `parts` parts whose median is `median`.
class Fabric {
 public:
  Fabric(int parts, int samples, double spread, unsigned seed, double memory = 0.0)
      : samples_(samples), spread_(spread), memory_(memory), random_(seed) {
    for (int i = 0; i < parts; ++i) times.push_back(of(1.0));
  }
  std::vector<double> of(double median) {
    std::vector<double> part;
    double state = normal_(random_);
    for (int i = 0; i < samples_; ++i) {
      part.push_back(median * std::exp(spread_ * state));
      state = memory_ * state + std::sqrt(1.0 - memory_ * memory_) * normal_(random_);
    }
    return part;
  }
  [[nodiscard]] PooledLimitTest test() const {
    PooledLimitTest pool(static_cast<int>(times.size()));
    for (const std::vector<double>& part : times) pool.add({&part, 1});
    pool.finish();
    return pool;
  }
  std::vector<std::vector<double>> times;

 private:
  int samples_;
  double spread_;
  double memory_;
  std::mt19937 random_;
  std::normal_distribution<double> normal_;
};

std::ptrdiff_t count(const Fabric& fabric, double limit, Side side) {
  const PooledLimitTest test = fabric.test();
  return std::count_if(fabric.times.begin(), fabric.times.end(),
                       [&](const std::vector<double>& part) { return test.judge(part, limit).side == side; });
}

TEST(PooledLimit, healthy_parts_pass_and_a_slow_one_fails_with_three_samples_each) {
  Fabric fabric(500, 3, 0.02, 3);
  fabric.times[123] = fabric.of(1.3);
  EXPECT_EQ(count(fabric, 1.1, Side::within), 499);
  const PooledLimitTest test = fabric.test();
  const LimitJudgement slow = test.judge(fabric.times[123], 1.1);
  EXPECT_EQ(slow.side, Side::beyond);
  EXPECT_GT(slow.low, 1.1);
  EXPECT_LT(slow.detectable, 0.13);
  EXPECT_GT(slow.detectable, 0.03);
  EXPECT_EQ(test.judge(fabric.times[7], 1.0).side, Side::open) << "at its limit";
}

TEST(PooledLimit, a_limit_from_below_is_the_same_turned_round) {
  Fabric fabric(300, 4, 0.02, 5);
  const PooledLimitTest test = fabric.test();
  const std::vector<double> slow = fabric.of(1.3);
  std::vector<double> quick;
  for (const double time : slow) quick.push_back(1.0 / time);
  EXPECT_EQ(test.judge(slow, 1.1, true).side, Side::beyond);
  EXPECT_EQ(test.judge(slow, 1.1, false).side, Side::within);
  EXPECT_EQ(test.judge(quick, 1.0 / 1.1, false).side, Side::beyond);
  EXPECT_EQ(test.judge(quick, 1.0 / 1.1, true).side, Side::within);
}

TEST(PooledLimit, of_parts_at_their_limit_no_more_fail_or_pass_than_stated) {
  constexpr int racks = 200;
  for (const int samples : {2, 3, 4, 5}) {
    for (const double memory : {0.0, 0.3}) {
      int racks_with_failure = 0;
      std::ptrdiff_t passed = 0;
      for (unsigned rack = 0; rack < racks; ++rack) {
        const Fabric fabric(60, samples, 0.05, 100 * rack + static_cast<unsigned>(samples), memory);
        racks_with_failure += count(fabric, 1.0, Side::beyond) > 0 ? 1 : 0;
        passed += count(fabric, 1.0, Side::within);
      }
      const double failing = static_cast<double>(racks_with_failure) / racks;
      const double passing = static_cast<double>(passed) / (60.0 * racks);
      RecordProperty("failing", std::to_string(failing));
      RecordProperty("passing", std::to_string(passing));
      std::printf("%d %.1f: failing %.4f passing %.4f\n", samples, memory, failing, passing);
      // Of two samples, nothing tells how much they resemble each other.
      if (samples == 2 && memory > 0.0) continue;
      constexpr double stated = 0.025;
      EXPECT_LE(failing, stated + 3.0 * std::sqrt(stated / racks)) << samples << " samples, memory " << memory;
      EXPECT_LE(passing, stated + 3.0 * std::sqrt(stated / (60.0 * racks))) << samples << " samples, memory " << memory;
    }
  }
}

TEST(PooledLimit, finds_what_it_calls_detectable_nine_times_in_ten) {
  int found = 0;
  constexpr int racks = 300;
  for (unsigned rack = 0; rack < racks; ++rack) {
    Fabric fabric(100, 3, 0.03, rack + 1);
    const PooledLimitTest test = fabric.test();
    const double detectable = test.judge(fabric.times[0], 1.2).detectable;
    found += test.judge(fabric.of(1.2 * (1.0 + detectable)), 1.2).side == Side::beyond ? 1 : 0;
  }
  EXPECT_NEAR(static_cast<double>(found) / racks, 0.9, 0.07);
}

TEST(PooledLimit, a_disturbed_sample_of_a_good_part_is_no_failure) {
  Fabric fabric(400, 3, 0.01, 9);
  // One sample in 50 takes half as long again.
  for (std::size_t i = 0; i < fabric.times.size(); ++i) {
    for (std::size_t k = 0; k < 3; ++k) {
      if ((3 * i + k) % 50 == 17) fabric.times[i][k] *= 1.5;
    }
  }
  EXPECT_EQ(count(fabric, 1.1, Side::beyond), 0);
  EXPECT_GE(count(fabric, 1.1, Side::within), 398);
}

TEST(PooledLimit, says_nothing_where_nothing_is_known) {
  PooledLimitTest alone;
  const std::vector<std::vector<double>> single{{1.0}};
  alone.add(single);
  alone.finish();
  EXPECT_EQ(alone.judge(std::vector<double>{1.0, 1.0, 1.0}, 2.0).side, Side::open);
  PooledLimitTest few(6);
  for (int i = 0; i < 3; ++i) few.add(std::vector<std::vector<double>>{{1.0, 1.01}});
  few.finish();
  EXPECT_EQ(few.judge(std::vector<double>{3.0, 3.1}, 2.0).side, Side::open) << "six deviations are too few";
  EXPECT_EQ(few.judge(std::vector<double>{}, 2.0).side, Side::open);
}

}  // namespace
}  // namespace rackproof::stats
