#include "common/stats/network_scaling.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/core/error.hpp"
#include "common/stats/network_bounds.hpp"
#include "tests/unit/network_fixture.hpp"

namespace rackproof::stats {
namespace {

using testing::Machine;

constexpr double alpha = 1e-6;
constexpr double beta = 1.0 / 20e9;

double tree_time(int n, double bytes) {
  return 2.0 * std::ceil(std::log2(n)) * alpha + 2.0 * (n - 1.0) / n * bytes * beta;
}
double ring_like_time(int n, double bytes) { return 2.0 * (n - 1.0) * alpha + 2.0 * (n - 1.0) / n * bytes * beta; }

struct Noise {
  double run = 0.0;
  double size = 0.0;
};

ScalingRun run_of(Machine& machine, int n, double (*time)(int, double), Noise noise) {
  const double whole = machine.effect(noise.run);
  return {n, machine.sweep([&](double bytes) { return whole * time(n, bytes); }, noise.size)};
}

std::vector<ScalingRun> runs_up_to(Machine& machine, int most, double (*time)(int, double), Noise noise) {
  std::vector<ScalingRun> runs;
  for (int n = 2; n <= most; n *= 2) runs.push_back(run_of(machine, n, time, noise));
  return runs;
}

TEST(NetworkBounds, are_what_the_literature_says) {
  AllReduceTask task;
  task.bytes = 1e9;
  task.ranks = 8;
  task.beta = 1.0 / 50e9;
  const auto busbw = [&](double seconds) { return bus_bandwidth(task.bytes, task.ranks, seconds) / 50e9; };
  EXPECT_DOUBLE_EQ(point_to_point_bound(task), 2.0 * 7.0 / 8.0 * 0.02);
  EXPECT_NEAR(busbw(point_to_point_bound(task)), 1.0, 1e-12);
  EXPECT_NEAR(busbw(ring_time(task)), 1.0, 1e-12);
  EXPECT_NEAR(busbw(rabenseifner_time(task)), 1.0, 1e-12);
  EXPECT_NEAR(busbw(double_tree_time(task)), 7.0 / 8.0, 1e-12);
  EXPECT_NEAR(busbw(nvls_time(task)), 14.0 / 9.0, 1e-12);   // 1.56
  EXPECT_NEAR(busbw(sharp_time(task)), 14.0 / 8.0, 1e-12);  // 1.75
  task.alpha = 1e-6;
  task.bytes = 8.0;
  EXPECT_NEAR(point_to_point_bound(task), 3e-6, 1e-9);
  EXPECT_NEAR(ring_time(task), 14e-6, 1e-9);
  EXPECT_NEAR(rabenseifner_time(task), 6e-6, 1e-9);
  EXPECT_NEAR(double_tree_time(task), 6e-6, 1e-9);
  EXPECT_NEAR(nvls_time(task), 2e-6, 1e-9);
  EXPECT_NEAR(sharp_time(task), 2e-6, 1e-9);
  task.gamma = 1.0;
  EXPECT_NEAR(ring_time(task), 14e-6 + 7.0, 1e-8);
}

TEST(NetworkBounds, two_nodes_show_more_bus_bandwidth_than_their_network_has) {
  AllReduceTask task;
  task.bytes = 1e9;
  task.ranks = 16;
  EXPECT_EQ(between_nodes_bound(task), 0.0);
  task.nodes = 2;
  EXPECT_EQ(between_nodes_bound(task), 0.0) << "bandwidth of a node not known";
  task.node_beta = 1.0 / 50e9;
  EXPECT_DOUBLE_EQ(between_nodes_bound(task), 0.02);
  EXPECT_NEAR(bus_bandwidth(task.bytes, 16, between_nodes_bound(task)) / 50e9, 2.0 * 15.0 / 16.0, 1e-12);
}

TEST(NetworkBounds, rank_counts_between_powers_of_two_take_the_next_step) {
  EXPECT_EQ(ceil_log2(1), 0);
  EXPECT_EQ(ceil_log2(2), 1);
  EXPECT_EQ(ceil_log2(3), 2);
  EXPECT_EQ(ceil_log2(4), 2);
  EXPECT_EQ(ceil_log2(5), 3);
  EXPECT_EQ(ceil_log2(1024), 10);
}

TEST(NetworkScaling, recovers_a_step_and_a_byte) {
  Machine machine(1);
  const NetworkScaling scaling(runs_up_to(machine, 16, tree_time, {}));
  ASSERT_EQ(scaling.pieces().size(), 1U);
  EXPECT_EQ(scaling.pieces().front().steps, Steps::logarithmic);
  EXPECT_NEAR(scaling.pieces().front().alpha, alpha, 0.01 * alpha);
  EXPECT_NEAR(scaling.pieces().front().beta, beta, 0.01 * beta);
  for (const double bytes : {8.0, 1e4, 1e7}) {
    const Prediction prediction = scaling.predict(512, bytes);
    EXPECT_NEAR(prediction.median, tree_time(512, bytes), 0.02 * tree_time(512, bytes));
  }
}

TEST(NetworkScaling, tells_a_ring_from_a_tree) {
  int right = 0;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Machine machine(seed);
    const NetworkScaling ring(runs_up_to(machine, 16, ring_like_time, {0.03, 0.02}));
    const NetworkScaling tree(runs_up_to(machine, 16, tree_time, {0.03, 0.02}));
    right += ring.pieces().front().steps == Steps::linear && tree.pieces().front().steps == Steps::logarithmic ? 1 : 0;
  }
  EXPECT_GE(right, 47);
}

TEST(NetworkScaling, prediction_intervals_cover_a_further_run_as_often_as_they_say) {
  int covered = 0;
  int all = 0;
  double width = 0.0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Machine machine(seed);
    const Noise noise{0.03, 0.02};
    const NetworkScaling scaling(runs_up_to(machine, 16, tree_time, noise));
    const ScalingRun next = run_of(machine, 64, tree_time, noise);
    for (const SizeSamples& size : next.sizes) {
      const Prediction prediction = scaling.predict(64, size.bytes, 0.95, 0.01);
      ASSERT_TRUE(prediction.interval.has_value());
      const double measured = median(size.times);
      covered += prediction.interval->low <= measured && measured <= prediction.interval->high ? 1 : 0;
      width += std::log(prediction.interval->high / prediction.median);
      ++all;
    }
  }
  // A run's sizes fall together: 200 pieces of evidence, 3 standard deviations are 4.6 %.
  EXPECT_NEAR(covered / static_cast<double>(all), 0.95, 0.047);
  EXPECT_LT(width / all, 0.15) << "wide enough to say nothing";
}

