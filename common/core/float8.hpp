// The 8-bit floating-point formats of Micikevicius et al., FP8 formats for deep learning, 2022, as their bits. e4m3 has
// no infinity and one NaN; e5m2 is the upper half of a binary16.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "common/core/float16.hpp"

namespace rackproof {

using f8_bits = std::uint8_t;

inline constexpr float largest_f8e4m3 = 448.0F;
inline constexpr float largest_f8e5m2 = 57344.0F;

[[nodiscard]] inline float from_f8e4m3(f8_bits bits) {
  const std::uint32_t sign = (bits & 0x80U) << 24U;
  const std::uint32_t rest = bits & 0x7fU;
  if (rest == 0x7fU) return std::bit_cast<float>(sign | 0x7fc00000U);
  // Moved in place and scaled by 2^(127 - 7).
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(std::bit_cast<float>(rest << 20U) * 0x1p120F));
}

[[nodiscard]] inline float from_f8e5m2(f8_bits bits) { return from_f16_bits(static_cast<std::uint16_t>(bits << 8U)); }

/// Round to nearest, ties to even. NaN stays NaN; what is above the largest number, infinity too, becomes that number,
/// as in CUDA's conversions (__NV_SATFINITE).
[[nodiscard]] inline f8_bits to_f8e4m3(float value) {
  const auto sign = static_cast<f8_bits>(std::bit_cast<std::uint32_t>(value) >> 24U & 0x80U);
  if (std::isnan(value)) return static_cast<f8_bits>(sign | 0x7fU);
  const float magnitude = std::abs(value);
  if (magnitude >= largest_f8e4m3) return static_cast<f8_bits>(sign | 0x7eU);
  // Subnormal below 2^-6: a last place of 2^-9, which a number at 2^14 has too.
  if (magnitude < 0x1p-6F) {
    const float shifted = magnitude + 0x1p14F;
    return static_cast<f8_bits>(sign | (std::bit_cast<std::uint32_t>(shifted) - std::bit_cast<std::uint32_t>(0x1p14F)));
  }
  const auto bits = std::bit_cast<std::uint32_t>(magnitude);
  const std::uint32_t rounded = bits + 0x7ffffU + ((bits >> 20U) & 1U);
  return static_cast<f8_bits>(sign | ((rounded - 0x3c000000U) >> 20U));
}

/// As to_f8e4m3().
[[nodiscard]] inline f8_bits to_f8e5m2(float value) {
  const auto sign = static_cast<f8_bits>(std::bit_cast<std::uint32_t>(value) >> 24U & 0x80U);
  if (std::isnan(value)) return static_cast<f8_bits>(sign | 0x7eU);
  const float magnitude = std::abs(value);
  if (magnitude >= largest_f8e5m2) return static_cast<f8_bits>(sign | 0x7bU);
  // Subnormal below 2^-14: a last place of 2^-16, that of a number at 2^7.
  if (magnitude < 0x1p-14F) {
    const float shifted = magnitude + 0x1p7F;
    return static_cast<f8_bits>(sign | (std::bit_cast<std::uint32_t>(shifted) - std::bit_cast<std::uint32_t>(0x1p7F)));
  }
  const auto bits = std::bit_cast<std::uint32_t>(magnitude);
  const std::uint32_t rounded = bits + 0xfffffU + ((bits >> 21U) & 1U);
  return static_cast<f8_bits>(sign | ((rounded - 0x38000000U) >> 21U));
}

}  // namespace rackproof
