#include <gmock/gmock.h>

#include <algorithm>

#include "common/mpi/global_clock.hpp"

namespace rackproof::mpi {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

/// What ranks see where each clock is ahead of the true time by so much: the parent of a rank is the rank without its
/// lowest set bit.
std::vector<GlobalClock::Deviation> deviations_of(const std::vector<double>& ahead, double error = 1e-6) {
  std::vector<GlobalClock::Deviation> all(ahead.size());
  for (std::size_t rank = 1; rank < ahead.size(); ++rank) {
    all[rank] = {ahead[rank & (rank - 1)] - ahead[rank], error};
  }
  return all;
}

TEST(ClockJump, the_rank_whose_clock_jumped_is_named_and_not_those_below_it_in_the_tree) {
  for (int rank = 0; rank < 8; ++rank) {
    for (const double seconds : {0.01, -0.01}) {
      std::vector<double> ahead(8, 0.0);
      ahead[static_cast<std::size_t>(rank)] = seconds;
      const auto jumps = find_clock_jumps(deviations_of(ahead), 2.0, 1e-6);
      ASSERT_THAT(jumps, SizeIs(1)) << rank;
      EXPECT_EQ(jumps.front().rank, rank);
      EXPECT_NEAR(jumps.front().seconds, seconds, 1e-9);
    }
  }
}

TEST(ClockJump, drift_and_what_the_network_leaves_open_are_no_jump) {
  const double elapsed = 10.0;
  std::vector<double> drifting{0.0, 100e-6 * elapsed, -100e-6 * elapsed, 50e-6 * elapsed};
  EXPECT_THAT(find_clock_jumps(deviations_of(drifting), elapsed, 1e-6), IsEmpty());
  EXPECT_THAT(find_clock_jumps(deviations_of({0.0, 0.01, 0.0, 0.0}, 5e-3), 1.0, 1e-6), IsEmpty());
  EXPECT_THAT(find_clock_jumps(deviations_of({0.0, 0.01, 0.0, 0.0}), 1.0, 5e-3), IsEmpty());
}

TEST(ClockJump, of_two_ranks_it_is_the_one_that_does_not_lead) {
  const auto jumps = find_clock_jumps(deviations_of({0.0, 0.05}), 1.0, 1e-6);
  ASSERT_THAT(jumps, SizeIs(1));
  EXPECT_EQ(jumps.front().rank, 1);
  EXPECT_THAT(find_clock_jumps(deviations_of({0.0}), 1.0, 1e-6), IsEmpty());
}

}  // namespace
}  // namespace rackproof::mpi
