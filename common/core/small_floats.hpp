// Floating-point formats of 16 bits and less, as their bits: f16 (IEEE 754 binary16), e4m3 and e5m2 (Micikevicius et
// al., FP8 formats for deep learning, 2022), e2m1 and ue8m0 (OCP Microscaling Formats specification 1.0), and the 19
// bits of tf32. Encoders round to nearest, ties to even, in the default rounding mode, and saturate where the format
// has no infinity (e5m2 too, as converters for deep learning do).
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "common/core/float16.hpp"
#include "common/core/float8.hpp"

namespace rackproof {

/// f16. Not a plain integer, so that bf16_bits is another type.
struct Half {
  std::uint16_t bits = 0;
  friend bool operator==(const Half&, const Half&) = default;
};

/// Sign in the highest bit, then exponent, then fraction.
struct SmallFloat {
  int fraction_bits;
  int least_exponent;      ///< of normal numbers
  std::uint32_t sign;      ///< the sign's bit
  std::uint32_t largest;   ///< code of the largest finite number
  std::uint32_t overflow;  ///< code of what is larger: infinity, or `largest` again
  std::uint32_t nan;       ///< code of NaN; e2m1 has none, and NaN becomes the largest
};

namespace small_floats {
inline constexpr SmallFloat e2m1{1, 0, 0x8, 0x7, 0x7, 0x7};

/// The code of `value`.
[[nodiscard]] inline std::uint32_t encode(const SmallFloat& format, float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return format.nan;
  const std::uint32_t sign = (bits >> 31U) != 0 ? format.sign : 0;
  const float magnitude = std::bit_cast<float>(bits & 0x7fffffffU);
  const int exponent = static_cast<int>((bits >> 23U) & 0xffU) - 127;
  if (exponent > 127) return sign | format.overflow;
  // One in the last place, a power of two; the quotient is exact.
  const int unit = std::max(exponent, format.least_exponent) - format.fraction_bits;
  const auto steps = static_cast<std::uint32_t>(
      std::nearbyint(magnitude * std::bit_cast<float>(static_cast<std::uint32_t>(127 - unit) << 23U)));
  // A carry out of the fraction goes into the exponent by itself.
  const auto binades = static_cast<std::uint32_t>(std::max(exponent - format.least_exponent, 0));
  const std::uint32_t code = steps + (binades << static_cast<unsigned>(format.fraction_bits));
  return sign | (code > format.largest ? format.overflow : code);
}

/// The value of `code`. Codes above `largest` are infinity at `overflow` where that is another, else NaN.
[[nodiscard]] inline float decode(const SmallFloat& format, std::uint32_t code) {
  const std::uint32_t magnitude = code & (format.sign - 1U);
  const float sign = (code & format.sign) != 0 ? -1.0F : 1.0F;
  const std::uint32_t infinity = (format.largest + 1U);
  if (magnitude > format.largest) {
    const bool has_infinity = (infinity & ((1U << static_cast<unsigned>(format.fraction_bits)) - 1U)) == 0;
    if (has_infinity && magnitude == infinity) return sign * std::numeric_limits<float>::infinity();
    return std::numeric_limits<float>::quiet_NaN();
  }
  const auto field = static_cast<int>(magnitude >> static_cast<unsigned>(format.fraction_bits));
  const auto fraction = static_cast<int>(magnitude & ((1U << static_cast<unsigned>(format.fraction_bits)) - 1U));
  const int significand = field == 0 ? fraction : fraction + (1 << format.fraction_bits);
  return sign * std::ldexp(static_cast<float>(significand),
                           format.least_exponent + std::max(field - 1, 0) - format.fraction_bits);
}
}  // namespace small_floats

[[nodiscard]] inline Half to_f16(float value) { return {to_f16_bits(value)}; }
[[nodiscard]] inline float from_f16(Half value) { return from_f16_bits(value.bits); }

/// Largest finite: 448.
[[nodiscard]] inline std::uint8_t to_e4m3(float value) { return to_f8e4m3(value); }
[[nodiscard]] inline float from_e4m3(std::uint8_t code) { return from_f8e4m3(code); }

/// Largest finite: 57344.
[[nodiscard]] inline std::uint8_t to_e5m2(float value) { return to_f8e5m2(value); }
[[nodiscard]] inline float from_e5m2(std::uint8_t code) { return from_f8e5m2(code); }

/// Largest: 6. In the low half of the byte.
[[nodiscard]] inline std::uint8_t to_e2m1(float value) {
  return static_cast<std::uint8_t>(small_floats::encode(small_floats::e2m1, value));
}
[[nodiscard]] inline float from_e2m1(std::uint8_t code) {
  return small_floats::decode(small_floats::e2m1, code & 0xfU);
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
