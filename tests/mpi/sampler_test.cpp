// On a fake clock that is moved by the steps themselves: counts and figures are exact there. On the real clock: only
// what holds however slow the machine is.
#include "common/measure/sampler.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <random>
#include <thread>
#include <vector>

#include "common/core/clock.hpp"
#include "common/measure/starter.hpp"
#include "common/mpi/communicator.hpp"
#include "common/mpi/global_clock.hpp"
#include "tests/fakes/fake_clock.hpp"

namespace rackproof {
namespace {

/// A step that is a function of how many there were.
class TestWorkload : public Workload {
 public:
  TestWorkload(bool collective, std::function<void(int)> step) : collective_(collective), step_(std::move(step)) {}
  void prepare() override {
    EXPECT_EQ(prepared_, steps_) << "prepare() belongs before each step, once";
    ++prepared_;
  }
  void step() override {
    step_(steps_);
    ++steps_;
    EXPECT_EQ(prepared_, steps_);
  }
  Verification verify() override { return {}; }
  [[nodiscard]] bool is_collective() const override { return collective_; }
  [[nodiscard]] double delay() const override { return late_by; }
  [[nodiscard]] int steps() const { return steps_; }
  double late_by = 0.0;  ///< s, of this rank

 private:
  bool collective_;
  std::function<void(int)> step_;
  int prepared_ = 0;
  int steps_ = 0;
};

void expect_whole_and_alike(const Samples& samples, const TestWorkload& workload) {
  const auto world = mpi::Communicator::world();
  const std::size_t n = samples.figure.size();
  EXPECT_EQ(samples.begin.size(), n);
  EXPECT_EQ(samples.time.size(), n);
  EXPECT_EQ(samples.flags.size(), n);
  EXPECT_EQ(workload.steps(), static_cast<int>(samples.warmup.size() + n));
  EXPECT_EQ(samples.switches.size(), n);
  EXPECT_EQ(samples.probe.size(), n);
  EXPECT_EQ(samples.steal.size(), n);
  for (std::size_t i = 0; i < n; ++i) EXPECT_GE(samples.time[i], 0.0);

  std::vector<double> highest{static_cast<double>(n), static_cast<double>(samples.stop_reason),
                              static_cast<double>(samples.warmup.size()), samples.clock_error};
  const std::vector<double> mine = highest;
  world.all_reduce_max(highest);
  ASSERT_EQ(mine, highest);
  std::vector<double> of_root = samples.figure;
  world.broadcast(of_root);
  EXPECT_EQ(of_root, samples.figure);
}

TEST(Sampler, all_ranks_have_the_same_samples_and_figures) {
  const auto world = mpi::Communicator::world();
  const SteadyClock clock(true);
  mpi::GlobalClock global(world, clock);
  for (const bool collective : {true, false}) {
    std::minstd_rand random(static_cast<unsigned>(world.rank()) + 1);
    TestWorkload workload(collective, [&](int) {
      const double end = clock.now() + 1e-6 * static_cast<double>(random() % 200);
      while (clock.now() < end) clock.relax();
      if (collective) world.barrier();
    });
    StoppingRule rule;
    rule.max_samples = 80;
    rule.budget = 0.3;
    const Samples samples = measure(workload, world, global, rule);
    EXPECT_GE(samples.figure.size(), 3U);
    EXPECT_LE(samples.figure.size(), 80U);
    expect_whole_and_alike(samples, workload);
  }
}

/// Tells a time of its own, or none.
class DeviceTimedWorkload final : public TestWorkload {
 public:
  DeviceTimedWorkload(bool collective, double seconds) : TestWorkload(collective, [](int) {}), seconds_(seconds) {}
  [[nodiscard]] double device_seconds() override { return seconds_; }