TEST(NetworkScaling, the_back_test_covers_the_largest_run_of_a_network_that_follows_the_model) {
  int covered = 0;
  int all = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Machine machine(seed);
    const auto test = back_test(runs_up_to(machine, 32, tree_time, {0.03, 0.02}));
    ASSERT_TRUE(test.has_value());
    EXPECT_EQ(test->ranks, 32);
    for (const BackTest::Size& size : test->sizes) covered += size.covered() ? 1 : 0;
    all += static_cast<int>(test->sizes.size());
  }
  EXPECT_NEAR(covered / static_cast<double>(all), 0.95, 0.047);
}

TEST(NetworkScaling, the_back_test_fails_where_the_largest_run_does_not_follow_the_model) {
  Machine machine(3);
  std::vector<ScalingRun> runs = runs_up_to(machine, 16, tree_time, {0.02, 0.01});
  // Beyond 16 ranks a slower network begins.
  runs.push_back(run_of(machine, 32, [](int n, double bytes) { return 3.0 * tree_time(n, bytes); }, {0.02, 0.01}));
  const auto test = back_test(runs);
  ASSERT_TRUE(test.has_value());
  EXPECT_TRUE(std::none_of(test->sizes.begin(), test->sizes.end(), [](const auto& size) { return size.covered(); }));
}

TEST(NetworkScaling, runs_that_differ_more_make_wider_intervals) {
  const auto width = [](double run) {
    double sum = 0.0;
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      Machine machine(seed);
      const NetworkScaling scaling(runs_up_to(machine, 16, tree_time, {run, 0.01}));
      const Prediction prediction = scaling.predict(64, 1e6);
      sum += std::log(prediction.interval->high / prediction.interval->low);
    }
    return sum / 20.0;
  };
  EXPECT_GT(width(0.10), 2.0 * width(0.02));
}

TEST(NetworkScaling, has_no_interval_where_every_run_is_needed_for_the_parameters) {
  // Middling sizes alone: two rank counts fix both parameters, and nothing is left to judge by.
  std::vector<ScalingRun> runs;
  Machine machine(4);
  for (const int n : {2, 64}) {
    ScalingRun run{n, {}};
    for (const double bytes : {40e3, 41e3, 42e3, 43e3, 44e3}) {
      run.sizes.push_back({bytes, machine.samples(tree_time(n, bytes), 50)});
    }
    runs.push_back(run);
  }
  const NetworkScaling scaling(runs);
  const Prediction prediction = scaling.predict(128, 42e3);
  EXPECT_GT(prediction.median, 0.0);
  EXPECT_FALSE(prediction.interval.has_value());
}

TEST(NetworkScaling, refuses_one_rank_count_and_too_few_sizes) {
  Machine machine(5);
  std::vector<ScalingRun> runs = runs_up_to(machine, 4, tree_time, {});
  EXPECT_THROW(NetworkScaling(std::span(runs).first(1)), Error);
  EXPECT_FALSE(back_test(runs).has_value());
  for (ScalingRun& run : runs) run.sizes.resize(3);
  EXPECT_THROW(NetworkScaling{runs}, Error);
  runs = runs_up_to(machine, 4, tree_time, {});
  runs[0].ranks = 1;
  EXPECT_THROW(NetworkScaling{runs}, Error);
}

}  // namespace
}  // namespace rackproof::stats
