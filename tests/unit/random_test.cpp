// Seeded numbers: addressable by index, of the promised distribution.
#include "common/core/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>
#include <span>
#include <vector>

namespace rackproof {
namespace {

constexpr std::size_t many = 1U << 18U;

template <typename T>
std::vector<T> normals(std::size_t count, std::uint64_t stream, std::uint64_t first, float scale) {
  std::vector<T> values(count);
  fill_normal(std::span<T>(values), stream, first, scale);
  return values;
}

template <typename T>
void a_part_equals_the_same_part_of_the_whole() {
  const auto whole = normals<T>(1000, 3, 0, 20.0F);
  const auto part = normals<T>(300, 3, 500, 20.0F);
  EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + 500));
}

TEST(Random, a_part_equals_the_same_part_of_the_whole) {
  a_part_equals_the_same_part_of_the_whole<float>();
  a_part_equals_the_same_part_of_the_whole<double>();
  a_part_equals_the_same_part_of_the_whole<bf16_bits>();
  a_part_equals_the_same_part_of_the_whole<std::int8_t>();
}

TEST(Random, shuffled_numbers_are_all_there_in_an_order_of_the_stream) {
  const std::vector<int> order = shuffled(100, 7);
  EXPECT_EQ(std::set<int>(order.begin(), order.end()).size(), 100U);
  EXPECT_EQ(*std::min_element(order.begin(), order.end()), 0);
  EXPECT_EQ(*std::max_element(order.begin(), order.end()), 99);
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
  EXPECT_EQ(shuffled(100, 7), order);
  EXPECT_NE(shuffled(100, 8), order);
  EXPECT_TRUE(shuffled(0, 7).empty());
}

/// The numbers are part of what a result file means: a digest of one version is compared with another's.
TEST(Random, the_same_seed_gives_the_same_numbers_for_ever) {
  EXPECT_EQ(random_bits(0, 0), 0xe220a8397b1dcdafULL);  // SplitMix64 of seed 0, first output
  EXPECT_EQ(random_bits(0, 1), 0x6e789e6aa1b965f4ULL);  // and second
  EXPECT_NE(random_stream(1, 1), random_stream(1, 2));
  EXPECT_NE(random_stream(1, 1), random_stream(2, 1));
}

TEST(Random, normals_have_mean_zero_and_the_scale_as_standard_deviation) {
  const auto values = normals<double>(many, random_stream(1, 1), 0, 2.0F);
  double sum = 0.0;
  double squares = 0.0;
  double fourth = 0.0;
  for (const double value : values) {
    sum += value;
    squares += value * value;
    fourth += value * value * value * value;
  }
  const auto n = static_cast<double>(many);
  // Five standard errors.
  EXPECT_NEAR(sum / n, 0.0, 5 * 2.0 / std::sqrt(n));
  EXPECT_NEAR(squares / n, 4.0, 5 * 4.0 * std::sqrt(2.0 / n));
  // A kurtosis of 3, as no uniform or two-valued stand-in has.
  EXPECT_NEAR(fourth / n / 16.0, 3.0, 0.1);
  EXPECT_LE(*std::max_element(values.begin(), values.end()), 2.0 * 3.7);
  EXPECT_GE(*std::max_element(values.begin(), values.end()), 2.0 * 3.5);
}

TEST(Random, i8_uses_its_range_and_is_clamped_symmetrically) {
  const auto values = normals<std::int8_t>(many, 5, 0, 32.0F);
  EXPECT_GE(std::set<std::int8_t>(values.begin(), values.end()).size(), 200U);
  const auto large = normals<std::int8_t>(many, 5, 0, 1000.0F);
  EXPECT_EQ(*std::min_element(large.begin(), large.end()), -127);
  EXPECT_EQ(*std::max_element(large.begin(), large.end()), 127);
}

TEST(Random, neighbours_and_streams_are_uncorrelated) {
  const auto a = normals<double>(many, random_stream(1, 1), 0, 1.0F);
  const auto b = normals<double>(many, random_stream(1, 2), 0, 1.0F);
  double neighbours = 0.0;
  double streams = 0.0;
  for (std::size_t i = 0; i + 1 < many; ++i) {
    neighbours += a[i] * a[i + 1];
    streams += a[i] * b[i];
  }
  const auto n = static_cast<double>(many);
  EXPECT_NEAR(neighbours / n, 0.0, 5 / std::sqrt(n));
  EXPECT_NEAR(streams / n, 0.0, 5 / std::sqrt(n));
}

TEST(Random, uniform_is_below_one_and_even) {
  double sum = 0.0;
  for (std::uint64_t i = 0; i < many; ++i) {
    const double value = random_uniform(7, i);
    ASSERT_GE(value, 0.0);
    ASSERT_LT(value, 1.0);
    sum += value;
  }
  EXPECT_NEAR(sum / static_cast<double>(many), 0.5, 5 * std::sqrt(1.0 / 12.0 / static_cast<double>(many)));
}

}  // namespace
}  // namespace rackproof