 private:
  double seconds_;
};

TEST(Sampler, the_time_is_the_devices_where_it_keeps_one_and_the_hosts_is_kept_beside_it) {
  const auto world = mpi::Communicator::world();
  const SteadyClock clock(true);
  mpi::GlobalClock global(world, clock);
  StoppingRule rule;
  rule.max_samples = 40;
  rule.budget = 0.2;
  constexpr double device_time = 0.25;  // s, which no step here takes by the host
  DeviceTimedWorkload alone(false, device_time);
  const Samples by_device = measure(alone, world, global, rule);
  expect_whole_and_alike(by_device, alone);
  ASSERT_EQ(by_device.host_time.size(), by_device.time.size());
  for (std::size_t i = 0; i < by_device.time.size(); ++i) {
    EXPECT_EQ(by_device.time[i], device_time);
    EXPECT_EQ(by_device.figure[i], device_time);
    EXPECT_GT(by_device.host_time[i], 0.0);
    EXPECT_LT(by_device.host_time[i], device_time);
    EXPECT_EQ(by_device.flags[i] & sample_short, 0);
  }
  DeviceTimedWorkload together(true, device_time);
  const Samples by_host = measure(together, world, global, rule);
  for (std::size_t i = 0; i < by_host.time.size(); ++i) {
    EXPECT_LT(by_host.time[i], device_time);
    EXPECT_TRUE(std::isnan(by_host.host_time[i]));
  }
}

TEST(Sampler, a_slow_rank_shows_in_every_figure) {
  const auto world = mpi::Communicator::world();
  const SteadyClock clock(true);
  mpi::GlobalClock global(world, clock);
  for (int slow = 0; slow < world.size(); slow += std::max(1, world.size() - 1)) {
    for (const bool collective : {true, false}) {
      TestWorkload workload(collective, [&](int) {
        if (world.rank() == slow) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      });
      StoppingRule rule;
      rule.max_samples = 5;
      const Samples samples = measure(workload, world, global, rule);
      for (std::size_t i = 0; i < samples.figure.size(); ++i) {
        // By the clocks a collective may lose the error of the clock, and what a late rank began later.
        const bool exact = !collective || (samples.flags[i] & sample_barrier) != 0;
        double late = (samples.flags[i] & sample_late) != 0 ? 1.0 : 0.0;
        world.all_reduce_max({&late, 1});
        if (!exact && late != 0.0) continue;
        EXPECT_GE(samples.figure[i], 0.0049 - (exact ? 0.0 : 2.0 * samples.clock_error));
      }
      expect_whole_and_alike(samples, workload);
    }
  }
}

TEST(Sampler, delayed_ranks_begin_that_much_later_and_the_figure_counts_from_the_last) {
  const auto world = mpi::Communicator::world();
  if (world.size() == 1) GTEST_SKIP() << "nobody waits for a rank that is alone";
  const SteadyClock clock(true);
  mpi::GlobalClock global(world, clock);
  // As short as only a barrier could time it, were it not for the delays.
  TestWorkload workload(true, [](int) {});
  workload.late_by = 1e-3 * world.rank();
  StoppingRule rule;
  rule.max_samples = 20;
  const Samples samples = measure(workload, world, global, rule);
  expect_whole_and_alike(samples, workload);
  for (std::size_t i = 0; i < samples.figure.size(); ++i) {
    EXPECT_EQ(samples.flags[i] & sample_barrier, 0);
    std::vector<double> latest{samples.begin[i], samples.begin[i] + samples.time[i],
                               (samples.flags[i] & sample_late) != 0 ? 1.0 : 0.0};
    std::vector<double> instant{samples.begin[i] - workload.late_by};
    std::vector<double> first = instant;
    world.all_reduce_max(latest);
    world.all_reduce_max(instant);
    world.all_reduce_min(first);
    EXPECT_DOUBLE_EQ(samples.figure[i], latest[1] - latest[0]);
    if (latest[2] == 0.0) {
      EXPECT_NEAR(instant[0], first[0], 2.0 * samples.clock_error + 3e-4);
    }
  }
}

/// Rows of operations back to back.
class StreamedWorkload final : public TestWorkload {
 public:
  using TestWorkload::TestWorkload;
  [[nodiscard]] bool is_streamed() const override { return true; }
};

TEST(Sampler, a_streamed_sample_is_a_row_of_operations_and_its_time_that_of_one) {
  const auto world = mpi::Communicator::world();
  const FakeClock clock;
  mpi::GlobalClock global(world, clock);
  // The first is slow, as a first operation is; the last rank takes longest.
  StreamedWorkload workload(true, [&](int step) {
    clock.advance(step == 0 ? 1e-3 : 1e-5 * (1.0 + 0.5 * world.rank() / std::max(1, world.size() - 1)));
  });
  StoppingRule rule;
  rule.max_samples = 40;
  rule.budget = 10.0;
  const Samples samples = measure(workload, world, global, rule);
  const double longest = world.size() > 1 ? 1.5e-5 : 1e-5;
  // The clock moves a little with each reading, so the operations seem a little longer when they are alone.
  EXPECT_NEAR(samples.operations, world.size() > 1 ? 134 : 200, 2);
  const auto rows = static_cast<int>(samples.figure.size());
  EXPECT_GT(workload.steps(), rows * samples.operations) << "whole rows, and a warm-up";
  EXPECT_EQ((workload.steps() - 11) % samples.operations, 0) << "1 + 10 operations alone, then rows";
  for (const double figure : samples.figure) EXPECT_NEAR(figure, longest, 1e-9);
  for (const std::uint8_t flags : samples.flags) EXPECT_EQ(flags, 0);
}

TEST(Sampler, a_streamed_case_without_budget_still_has_rows) {
  const auto world = mpi::Communicator::world();
  const FakeClock clock;
  mpi::GlobalClock global(world, clock);
  StreamedWorkload workload(true, [&](int) { clock.advance(0.5); });
  StoppingRule rule;
  rule.budget = 0.1;
  const Samples samples = measure(workload, world, global, rule);
  EXPECT_EQ(samples.operations, fewest_streamed);
  EXPECT_EQ(samples.figure.size(), 3U);
  for (const double figure : samples.figure) EXPECT_NEAR(figure, 0.5, 1e-6);
}

TEST(Sampler, tells_what_disturbed_a_sample) {
  const auto world = mpi::Communicator::world();
  const SteadyClock clock(true);
  mpi::GlobalClock global(world, clock);
  TestWorkload workload(true, [](int) {});
  StoppingRule rule;
  rule.max_samples = 30;
  const Samples samples = measure(workload, world, global, rule);
  for (std::size_t i = 0; i < samples.figure.size(); ++i) {
    EXPECT_GT(samples.probe[i], 1e-7F) << "1000 dependent multiplications";
    EXPECT_LT(samples.probe[i], 10.0F);
    EXPECT_GE(samples.steal[i], 0.0F);
  }
}

TEST(Sampler, spends_the_budget_and_no_more) {
  const auto world = mpi::Communicator::world();
  const FakeClock clock;
  mpi::GlobalClock global(world, clock);
  // Never the same time twice, so that it does not converge: 0.05 to 0.15 s, 0.1 in the mean.
  TestWorkload workload(true, [&](int step) { clock.advance(step % 2 == 0 ? 0.05 : 0.15); });
  StoppingRule rule;
  rule.budget = 2.0;
  rule.min_samples = 10;
  rule.relative_half_width = 1e-6;
  const Samples samples = measure(workload, world, global, rule);
  EXPECT_EQ(samples.stop_reason, StopReason::budget);
  EXPECT_LE(workload.steps(), 21);
  EXPECT_GE(workload.steps(), 17);
  expect_whole_and_alike(samples, workload);
}

TEST(Sampler, takes_three_samples_of_what_is_too_long_for_the_budget) {
  const auto world = mpi::Communicator::world();
  const FakeClock clock;
  mpi::GlobalClock global(world, clock);
  TestWorkload workload(true, [&](int) { clock.advance(10.0); });
  const Samples samples = measure(workload, world, global, StoppingRule{});
  EXPECT_EQ(static_cast<int>(samples.warmup.size()), 1);
  ASSERT_EQ(samples.figure.size(), 3U);
  EXPECT_EQ(samples.stop_reason, StopReason::budget);
  for (const double figure : samples.figure) EXPECT_NEAR(figure, 10.0, 1e-3);
}

TEST(Sampler, stops_at_the_least_number_of_samples_when_all_are_alike) {
  const auto world = mpi::Communicator::world();
  const FakeClock clock;
  mpi::GlobalClock global(world, clock);
  TestWorkload workload(true, [&](int) { clock.advance(0.01); });
  StoppingRule rule;
  rule.budget = 1000.0;
  const Samples samples = measure(workload, world, global, rule);
  EXPECT_EQ(samples.stop_reason, StopReason::converged);
  EXPECT_EQ(samples.figure.size(), 30U);
  expect_whole_and_alike(samples, workload);
}

TEST(Sampler, stops_when_every_rank_is_certain_of_its_side_of_a_limit) {
  const auto world = mpi::Communicator::world();
  const FakeClock clock;
  mpi::GlobalClock global(world, clock);
  for (const bool of_job : {true, false}) {
    StoppingRule rule;
    rule.budget = 1000.0;
    rule.relative_half_width = 1e-9;
    // The last rank takes 2 ms longer: it alone is beyond the limit.
    const double own = 0.01 + (world.rank() == world.size() - 1 ? 0.002 : 0.0);
    TestWorkload workload(false, [&](int step) { clock.advance(own + 1e-6 * std::fmod(0.618 * step, 1.0)); });
    rule.limits = {{0.011, true, of_job}};
    const Samples samples = measure(workload, world, global, rule);
    EXPECT_EQ(samples.stop_reason, StopReason::certain);
    EXPECT_LT(samples.figure.size(), 30U);
    EXPECT_GE(samples.figure.size(), static_cast<std::size_t>(rule.plan.fewest));
    expect_whole_and_alike(samples, workload);
  }
}

TEST(Sampler, goes_on_where_one_rank_is_at_its_limit) {
  const auto world = mpi::Communicator::world();
  const FakeClock clock;
  mpi::GlobalClock global(world, clock);
  const bool undecided = world.rank() == world.size() - 1;
  TestWorkload workload(false, [&](int step) { clock.advance(0.01 + (undecided && step % 2 == 0 ? 0.002 : 0.0)); });
  StoppingRule rule;
  rule.budget = 1e6;
  rule.max_samples = 60;
  rule.relative_half_width = 1e-9;
  rule.limits = {{0.011, true, false}};
  const Samples samples = measure(workload, world, global, rule);
  EXPECT_EQ(samples.stop_reason, StopReason::max_samples);
  EXPECT_EQ(samples.figure.size(), 60U);
  expect_whole_and_alike(samples, workload);
}

TEST(Sampler, stops_at_the_most_samples) {
  const auto world = mpi::Communicator::world();
  const FakeClock clock;
  mpi::GlobalClock global(world, clock);
  TestWorkload workload(false, [&](int step) { clock.advance(0.01 * (1.0 + std::fmod(0.618 * step, 1.0))); });
  StoppingRule rule;
  rule.budget = 1e6;
  rule.max_samples = 61;
  rule.relative_half_width = 1e-9;
  const Samples samples = measure(workload, world, global, rule);
  EXPECT_EQ(samples.stop_reason, StopReason::max_samples);
  EXPECT_EQ(samples.figure.size(), 61U);
}

TEST(Sampler, warms_up_until_the_time_no_longer_falls) {
  const auto world = mpi::Communicator::world();
  const FakeClock clock;
  mpi::GlobalClock global(world, clock);
  TestWorkload workload(true, [&](int step) { clock.advance(step < 60 ? 0.1 - 0.0015 * step : 0.01); });
  StoppingRule rule;
  rule.budget = 1000.0;
  const Samples samples = measure(workload, world, global, rule);
  EXPECT_GE(static_cast<int>(samples.warmup.size()), 60);
  EXPECT_LE(static_cast<int>(samples.warmup.size()), 90);
  for (const double figure : samples.figure) EXPECT_NEAR(figure, 0.01, 1e-4);
}

TEST(Sampler, warm_up_ends_for_a_workload_that_never_settles) {
  const auto world = mpi::Communicator::world();
  const FakeClock clock;
  mpi::GlobalClock global(world, clock);
  TestWorkload workload(false, [&](int step) { clock.advance(1e-3 * (step + 1)); });
  StoppingRule rule;
  rule.budget = 1.0;
  const Samples samples = measure(workload, world, global, rule);
  // 1 + 2 + ... + 19 ms = 0.19 s
  EXPECT_LE(static_cast<int>(samples.warmup.size()), 25);
  EXPECT_GE(samples.figure.size(), 3U);
  expect_whole_and_alike(samples, workload);
}

TEST(Sampler, starts_by_a_barrier_and_says_so_where_the_clock_is_too_coarse) {
  const auto world = mpi::Communicator::world();
  // A round trip takes 10 us of this clock and more, a step 1 us and a reading.
  const FakeClock clock(10e-6, 10e-6);
  mpi::GlobalClock global(world, clock);
  TestWorkload collective(true, [&](int) { clock.advance(world.is_root() ? 1e-6 : 5e-6); });
  StoppingRule rule;
  rule.budget = 1.0;
  const Samples by_barrier = measure(collective, world, global, rule);
  for (std::size_t i = 0; i < by_barrier.figure.size(); ++i) {
    EXPECT_EQ((by_barrier.flags[i] & sample_barrier) != 0, world.size() > 1);
    EXPECT_NE(by_barrier.flags[i] & sample_short, 0);  // a reading takes longer than the step
    EXPECT_NEAR(by_barrier.figure[i], world.size() > 1 ? 15e-6 : 11e-6, 1e-9);
  }
  expect_whole_and_alike(by_barrier, collective);

  // What every rank does for itself needs no common clock.
  TestWorkload alone(false, [&](int) { clock.advance(1e-6); });
  for (const auto flags : measure(alone, world, global, rule).flags) EXPECT_EQ(flags & sample_barrier, 0);

  // Nor does a long collective.
  TestWorkload longer(true, [&](int) { clock.advance(0.01); });
  for (const auto flags : measure(longer, world, global, rule).flags) {
    EXPECT_EQ(flags & (sample_barrier | sample_short), 0);
  }
}

/// The real clock of a rank that can lose its core: the next reading then comes back 30 ms late, which is more than
/// the longest window.
class PreemptedClock final : public Clock {
 public:
  [[nodiscard]] double now() const override {
    if (preempted_) std::this_thread::sleep_for(std::chrono::milliseconds(30));
    preempted_ = false;
    return clock_.now();
  }
  void relax() const override { clock_.relax(); }
  void preempt() { preempted_ = true; }

