// no threads
// Quantised matrices: scales, elements, and what is read back.
#include "common/core/quantised.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "common/core/random.hpp"
#include "common/core/small_floats.hpp"

namespace rackproof {
namespace {

constexpr Scaling scalings[] = {Scaling::tensor, Scaling::block, Scaling::mx, Scaling::nv};

std::vector<float> normals(std::int64_t rows, std::int64_t k, float scale = 1.0F) {
  std::vector<float> values(static_cast<std::size_t>(rows * k));
  fill_normal(std::span<float>(values), random_stream(7, 1), 0, scale);
  return values;
}

float largest_of(const std::vector<float>& values) {
  float largest = 0.0F;
  for (const float value : values) largest = std::max(largest, std::abs(value));
  return largest;
}

Quantised quantise(Scaling scaling, Side side, std::int64_t rows, std::int64_t k, const std::vector<float>& values) {
  Quantised matrix = make_quantised(scaling, side, rows, k, largest_of(values));
  quantise_rows(matrix, 0, values);
  return matrix;
}

TEST(Quantised, normals_are_read_back_within_half_a_step_of_their_elements) {
  constexpr std::int64_t rows = 150;
  constexpr std::int64_t k = 320;
  const auto values = normals(rows, k);
  for (const Scaling scaling : scalings) {
    for (const Side side : {Side::left, Side::right}) {
      const Quantised matrix = quantise(scaling, side, rows, k, values);
      double squares = 0.0;
      for (std::int64_t row = 0; row < rows; ++row) {
        for (std::int64_t column = 0; column < k; ++column) {
          const double want = values[static_cast<std::size_t>(row * k + column)];
          const double error = std::abs(matrix.value(row, column) - want);
          squares += error * error;
          // e4m3: 2^-4 of the value, or half the least step of the block. e2m1: 2^-2, and half a step is 0.25 / 6 of
          // the block's largest; the scale itself may be off by 2^-4.
          const double limit = scaling == Scaling::nv ? std::max(std::abs(want) * 0.34, 3.8 * 0.06)
                                                      : std::max(std::abs(want) * 0x1.01p-4, 3.8 / 448.0 * 0x1p-9);
          EXPECT_LE(error, limit) << name(scaling) << " " << row << " " << column;
        }
      }
      EXPECT_LT(std::sqrt(squares / static_cast<double>(rows * k)), scaling == Scaling::nv ? 0.12 : 0.03);
    }
  }
}

TEST(Quantised, the_largest_value_of_a_block_gets_the_largest_element) {
  constexpr std::int64_t k = 256;
  const auto values = normals(128, k);
  const Quantised tensor = quantise(Scaling::tensor, Side::left, 128, k, values);
  EXPECT_EQ(tensor.scales, std::vector<float>{largest_of(values) / 448.0F});
  for (const Side side : {Side::left, Side::right}) {
    const Quantised block = quantise(Scaling::block, side, 128, k, values);
    EXPECT_EQ(block.scales.size(), side == Side::left ? 256U : 2U);
    const auto codes = std::span(block.elements).first(128);
    if (side == Side::left) {
      EXPECT_TRUE(std::any_of(codes.begin(), codes.end(), [](std::uint8_t code) { return (code & 0x7fU) == 0x7e; }));
    }
  }
  const Quantised nv = quantise(Scaling::nv, Side::left, 128, k, values);
  EXPECT_FLOAT_EQ(nv.matrix_scale, largest_of(values) / (6.0F * 448.0F));
  EXPECT_EQ(*std::max_element(nv.scale_codes.begin(), nv.scale_codes.end()), 0x7e) << "448: the largest block's";
}

TEST(Quantised, mx_scales_are_powers_of_two_that_let_nothing_saturate) {
  const auto values = normals(4, 64, 1000.0F);
  const Quantised matrix = quantise(Scaling::mx, Side::left, 4, 64, values);
  ASSERT_EQ(matrix.scale_codes.size(), 8U);
  for (std::int64_t row = 0; row < 4; ++row) {
    for (std::int64_t group = 0; group < 2; ++group) {
      float largest = 0.0F;
      for (std::int64_t i = 0; i < 32; ++i) {
        largest = std::max(largest, std::abs(values[static_cast<std::size_t>(row * 64 + group * 32 + i)]));
      }
      const float scale = from_ue8m0(matrix.scale_codes[static_cast<std::size_t>(row * 2 + group)]);
      EXPECT_LE(largest, 448.0F * scale);
      EXPECT_GT(largest, 448.0F * scale / 2.0F);
    }
  }
}

TEST(Quantised, e2m1_lies_two_a_byte_the_first_in_the_low_half) {
  std::vector<float> values(16, 0.0F);
  values[0] = 6.0F;
  values[1] = -3.0F;
  const Quantised matrix = quantise(Scaling::nv, Side::left, 1, 16, values);
  EXPECT_EQ(matrix.elements.front(), 0x7 | (0xd << 4)) << "6 is 0111, -3 is 1101";
  EXPECT_EQ(matrix.elements.size(), 8U);
  EXPECT_DOUBLE_EQ(matrix.value(0, 1) / matrix.value(0, 0), -0.5);
}

TEST(Quantised, zeros_stay_zeros) {
  const std::vector<float> values(2 * 128, 0.0F);
  for (const Scaling scaling : scalings) {
    const Quantised matrix = quantise(scaling, Side::left, 2, 128, values);
    for (std::int64_t column = 0; column < 128; ++column) EXPECT_EQ(matrix.value(1, column), 0.0) << name(scaling);
  }
}

TEST(Quantised, rows_read_are_the_values_rounded_to_f32) {
  const auto values = normals(130, 160);
  for (const Scaling scaling : scalings) {
    const Quantised matrix = quantise(scaling, Side::right, 130, 160, values);
    std::vector<float> some(77);
    matrix.read(129, 50, some);
    for (std::int64_t i = 0; i < 77; ++i) {
      const double want = matrix.value(129, 50 + i);
      EXPECT_NEAR(some[static_cast<std::size_t>(i)], want, std::abs(want) * 0x1p-22) << name(scaling);
    }
  }
}

TEST(Quantised, rows_quantised_in_parts_are_those_quantised_at_once) {
  const auto values = normals(300, 128);
  for (const Scaling scaling : scalings) {
    const Quantised whole = quantise(scaling, Side::right, 300, 128, values);
    Quantised parts = make_quantised(scaling, Side::right, 300, 128, largest_of(values));
    for (const std::int64_t first : {std::int64_t{256}, std::int64_t{0}, std::int64_t{128}}) {
      const std::int64_t rows = std::min<std::int64_t>(128, 300 - first);
      quantise_rows(
          parts, first,
          std::span(values).subspan(static_cast<std::size_t>(first * 128), static_cast<std::size_t>(rows * 128)));
    }
    EXPECT_EQ(parts.elements, whole.elements) << name(scaling);
    EXPECT_EQ(parts.scales, whole.scales) << name(scaling);
    EXPECT_EQ(parts.scale_codes, whole.scale_codes) << name(scaling);
  }
}

TEST(Quantised, bytes_are_those_of_elements_and_scales) {
  EXPECT_EQ(quantised_bytes(Scaling::tensor, Side::left, 10, 100), 1000U + 4U);
  EXPECT_EQ(quantised_bytes(Scaling::block, Side::left, 10, 256), 2560U + 80U);
  EXPECT_EQ(quantised_bytes(Scaling::block, Side::right, 130, 256), 130U * 256U + 16U);
  EXPECT_EQ(quantised_bytes(Scaling::mx, Side::left, 10, 64), 640U + 20U);
  EXPECT_EQ(quantised_bytes(Scaling::nv, Side::right, 10, 64), 320U + 40U);
}

}  // namespace
}  // namespace rackproof
