// no threads
// Narrow floating-point formats: every code, and how values between codes are rounded.
#include "common/core/small_floats.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "common/core/float16.hpp"
#include "common/core/float8.hpp"

namespace rackproof {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

/// A format by its textbook definition: sign, exponent with its bias, fraction.
struct Definition {
  unsigned exponent_bits;
  unsigned fraction_bits;
  int bias;
  bool ieee;          ///< the highest exponent is infinity and NaN
  bool only_one_nan;  ///< all ones is NaN (e4m3)
};

double textbook(const Definition& definition, unsigned code) {
  const unsigned fraction = code & ((1U << definition.fraction_bits) - 1U);
  const unsigned exponent = (code >> definition.fraction_bits) & ((1U << definition.exponent_bits) - 1U);
  const double sign = (code >> (definition.fraction_bits + definition.exponent_bits)) != 0 ? -1.0 : 1.0;
  const bool highest = exponent == (1U << definition.exponent_bits) - 1U;
  if (definition.ieee && highest) return fraction == 0 ? sign * HUGE_VAL : std::nan("");
  if (definition.only_one_nan && highest && fraction == (1U << definition.fraction_bits) - 1U) return std::nan("");
  const double share = static_cast<double>(fraction) / static_cast<double>(1U << definition.fraction_bits);
  if (exponent == 0) return sign * std::ldexp(share, 1 - definition.bias);
  return sign * std::ldexp(1.0 + share, static_cast<int>(exponent) - definition.bias);
}

struct Codec {
  const char* name;
  Definition definition;
  unsigned codes;
  std::function<float(unsigned)> decode;
  std::function<unsigned(float)> encode;
};

const std::vector<Codec>& codecs() {
  static const std::vector<Codec> all{{"f16",
                                       {5, 10, 15, true, false},
                                       1U << 16U,
                                       [](unsigned code) { return from_f16({static_cast<std::uint16_t>(code)}); },
                                       [](float value) -> unsigned { return to_f16(value).bits; }},
                                      {"e4m3",
                                       {4, 3, 7, false, true},
                                       256,
                                       [](unsigned code) { return from_f8e4m3(static_cast<std::uint8_t>(code)); },
                                       [](float value) -> unsigned { return to_f8e4m3(value); }},
                                      {"e5m2",
                                       {5, 2, 15, true, false},
                                       256,
                                       [](unsigned code) { return from_f8e5m2(static_cast<std::uint8_t>(code)); },
                                       [](float value) -> unsigned { return to_f8e5m2(value); }},
                                      {"e2m1",
                                       {2, 1, 1, false, false},
                                       16,
                                       [](unsigned code) { return from_e2m1(static_cast<std::uint8_t>(code)); },
                                       [](float value) -> unsigned { return to_e2m1(value); }}};
  return all;
}

TEST(SmallFloats, every_code_has_the_value_of_its_definition_and_comes_back) {
  for (const Codec& codec : codecs()) {
    for (unsigned code = 0; code < codec.codes; ++code) {
      const double want = textbook(codec.definition, code);
      const float got = codec.decode(code);
      if (std::isnan(want)) {
        EXPECT_TRUE(std::isnan(got)) << codec.name << " " << code;
        EXPECT_TRUE(std::isnan(codec.decode(codec.encode(got)))) << codec.name << " " << code;
        continue;
      }
      EXPECT_EQ(static_cast<double>(got), want) << codec.name << " " << code;
      EXPECT_EQ(std::signbit(got), std::signbit(want)) << codec.name << " " << code;
      // e5m2 saturates, so its infinities alone do not come back.
      if (std::isfinite(got) || codec.codes > 256) {
        EXPECT_EQ(codec.encode(got), code) << codec.name;
      }
    }
  }
}

TEST(SmallFloats, values_between_two_codes_go_to_the_nearer_and_ties_to_the_even) {
  for (const Codec& codec : codecs()) {
    for (unsigned code = 0; code + 1 < codec.codes / 2; ++code) {
      const float low = codec.decode(code);
      const float high = codec.decode(code + 1);
      if (!std::isfinite(low) || !std::isfinite(high)) continue;
      const float middle = (low + high) / 2.0F;  // exact
      EXPECT_EQ(codec.encode(std::nextafter(middle, low)), code) << codec.name;
      EXPECT_EQ(codec.encode(std::nextafter(middle, high)), code + 1) << codec.name;
      EXPECT_EQ(codec.encode(middle), code % 2 == 0 ? code : code + 1) << codec.name;
      EXPECT_EQ(codec.decode(codec.encode(-middle)), -codec.decode(codec.encode(middle))) << codec.name;
    }
  }
}

TEST(SmallFloats, what_is_too_large_saturates_or_is_infinite_and_nan_stays_nan) {
  for (const float huge : {1e30F, infinity}) {
    EXPECT_EQ(from_f16(to_f16(huge)), infinity);
    EXPECT_EQ(from_f16(to_f16(-huge)), -infinity);
    EXPECT_EQ(from_f8e4m3(to_f8e4m3(huge)), 448.0F);
    EXPECT_EQ(from_f8e4m3(to_f8e4m3(-huge)), -448.0F);
    EXPECT_EQ(from_f8e5m2(to_f8e5m2(huge)), 57344.0F);
    EXPECT_EQ(from_e2m1(to_e2m1(-huge)), -6.0F);
  }
  EXPECT_EQ(from_f16(to_f16(65519.0F)), 65504.0F);
  EXPECT_EQ(from_f16(to_f16(65520.0F)), infinity);
  EXPECT_TRUE(std::isnan(from_f16(to_f16(not_a_number))));
  EXPECT_TRUE(std::isnan(from_f8e4m3(to_f8e4m3(-not_a_number))));
  EXPECT_TRUE(std::isnan(from_f8e5m2(to_f8e5m2(not_a_number))));
  EXPECT_EQ(from_e2m1(to_e2m1(not_a_number)), 6.0F) << "e2m1 has no NaN";
}

TEST(SmallFloats, tiny_values_become_zero_with_their_sign) {
  for (const Codec& codec : codecs()) {
    EXPECT_EQ(codec.encode(1e-44F), 0U) << codec.name;
    EXPECT_EQ(codec.encode(-1e-44F), codec.codes / 2) << codec.name;
  }
}

TEST(SmallFloats, ue8m0_is_a_power_of_two_not_below_the_value) {
  for (unsigned code = 0; code < 255; ++code) {
    const float value = from_ue8m0(static_cast<std::uint8_t>(code));
    EXPECT_EQ(static_cast<double>(value), std::ldexp(1.0, static_cast<int>(code) - 127));
    EXPECT_EQ(to_ue8m0(value), code);
    if (code < 254) {
      EXPECT_EQ(to_ue8m0(std::nextafter(value, infinity)), code + 1);
    }
  }
  EXPECT_TRUE(std::isnan(from_ue8m0(0xff)));
  EXPECT_EQ(to_ue8m0(not_a_number), 0xff);
  EXPECT_EQ(to_ue8m0(infinity), 0xfe);
  EXPECT_EQ(to_ue8m0(0.0F), 0);
  EXPECT_EQ(to_ue8m0(-1.0F), 0);
}

TEST(SmallFloats, tf32_keeps_ten_bits_of_fraction) {
  EXPECT_EQ(to_tf32(1.0F + 0x1p-10F), 1.0F + 0x1p-10F);
  EXPECT_EQ(to_tf32(1.0F + 0x1p-11F), 1.0F) << "a tie, to the even";
  EXPECT_EQ(to_tf32(1.0F + 0x1.8p-10F), 1.0F + 0x1p-9F) << "a tie, to the even";
  EXPECT_EQ(to_tf32(-(1.0F + 0x1.01p-11F)), -(1.0F + 0x1p-10F));
  EXPECT_EQ(to_tf32(infinity), infinity);
  EXPECT_EQ(to_tf32(std::numeric_limits<float>::max()), infinity);
  EXPECT_TRUE(std::isnan(to_tf32(not_a_number)));
}

}  // namespace
}  // namespace rackproof
