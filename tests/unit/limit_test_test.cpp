// The median against a limit: the fixed sample and the sequential test, and whether their stated risks are kept.
#include "common/stats/limit_test.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <random>
#include <vector>

#include "common/core/error.hpp"
#include "common/stats/sequential.hpp"

namespace rackproof::stats {
namespace {

using Side = LimitJudgement::Side;
using TestSide = SequentialTest::Side;

std::vector<double> evenly(int count, double from, double to) {
  std::vector<double> values;
  for (int i = 0; i < count; ++i) values.push_back(from + (to - from) * ((i * 17) % count) / (count - 1));
  return values;
}

TEST(LimitTest, says_within_and_beyond_where_the_interval_of_the_median_is_on_one_side) {
  LimitTest test;
  const std::vector<double> times = evenly(30, 0.99, 1.01);
  EXPECT_EQ(test.judge(times, 1.02).side, Side::within);
  EXPECT_EQ(test.judge(times, 0.98).side, Side::beyond);
  EXPECT_EQ(test.judge(times, 1.0).side, Side::open);
  EXPECT_EQ(test.judge(times, 1.02, false).side, Side::beyond) << "a time that must not be shorter";
  EXPECT_EQ(test.judge(times, 0.98, false).side, Side::within);
  EXPECT_NEAR(test.judge(times, 1.0).median, 1.0, 1e-12);
}

TEST(LimitTest, five_samples_say_nothing_and_six_do) {
  LimitTest test;
  EXPECT_EQ(test.judge(std::vector<double>(5, 1.0), 2.0).side, Side::open);
  EXPECT_TRUE(std::isnan(test.judge(std::vector<double>(5, 1.0), 2.0).detectable));
  EXPECT_EQ(test.judge(std::vector<double>(6, 1.0), 2.0).side, Side::within);
  EXPECT_EQ(test.judge(std::vector<double>(6, 3.0), 2.0).side, Side::beyond);
}

TEST(LimitTest, more_parts_need_more_samples_to_fail_and_no_more_to_pass) {
  LimitTest many(1000);
  EXPECT_EQ(many.judge(std::vector<double>(10, 3.0), 2.0).side, Side::open);
  EXPECT_EQ(many.judge(std::vector<double>(10, 1.0), 2.0).side, Side::within);
  EXPECT_EQ(many.judge(std::vector<double>(20, 3.0), 2.0).side, Side::beyond);
  EXPECT_LE(many.family_false_alarm(many.judge(std::vector<double>(20, 3.0), 2.0).false_alarm), 0.025);
}

TEST(LimitTest, samples_that_resemble_their_neighbours_count_for_fewer) {
  LimitTest test;
  std::vector<double> wave;
  for (int i = 0; i < 40; ++i) wave.push_back(1.0 + 0.01 * std::sin(i * 0.15));
  const LimitJudgement judgement = test.judge(wave, 2.0);
  EXPECT_LT(judgement.effective, 10.0);
}

TEST(LimitTest, the_stated_false_alarm_and_power_are_those_of_a_simulation) {
  constexpr int runs = 4000;
  constexpr int samples = 40;
  constexpr double spread = 0.03;
  std::mt19937 random(11);
  std::normal_distribution<double> normal;
  LimitTest test;
  const auto share_beyond = [&](double median) {
    int beyond = 0;
    for (int run = 0; run < runs; ++run) {
      std::vector<double> times;
      for (int i = 0; i < samples; ++i) times.push_back(median * std::exp(spread * normal(random)));
      beyond += test.judge(times, 1.0).side == Side::beyond ? 1 : 0;
    }
    return static_cast<double>(beyond) / runs;
  };
  EXPECT_LE(share_beyond(1.0), 0.025 + 3.0 * std::sqrt(0.025 / runs));
  // x_p of a log-normal at the share p that the formula names.
  double detectable = 0.0;
  for (int run = 0; run < 200; ++run) {
    std::vector<double> times;
    for (int i = 0; i < samples; ++i) times.push_back(std::exp(spread * normal(random)));
    detectable += test.judge(times, 2.0).detectable / 200.0;
  }
  const double power = share_beyond(1.0 + detectable);
  RecordProperty("power", std::to_string(power));
  EXPECT_NEAR(power, 0.9, 0.05) << "at " << detectable;
}

// ---- sequential ----

/// Times of a part of which this share is above 1, that resemble their neighbours by `memory` (0: not at all).
class Times {
 public:
  Times(double share_above, double memory, unsigned seed) : memory_(memory), random_(seed) {
    // The share above 0 of a normal with this mean.
    double low = -10.0;
    double high = 10.0;
    for (int i = 0; i < 60; ++i) {
      const double middle = (low + high) / 2.0;
      (0.5 * std::erfc(-middle / std::sqrt(2.0)) < share_above ? low : high) = middle;
    }
    mean_ = low;
    state_ = normal_(random_);
  }
  double next() {
    state_ = memory_ * state_ + std::sqrt(1.0 - memory_ * memory_) * normal_(random_);
    return std::exp(0.05 * (mean_ + state_));
  }

