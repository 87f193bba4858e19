#include "common/core/bfloat16.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace rackproof {
namespace {

TEST(Bfloat16, every_pattern_survives_the_round_trip) {
  for (std::uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const auto value = static_cast<bf16_bits>(bits);
    const float wide = from_bf16(value);
    if (std::isnan(wide)) {
      EXPECT_TRUE(std::isnan(from_bf16(to_bf16(wide))));
    } else {
      EXPECT_EQ(to_bf16(wide), value);
    }
  }
}

TEST(Bfloat16, rounds_to_nearest_even) {
  EXPECT_EQ(from_bf16(to_bf16(1.0F + 0x1.0p-8F)), 1.0F);              // a tie, down to even
  EXPECT_EQ(from_bf16(to_bf16(1.0F + 0x1.8p-7F)), 1.0F + 0x1.0p-6F);  // a tie, up to even
  EXPECT_EQ(from_bf16(to_bf16(1.0F + 0x1.1p-8F)), 1.0F + 0x1.0p-7F);  // above the tie
  EXPECT_TRUE(std::isinf(from_bf16(to_bf16(std::numeric_limits<float>::max()))));
  EXPECT_TRUE(
      std::isnan(from_bf16(to_bf16(std::bit_cast<float>(0x7f800001U)))));  // a NaN whose payload is all low bits
}

}  // namespace
}  // namespace rackproof
