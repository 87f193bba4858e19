// Numbers as GPUs store them. Sources: IEEE 754 (binary16), OCP 8-bit floating point specification (E4M3, E5M2), OCP
// Microscaling formats 1.0 (E2M1, E8M0). Written apart from what it checks.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace rackproof::fake_lt {

/// Sign, `exponent` bits, `fraction` bits; gradual underflow.
inline float decode(std::uint32_t code, int exponent, int fraction) {
  const std::uint32_t raw = (code >> fraction) & ((1U << exponent) - 1);
  const std::uint32_t bits = code & ((1U << fraction) - 1);
  const int bias = (1 << (exponent - 1)) - 1;
  const float magnitude =
      raw == 0 ? std::ldexp(static_cast<float>(bits), 1 - bias - fraction)
               : std::ldexp(static_cast<float>(bits | (1U << fraction)), static_cast<int>(raw) - bias - fraction);
  return ((code >> (exponent + fraction)) & 1U) != 0 ? -magnitude : magnitude;
}

inline float decode_f16(std::uint16_t code) {
  if ((code & 0x7c00U) != 0x7c00U) return decode(code, 5, 10);
  if ((code & 0x3ffU) != 0) return std::numeric_limits<float>::quiet_NaN();
  return (code & 0x8000U) != 0 ? -std::numeric_limits<float>::infinity() : std::numeric_limits<float>::infinity();
}
inline float decode_bf16(std::uint16_t code) { return std::bit_cast<float>(static_cast<std::uint32_t>(code) << 16U); }
/// No infinity; all ones is NaN.
inline float decode_e4m3(std::uint8_t code) {
  return (code & 0x7fU) == 0x7fU ? std::numeric_limits<float>::quiet_NaN() : decode(code, 4, 3);
}
inline float decode_e5m2(std::uint8_t code) { return decode_f16(static_cast<std::uint16_t>(code << 8U)); }
inline float decode_e2m1(std::uint8_t code) { return decode(code & 0xfU, 2, 1); }
inline float decode_ue8m0(std::uint8_t code) {
  return code == 0xff ? std::numeric_limits<float>::quiet_NaN() : std::ldexp(1.0F, code - 127);
}

/// To nearest, ties to even. double holds every f32 exactly, so that rounding happens once.
inline std::uint16_t encode_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>((bits >> 16U) | 0x40U);
  const std::uint32_t half = 0x7fffU + ((bits >> 16U) & 1U);
  return static_cast<std::uint16_t>((bits + half) >> 16U);
}
inline std::uint16_t encode_f16(float value) {
  const std::uint16_t sign = std::signbit(value) ? 0x8000U : 0U;
  if (std::isnan(value)) return static_cast<std::uint16_t>(sign | 0x7e00U);
  const double magnitude = std::fabs(static_cast<double>(value));
  if (magnitude >= 65520.0) return static_cast<std::uint16_t>(sign | 0x7c00U);
  int power = 0;
  (void)std::frexp(magnitude, &power);
  const int ulp = magnitude == 0.0 ? -24 : std::max(power - 11, -24);  // of the result
  const auto steps = static_cast<std::uint32_t>(std::nearbyint(std::ldexp(magnitude, -ulp)));
  // Steps of the smallest normal binade and below are the code itself; above, each binade adds 1024.
  const std::uint32_t code = ulp == -24 ? steps : steps + static_cast<std::uint32_t>(ulp + 24) * 1024U;
  return static_cast<std::uint16_t>(sign | code);
}

/// What each code of so many bits means, for those who need many.
template <typename Code, std::size_t codes>
class Table {
 public:
  explicit Table(float (*decode_one)(Code)) {
    for (std::size_t code = 0; code < codes; ++code) values_[code] = decode_one(static_cast<Code>(code));
  }
  [[nodiscard]] float operator[](Code code) const { return values_[code]; }

 private:
  std::array<float, codes> values_{};
};

inline float read_f16(std::uint16_t code) {
  static const auto* const table = new Table<std::uint16_t, 65536>(decode_f16);
  return (*table)[code];
}
inline float read_e4m3(std::uint8_t code) {
  static const Table<std::uint8_t, 256> table(decode_e4m3);
  return table[code];
}
inline float read_e5m2(std::uint8_t code) {
  static const Table<std::uint8_t, 256> table(decode_e5m2);
  return table[code];
}
inline float read_ue8m0(std::uint8_t code) {
  static const Table<std::uint8_t, 256> table(decode_ue8m0);
  return table[code];
}
/// The lower four bits.
inline float read_e2m1(std::uint8_t code) {
  static const Table<std::uint8_t, 256> table(decode_e2m1);
  return table[code];
}

}  // namespace rackproof::fake_lt
