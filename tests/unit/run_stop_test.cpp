#include "launch/run_stop.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <csignal>

namespace rackproof {
namespace {

TEST(EndOfRun, wall_time_counts_from_the_start_of_the_process) {
  EXPECT_DOUBLE_EQ(end_of_run(100.0, 130.0, 1800.0, nullptr, 0.0), 1900.0);
  EXPECT_DOUBLE_EQ(end_of_run(100.0, 130.0, 1800.0, "50", 20.0), 1900.0) << "what the user says goes before Slurm";
}

TEST(EndOfRun, end_of_the_slurm_job_is_translated_to_the_clock_of_the_run) {
  EXPECT_DOUBLE_EQ(end_of_run(100.0, 130.0, 0.0, "1700003600", 1700000000.0), 130.0 + 3600.0);
}

TEST(EndOfRun, is_never_where_nobody_sets_one) {
  for (const char* text : {static_cast<const char*>(nullptr), "", "0", "soon", "17x"}) {
    EXPECT_TRUE(std::isinf(end_of_run(100.0, 130.0, 0.0, text, 1700000000.0)));
  }
}

TEST(CaseFits, with_its_share_the_slowest_overhead_and_the_time_to_close_the_file) {
  EXPECT_TRUE(case_fits(0.0, 36.0, 20.0, 10.0));
  EXPECT_FALSE(case_fits(0.0, 34.0, 20.0, 10.0));
  EXPECT_FALSE(case_fits(3.0, 36.0, 20.0, 10.0));
  EXPECT_TRUE(case_fits(0.0, INFINITY, 1e9, 0.0));
  EXPECT_TRUE(case_fits(0.0, 6.0, -20.0, 0.0)) << "no time left for samples is no time back";
}

TEST(StopSignals, ask_to_end_and_do_not_end_the_process) {
  {
    const StopSignals signals;
    EXPECT_EQ(StopSignals::received(), 0);
    std::raise(SIGUSR1);
    EXPECT_EQ(StopSignals::received(), SIGUSR1);
    std::raise(SIGTERM);
    EXPECT_EQ(StopSignals::received(), SIGTERM);
  }
  EXPECT_STREQ(name_of_signal(SIGTERM), "SIGTERM");
  EXPECT_STREQ(name_of_signal(SIGUSR1), "SIGUSR1");
  std::raise(SIGUSR1);  // a late one does no harm
}

}  // namespace
}  // namespace rackproof
