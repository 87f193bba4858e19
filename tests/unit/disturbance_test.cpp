#include "common/measure/disturbance.hpp"

#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "common/core/clock.hpp"

namespace rackproof {
namespace {

TEST(Disturbance, the_probe_takes_time_in_proportion_to_its_fixed_work) {
  const SteadyClock clock;
  const DisturbanceMeter meter(clock);
  double fastest = meter.probe();
  for (int i = 0; i < 100; ++i) fastest = std::min(fastest, meter.probe());
  EXPECT_GT(fastest, 1e-7) << "1000 multiplications, each of which waits for the one before";
  EXPECT_LT(fastest, 1e-3);
}

TEST(Disturbance, counts_the_switches_that_a_rival_for_the_core_forces) {
  cpu_set_t before;
  CPU_ZERO(&before);
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &before) == 0) continue;
    CPU_SET(cpu, &one);
    break;
  }
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  const std::int64_t switches = DisturbanceMeter::switches();
  // Both on one core: the scheduler must take it from one of them.
  std::atomic<bool> stop = false;
  std::thread rival([&stop] {
    while (!stop) {
    }
  });
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (DisturbanceMeter::switches() == switches && std::chrono::steady_clock::now() < end) {
  }
  stop = true;
  rival.join();
  EXPECT_GT(DisturbanceMeter::switches(), switches);
  ::sched_setaffinity(0, sizeof before, &before);
}

TEST(Disturbance, steal_never_goes_back) {
  const SteadyClock clock;
  const DisturbanceMeter meter(clock);
  const double first = meter.steal();
  EXPECT_GE(first, 0.0);
  EXPECT_GE(meter.steal(), first);
}

}  // namespace
}  // namespace rackproof
