// bfloat16 as its 16 bits: the upper half of an f32, rounded to nearest even.
#pragma once

#include <bit>
#include <cstdint>

namespace rackproof {

using bf16_bits = std::uint16_t;

[[gnu::always_inline]] inline float from_bf16(bf16_bits bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
}

/// Round to nearest, ties to even; NaN stays NaN (quiet), overflow becomes infinity.
[[gnu::always_inline]] inline bf16_bits to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const bool nan = (bits & 0x7fffffffU) > 0x7f800000U;
  const std::uint32_t rounded = bits + 0x7fffU + ((bits >> 16U) & 1U);
  return static_cast<bf16_bits>(nan ? (bits >> 16U) | 0x40U : rounded >> 16U);
}

}  // namespace rackproof
