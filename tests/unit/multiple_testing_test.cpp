#include "common/stats/multiple_testing.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rackproof::stats {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::IsEmpty;

// Against definitions and scipy: tests/statistics.

TEST(Holm, keeps_the_order_of_the_input_and_never_falls) {
  const std::vector<double> p{0.01, 0.04, 0.03, 0.005};
  EXPECT_THAT(holm(p), ElementsAre(DoubleNear(0.03, 1e-12), DoubleNear(0.06, 1e-12), DoubleNear(0.06, 1e-12),
                                   DoubleNear(0.02, 1e-12)));
  EXPECT_THAT(holm({}), IsEmpty());
  EXPECT_THAT(holm(std::vector<double>{0.9, 0.8}), ElementsAre(1.0, 1.0));
}

TEST(BenjaminiHochberg, keeps_the_order_of_the_input_and_never_falls) {
  const std::vector<double> p{0.01, 0.04, 0.03, 0.005};
  EXPECT_THAT(benjamini_hochberg(p), ElementsAre(DoubleNear(0.02, 1e-12), DoubleNear(0.04, 1e-12),
                                                 DoubleNear(0.04, 1e-12), DoubleNear(0.02, 1e-12)));
  EXPECT_THAT(benjamini_hochberg({}), IsEmpty());
}

}  // namespace
}  // namespace rackproof::stats
