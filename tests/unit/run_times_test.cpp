// On what a run spent its time.
#include "launch/run_times.hpp"

#include <gtest/gtest.h>

namespace rackproof {
namespace {

class Hand final : public Clock {
 public:
  [[nodiscard]] double now() const override { return seconds; }
  double seconds = 10.0;
};

TEST(RunTimes, all_of_it_is_told_the_longest_first) {
  Hand clock;
  RunTimes times(clock, 8.0);
  times.spent_on("start-up");
  clock.seconds = 11.0;
  times.spent_on("setting up");
  clock.seconds = 15.0;
  times.measured("gemm");
  clock.seconds = 16.5;
  times.spent_on("setting up");
  clock.seconds = 22.0;
  times.measured("links");
  clock.seconds = 23.0;
  times.measured("gemm");
  clock.seconds = 23.25;
  times.spent_on("closing the file");
  EXPECT_EQ(times.line(),
            "Took 15.2 s: measuring 10.5 (links 5.5, gemm 5.0), setting up 2.5, start-up 2.0, closing the file 0.2");
}

TEST(RunTimes, a_run_that_measured_nothing) {
  Hand clock;
  RunTimes times(clock, 9.5);
  times.spent_on("start-up");
  EXPECT_EQ(times.line(), "Took 0.5 s: start-up 0.5");
}

}  // namespace
}  // namespace rackproof
