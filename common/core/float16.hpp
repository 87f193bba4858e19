// IEEE 754 binary16 as its 16 bits.
#pragma once

#include <bit>
#include <cstdint>

namespace rackproof {

[[nodiscard]] inline float from_f16_bits(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000U) << 16U;
  const std::uint32_t rest = bits & 0x7fffU;
  // Infinity and NaN keep their fraction. The others are moved in place and scaled by 2^(127 - 15), which is exact for
  // subnormal numbers too.
  if (rest >= 0x7c00U) return std::bit_cast<float>(sign | 0x7f800000U | (rest << 13U));
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(std::bit_cast<float>(rest << 13U) * 0x1p112F));
}

/// Round to nearest, ties to even; NaN stays NaN (quiet), overflow becomes infinity.
[[nodiscard]] inline std::uint16_t to_f16_bits(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16U) & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return static_cast<std::uint16_t>(sign | 0x7e00U);
  // From 65520 on, half way between the largest number and the next power of two.
  if (magnitude >= 0x477ff000U) return static_cast<std::uint16_t>(sign | 0x7c00U);
  if (magnitude < 0x38800000U) {
    // Subnormal: 0.5 + x has a last place of 2^-24, which is theirs, and rounds to it.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000U));
  }
  const std::uint32_t rounded = magnitude + 0xfffU + ((magnitude >> 13U) & 1U);
  return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000U) >> 13U));
}

/// binary16. Not a plain integer, so that bf16_bits is another type.
struct Half {
  std::uint16_t bits = 0;
  friend bool operator==(const Half&, const Half&) = default;
};
[[nodiscard]] inline Half to_f16(float value) { return {to_f16_bits(value)}; }
[[nodiscard]] inline float from_f16(Half value) { return from_f16_bits(value.bits); }

}  // namespace rackproof