 private:
  SteadyClock clock_{true};
  mutable bool preempted_ = false;
};

TEST(Starter, a_rank_that_loses_its_core_before_the_start_is_late) {
  const auto world = mpi::Communicator::world();
  if (world.size() == 1) GTEST_SKIP() << "one rank has nobody to be late for";
  PreemptedClock clock;
  const mpi::GlobalClock global(world, clock);
  const Starter starter(world, global);
  EXPECT_GT(starter.window(), 0.0);
  for (int i = 0; i < 3; ++i) {
    const bool preempted = world.rank() == world.size() - 1;
    if (preempted) clock.preempt();
    const Punctuality start = starter.start_in_window();
    EXPECT_TRUE(start == Punctuality::arrived_late || !preempted);
  }
}

/// The real clock of a rank that loses its core while it waits.
class DozingClock final : public Clock {
 public:
  explicit DozingClock(bool dozes) : dozes_(dozes) {}
  [[nodiscard]] double now() const override { return clock_.now(); }
  void relax() const override {
    if (dozes_) std::this_thread::sleep_for(std::chrono::milliseconds(30));
  }

 private:
  SteadyClock clock_;
  bool dozes_;
};

TEST(Starter, a_rank_that_loses_its_core_while_it_waits_is_late_too) {
  const auto world = mpi::Communicator::world();
  if (world.size() == 1) GTEST_SKIP() << "one rank has nobody to be late for";
  const bool dozes = world.rank() == world.size() - 1;
  const DozingClock clock(dozes);
  const mpi::GlobalClock global(world, clock);
  Starter starter(world, global);
  for (int i = 0; i < 100; ++i) starter.adapt(1.0);  // the longest window, so that it is awaited
  const Punctuality start = starter.start_in_window();
  EXPECT_TRUE(start != Punctuality::on_time || !dozes);
}

TEST(Starter, window_follows_lateness_within_bounds) {
  const auto world = mpi::Communicator::world();
  if (world.size() == 1) GTEST_SKIP() << "one rank starts at once";
  const SteadyClock clock(true);
  const mpi::GlobalClock global(world, clock);
  Starter starter(world, global);
  const double shortest = starter.window();
  starter.adapt(0.05);
  EXPECT_EQ(starter.window(), shortest);
  starter.adapt(0.5);
  EXPECT_EQ(starter.window(), std::min(2.0 * shortest, 20e-3));
  for (int i = 0; i < 100; ++i) starter.adapt(1.0);
  EXPECT_EQ(starter.window(), 20e-3);
  for (int i = 0; i < 1000; ++i) starter.adapt(0.0);
  EXPECT_EQ(starter.window(), shortest);
}

TEST(Starter, a_clock_that_stands_still_is_not_waited_for) {
  const auto world = mpi::Communicator::world();
  const FakeClock clock(0.0, 0.0);
  const mpi::GlobalClock global(world, clock);
  const Starter starter(world, global);
  EXPECT_EQ(starter.start_in_window(), Punctuality::on_time);  // the window of such a clock is nothing
}

TEST(Sampler, keeps_and_flags_the_samples_of_a_late_rank) {
  const auto world = mpi::Communicator::world();
  if (world.size() == 1) GTEST_SKIP() << "one rank has nobody to be late for";
  const bool preempted = world.rank() == world.size() - 1;
  PreemptedClock clock;
  mpi::GlobalClock global(world, clock);
  class LateWorkload final : public Workload {
   public:
    LateWorkload(PreemptedClock& its_clock, bool late) : clock_(its_clock), late_(late) {}
    void prepare() override {
      if (late_ && ++prepared_ % 3 == 0) clock_.preempt();
    }
    void step() override { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }
    Verification verify() override { return {}; }
    [[nodiscard]] bool is_collective() const override { return false; }

   private:
    PreemptedClock& clock_;
    bool late_;
    int prepared_ = 0;
  };
  LateWorkload late_workload(clock, preempted);
  StoppingRule rule;
  rule.min_samples = rule.max_samples = 21;
  rule.budget = 30.0;
  const Samples samples = measure(late_workload, world, global, rule);
  ASSERT_EQ(samples.figure.size(), 21U);
  for (std::size_t i = 0; preempted && i < samples.flags.size(); ++i) {
    if ((static_cast<int>(samples.warmup.size() + i) + 1) % 3 != 0) continue;
    EXPECT_NE(samples.flags[i] & sample_late, 0) << i;
  }
}

}  // namespace
}  // namespace rackproof
