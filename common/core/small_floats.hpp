// Formats of quantised matrices beside the 8-bit floats of float8.hpp, as their bits: e2m1 and ue8m0 (OCP Microscaling
// Formats specification 1.0), and the 19 bits of tf32.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace rackproof {

/// e2m1 in the low half of the byte: 0, 0.5, 1, 1.5, 2, 3, 4, 6, and with bit 3 their negatives. To nearest, ties to
/// even; what is larger than 6, and NaN, which the format lacks, becomes 6.
[[nodiscard]] inline std::uint8_t to_e2m1(float value) {
  if (std::isnan(value)) return 0x7;
  const float magnitude = std::abs(value);
  // Half way between two codes the even one is taken.
  const int code = (magnitude > 0.25F ? 1 : 0) + (magnitude >= 0.75F ? 1 : 0) + (magnitude > 1.25F ? 1 : 0) +
                   (magnitude >= 1.75F ? 1 : 0) + (magnitude > 2.5F ? 1 : 0) + (magnitude >= 3.5F ? 1 : 0) +
                   (magnitude > 5.0F ? 1 : 0);
  return static_cast<std::uint8_t>(code | (std::signbit(value) ? 0x8 : 0));
}
[[nodiscard]] inline float from_e2m1(std::uint8_t code) {
  constexpr std::array values{0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F};
  const float magnitude = values[code & 0x7U];
  return (code & 0x8U) != 0 ? -magnitude : magnitude;
}

/// The smallest power of two that is not below `value` (what scales with it then fits), within 2^-127 ... 2^127; NaN
/// gives NaN, and what is not positive 2^-127.
[[nodiscard]] inline std::uint8_t to_ue8m0(float value) {
  if (std::isnan(value)) return 0xff;
  if (!(value > 0x1p-127F)) return 0;
  if (value > 0x1p127F) return 0xfe;
  int exponent = 0;
  const float significand = std::frexp(value, &exponent);  // in [0.5, 1)
  return static_cast<std::uint8_t>(exponent + 127 - (significand == 0.5F ? 1 : 0));
}
[[nodiscard]] inline float from_ue8m0(std::uint8_t code) {
  return code == 0xff ? std::numeric_limits<float>::quiet_NaN() : std::ldexp(1.0F, static_cast<int>(code) - 127);
}

/// An f32 with 10 bits of fraction. NaN stays NaN, overflow becomes infinity.
[[nodiscard]] inline float to_tf32(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return value;
  return std::bit_cast<float>((bits + 0xfffU + ((bits >> 13U) & 1U)) & ~0x1fffU);
}

}  // namespace rackproof
