#include "common/measure/stopping.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace rackproof {
namespace {

std::vector<double> noisy(int count, double level, double spread, unsigned seed = 3) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> draw(level - spread, level + spread);
  std::vector<double> values;
  for (int i = 0; i < count; ++i) values.push_back(draw(random));
  return values;
}

/// The whole loop, on a workload whose samples take `cycle` seconds; returns the number of samples.
int samples_taken(const StoppingRule& rule, double elapsed, double cycle, int* decisions = nullptr) {
  int taken = 0;
  while (const int batch = next_batch(rule, taken, elapsed, cycle)) {
    taken += batch;
    elapsed += batch * cycle;
    if (decisions != nullptr) ++*decisions;
    EXPECT_GT(batch, 0);
    EXPECT_LE(batch, largest_batch);
    if (taken > 1000000) break;
  }
  return taken;
}

TEST(Converged, waits_for_the_least_number_of_samples) {
  const StoppingRule rule;
  EXPECT_FALSE(is_converged(rule, std::vector<double>(29, 1.0)));
  EXPECT_TRUE(is_converged(rule, std::vector<double>(30, 1.0)));
}

TEST(Converged, compares_the_half_width_of_the_interval_with_the_wanted_one) {
  StoppingRule rule;
  // 30 values from 0.99 to 1.01: ranks 10 and 21 are 11/29 of 0.02 apart, a relative half width of 0.0038.
  std::vector<double> values;
  for (int i = 0; i < 30; ++i) values.push_back(0.99 + 0.02 * ((i * 7) % 30) / 29.0);
  rule.relative_half_width = 0.0040;
  EXPECT_TRUE(is_converged(rule, values));
  rule.relative_half_width = 0.0036;
  EXPECT_FALSE(is_converged(rule, values));
}

TEST(Converged, asks_more_of_samples_that_resemble_their_neighbours) {
  StoppingRule rule;
  rule.relative_half_width = 0.006;
  std::vector<double> shuffled;
  std::vector<double> waves;
  for (int i = 0; i < 60; ++i) {
    shuffled.push_back(1.0 + 0.02 * ((i * 23) % 60) / 60.0);
    waves.push_back(1.0 + 0.02 * (i < 30 ? 2 * i : 119 - 2 * i) / 60.0);
  }
  EXPECT_TRUE(is_converged(rule, shuffled));
  EXPECT_FALSE(is_converged(rule, waves));  // the same values, but a slow wave
}

TEST(Converged, nothing_that_is_no_number_has_converged) {
  EXPECT_FALSE(is_converged({}, std::vector<double>(100, std::nan(""))));
}

TEST(NextBatch, keeps_the_budget_and_uses_it) {
  StoppingRule rule;
  rule.budget = 1.0;
  rule.max_samples = 100000;
  for (const double cycle : {0.3, 0.09, 0.0123, 1e-3}) {
    const int taken = samples_taken(rule, 0.1, cycle);
    EXPECT_LE(0.1 + taken * cycle, 1.0 + 1e-6 * cycle) << cycle;
    EXPECT_GT(0.1 + (taken + 1) * cycle, 1.0) << cycle;
  }
}

TEST(NextBatch, takes_three_samples_whatever_the_budget) {
  StoppingRule rule;
  rule.budget = 1.0;
  EXPECT_EQ(samples_taken(rule, 5.0, 5.0), 3);
  rule.budget = 0.0;
  EXPECT_EQ(samples_taken(rule, 0.0, 0.0), 3);
  EXPECT_EQ(next_batch(rule, 1, 5.0, 5.0), 2);
  EXPECT_EQ(next_batch(rule, 3, 5.0, 5.0), 0);
}

TEST(NextBatch, stops_at_the_most_samples) {
  StoppingRule rule;
  rule.max_samples = 37;
  EXPECT_EQ(samples_taken(rule, 0.0, 1e-6), 37);
  rule.max_samples = 10;  // below min_samples
  EXPECT_EQ(samples_taken(rule, 0.0, 1e-6), 10);
}

TEST(NextBatch, decides_seldom_where_samples_are_short) {
  StoppingRule rule;
  int decisions = 0;
  EXPECT_EQ(samples_taken(rule, 0.0, 1e-6, &decisions), rule.max_samples);
  EXPECT_LE(decisions, 24);
}

TEST(NextBatch, leaves_room_for_a_workload_that_slows_down) {
  StoppingRule rule;
  rule.budget = 10.0;
  // 9 s left and 0.3 s a sample: 30 would fit.
  EXPECT_LE(next_batch(rule, 0, 1.0, 0.3), 15);
  EXPECT_LE(next_batch(rule, 3, 1.0, 0.3), 15);
}

TEST(Steady, sees_noise_as_steady_and_a_fall_or_a_step_as_not) {
  EXPECT_FALSE(is_steady(noisy(19, 1.0, 0.1)));
  EXPECT_TRUE(is_steady(noisy(20, 1.0, 0.1)));
  std::vector<double> falling;
  for (int i = 0; i < 20; ++i) falling.push_back(std::exp(-0.1 * i));
  EXPECT_FALSE(is_steady(falling));
  std::vector<double> step = noisy(8, 2.0, 0.1);
  const std::vector<double> after = noisy(12, 1.0, 0.1);
  step.insert(step.end(), after.begin(), after.end());
  EXPECT_FALSE(is_steady(step));
  // Once the step has left the window it no longer counts.
  const std::vector<double> more = noisy(10, 1.0, 0.1, 4);
  step.insert(step.end(), more.begin(), more.end());
  EXPECT_TRUE(is_steady(step));
}

TEST(NextWarmupBatch, is_bounded_by_steps_and_by_its_share_of_the_budget) {
  StoppingRule rule;
  rule.budget = 1.0;
  EXPECT_EQ(next_warmup_batch(rule, 0, 0.0, 0.0), 1);
  EXPECT_EQ(next_warmup_batch(rule, 1, 0.15, 0.15), 0);
  EXPECT_EQ(next_warmup_batch(rule, 1, 0.05, 0.05), 3);
  EXPECT_EQ(next_warmup_batch(rule, 500, 0.01, 1e-6), steady_window / 2);
  EXPECT_EQ(next_warmup_batch(rule, most_warmup_steps - 2, 0.01, 1e-6), 2);
  EXPECT_EQ(next_warmup_batch(rule, most_warmup_steps, 0.01, 1e-6), 0);
}

TEST(NeedsBarrier, above_five_percent_of_the_time) {
  EXPECT_FALSE(needs_barrier(4.9e-8, 1e-6));
  EXPECT_TRUE(needs_barrier(5.1e-8, 1e-6));
  EXPECT_TRUE(needs_barrier(1e-9, 0.0));
  EXPECT_FALSE(needs_barrier(0.0, 0.0));
}

}  // namespace
}  // namespace rackproof