 private:
  double memory_;
  std::mt19937 random_;
  std::normal_distribution<double> normal_;
  double mean_ = 0.0;
  double state_ = 0.0;
};

struct Rates {
  double within = 0.0;
  double beyond = 0.0;
  double samples = 0.0;  ///< mean
};

Rates simulate(double share_above, double memory, const SequentialPlan& plan, int runs) {
  constexpr int most = 400;
  Rates rates;
  for (int run = 0; run < runs; ++run) {
    SequentialTest test(1.0, true, plan);
    Times times(share_above, memory, static_cast<unsigned>(run) * 7919U + 1U);
    for (int i = 0; i < most && test.side() == TestSide::open; ++i) test.add(times.next());
    rates.within += test.side() == TestSide::within ? 1.0 / runs : 0.0;
    rates.beyond += test.side() == TestSide::beyond ? 1.0 / runs : 0.0;
    rates.samples += static_cast<double>(test.samples()) / runs;
  }
  return rates;
}

TEST(Sequential, keeps_its_stated_risks_and_needs_at_most_half_of_the_fixed_sample_on_a_good_rack) {
  constexpr int runs = 3000;
  const SequentialPlan plan;
  const int fixed = fixed_sample(plan);
  std::string table =
      "share beyond the limit, memory: said to keep it, to exceed it, mean samples (fixed: " + std::to_string(fixed) +
      ")\n";
  const double slack = 3.0 * std::sqrt(0.01 * 0.99 / runs);
  for (const double memory : {0.0, 0.3, 0.6}) {
    for (const double share : {0.001, plan.good_share, 0.5, plan.bad_share, 0.999}) {
      const Rates rates = simulate(share, memory, plan, runs);
      table += fmt::format("{:6.3f} {:4.1f}: {:.4f} {:.4f} {:6.1f}\n", share, memory, rates.within, rates.beyond,
                           rates.samples);
      if (share <= plan.good_share) {
        EXPECT_LE(rates.beyond, plan.producers_risk + slack) << share << " " << memory;
      }
      if (share >= plan.bad_share) {
        EXPECT_LE(rates.within, plan.consumers_risk + slack) << share << " " << memory;
      }
      if (memory == 0.0 && share < 0.01) {
        EXPECT_LE(rates.samples, 0.5 * fixed);
      }
    }
  }
  std::fputs(table.c_str(), stdout);
}

TEST(Sequential, keeps_a_small_risk_of_many_parts_with_samples_that_resemble_each_other) {
  constexpr int runs = 4000;
  SequentialPlan plan;
  plan.producers_risk = 1e-4;
  for (const double memory : {0.0, 0.3, 0.6}) {
    // 4 of 4000: with a risk of 1e-4 once in 1300 tests like this one.
    EXPECT_LT(simulate(plan.good_share, memory, plan, runs).beyond * runs, 3.5) << memory;
    EXPECT_GT(simulate(0.99, memory, plan, 200).beyond, 0.99) << memory;
  }
}

TEST(Sequential, decides_nothing_before_the_fewest_samples_and_stays_with_what_it_decided) {
  SequentialTest test(1.0, true);
  const SequentialPlan plan;
  for (int i = 0; i < plan.fewest - 1; ++i) {
    test.add(0.5 + 0.01 * ((i * 5) % 7));
    EXPECT_EQ(test.side(), TestSide::open);
  }
  for (int i = 0; i < 10; ++i) test.add(0.5 + 0.01 * ((i * 5) % 7));
  EXPECT_EQ(test.side(), TestSide::within);
  const int settled = test.samples();
  for (int i = 0; i < 100; ++i) test.add(2.0);
  EXPECT_EQ(test.side(), TestSide::within);
  EXPECT_EQ(test.samples(), settled);
}

TEST(Sequential, a_time_that_is_no_number_is_beyond_every_limit) {
  for (const bool longer : {true, false}) {
    SequentialTest test(1.0, longer);
    for (int i = 0; i < 100; ++i) test.add(std::nan(""));
    EXPECT_EQ(test.side(), TestSide::beyond);
  }
}

TEST(Sequential, smaller_risks_need_more_samples) {
  SequentialPlan strict;
  strict.producers_risk = 1e-5;
  strict.consumers_risk = 1e-5;
  EXPECT_GT(fixed_sample(strict), fixed_sample({}));
  EXPECT_GT(simulate(0.05, 0.0, strict, 200).samples, simulate(0.05, 0.0, {}, 200).samples);
}

TEST(Sequential, refuses_a_plan_that_promises_nothing) {
  SequentialPlan plan;
  plan.good_share = 0.8;
  EXPECT_THROW(SequentialTest(1.0, true, plan), Error);
  EXPECT_THROW((void)fixed_sample(plan), Error);
}

}  // namespace
}  // namespace rackproof::stats
