// Clocks with a planted offset and drift over the one clock that all ranks of this machine share, so that the truth is
// known. Tolerances follow from the errors that the clock itself states: they hold on a machine with more ranks than
// cores, and are microseconds on a quiet one.
#include "common/mpi/global_clock.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>
#include <vector>

#include "common/core/clock.hpp"
#include "common/mpi/communicator.hpp"

namespace rackproof::mpi {
namespace {

class PlantedClock final : public Clock {
 public:
  PlantedClock(double offset, double drift) : offset_(offset), drift_(drift), start_(true_time_.now()) {}
  [[nodiscard]] double now() const override { return at(true_time_.now()); }
  [[nodiscard]] double at(double time) const { return time + offset_ + drift_ * (time - start_); }
  void relax() const override { std::this_thread::yield(); }
  void jump(double seconds) { offset_ += seconds; }

 private:
  SteadyClock true_time_;
  double offset_;
  double drift_;
  double start_;
};

/// Far above the resolution of a double at 1e5 s, far below a message.
constexpr double rounding = 1e-9;

/// Rank 0's clock, as every rank can compute it here.
class RootClock {
 public:
  RootClock(const Communicator& world, double offset, double drift) : offset_(offset), drift_(drift) {
    std::vector<double> start{SteadyClock().now()};
    world.broadcast(start);
    start_ = start[0];
  }
  [[nodiscard]] double at(double time) const { return time + offset_ + drift_ * (time - start_); }

 private:
  double offset_;
  double drift_;
  double start_ = 0.0;
};

TEST(GlobalClock, recovers_a_planted_offset_within_its_error) {
  const auto world = Communicator::world();
  const SteadyClock truth;
  const PlantedClock clock(1000.0 * world.rank() - 300.0, 0.0);
  const GlobalClock global(world, clock);
  const double time = truth.now();
  EXPECT_NEAR(global.to_global(clock.at(time)), time - 300.0, global.error() + rounding);
  EXPECT_GE(global.error(), 0.0);
  EXPECT_LT(global.error(), 1.0);
  if (world.size() == 1) {
    EXPECT_EQ(global.error(), 0.0);
  }
}

TEST(GlobalClock, recovers_a_planted_drift_and_foretells_the_offset) {
  const auto world = Communicator::world();
  const SteadyClock truth;
  constexpr double root_drift = -2e-3;
  const RootClock root(world, 50.0, root_drift);
  // Up to 0.7 % faster than the truth: hundreds of times more than a crystal, to be seen within half a second.
  const PlantedClock clock(50.0 + 7.0 * world.rank(), world.is_root() ? root_drift : 1e-3 * world.rank());
  // The two starts were read at different instants; what that shifts rank 0's clock by.
  double shift = world.is_root() ? clock.at(0.0) - root.at(0.0) : 0.0;
  world.broadcast({&shift, 1});

  GlobalClock global(world, clock);
  double worst = global.error();
  const double first = truth.now();
  for (int i = 0; i < 6; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(80));
    worst = std::max(worst, global.synchronise());
  }
  const double span = truth.now() - first;

  // Least squares through 7 points with errors up to `worst` gets the slope right to within 4 worst / span.
  constexpr double ahead = 1.0;
  const double time = truth.now() + ahead;
  const double tolerance = worst + 4.0 * worst / span * (ahead + span) + rounding;
  EXPECT_NEAR(global.to_global(clock.at(time)), root.at(time) + shift, tolerance);
}

TEST(GlobalClock, keeps_one_clock_one_clock) {
  const auto world = Communicator::world();
  const SteadyClock clock(true);
  GlobalClock global(world, clock);
  double worst = global.error();
  for (int i = 0; i < 5; ++i) worst = std::max(worst, global.synchronise());
  // No drift may be made up from the noise of the estimates: a minute ahead it would show.
  const double later = clock.now() + 60.0;
  EXPECT_NEAR(global.to_global(later), later, worst + rounding);
}

TEST(GlobalClock, local_and_global_are_inverse) {
  const auto world = Communicator::world();
  const PlantedClock clock(-5.0 * world.rank(), 1e-3 * world.rank());
  GlobalClock global(world, clock);
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  global.synchronise();
  const double local = clock.now() + 3.0;
  EXPECT_NEAR(global.to_local(global.to_global(local)), local, rounding);
}

TEST(GlobalClock, error_is_the_same_on_every_rank) {
  const auto world = Communicator::world();
  const SteadyClock clock(true);
  GlobalClock global(world, clock);
  const double residual = global.residual();
  std::vector<double> highest{global.error(), residual};
  world.all_reduce_max(highest);
  EXPECT_EQ(highest[0], global.error());
  EXPECT_EQ(highest[1], residual);
}

TEST(GlobalClock, residual_shows_a_clock_that_jumped_and_synchronising_mends_it) {
  const auto world = Communicator::world();
  if (world.size() == 1) GTEST_SKIP() << "one rank has no clock but its own";
  PlantedClock clock(0.0, 0.0);
  GlobalClock global(world, clock);
  const double before = global.residual();
  EXPECT_LT(before, 0.4);
  if (world.rank() == world.size() - 1) clock.jump(2.0);
  EXPECT_GT(global.residual(), 1.5);
  global.synchronise();
  EXPECT_LT(global.residual(), 0.4);
}

}  // namespace
}  // namespace rackproof::mpi
