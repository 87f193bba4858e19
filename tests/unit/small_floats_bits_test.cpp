#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "common/core/float16.hpp"
#include "common/core/float8.hpp"

namespace rackproof {
namespace {

/// The value of a code by the definition of its format: (-1)^s 2^(e - bias) (1 + f), or 2^(1 - bias) f where e is 0.
double by_definition(unsigned code, int exponent_bits, int fraction_bits, int bias) {
  const double sign = (code >> (exponent_bits + fraction_bits)) != 0 ? -1.0 : 1.0;
  const int exponent = static_cast<int>(code >> fraction_bits) & ((1 << exponent_bits) - 1);
  const double fraction = static_cast<double>(code & ((1U << fraction_bits) - 1U)) / (1 << fraction_bits);
  return sign * (exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1.0 + fraction, exponent - bias));
}

struct Format {
  float (*wide)(unsigned code);
  unsigned (*narrow)(float value);
  int exponent_bits;
  int fraction_bits;
  int bias;
  unsigned largest;  // code
};

const Format f16{[](unsigned code) { return from_f16_bits(static_cast<std::uint16_t>(code)); },
                 [](float value) { return static_cast<unsigned>(to_f16_bits(value)); },
                 5,
                 10,
                 15,
                 0x7bff};
const Format e4m3{[](unsigned code) { return from_f8e4m3(static_cast<f8_bits>(code)); },
                  [](float value) { return static_cast<unsigned>(to_f8e4m3(value)); },
                  4,
                  3,
                  7,
                  0x7e};
const Format e5m2{[](unsigned code) { return from_f8e5m2(static_cast<f8_bits>(code)); },
                  [](float value) { return static_cast<unsigned>(to_f8e5m2(value)); },
                  5,
                  2,
                  15,
                  0x7b};

class SmallFloats : public ::testing::TestWithParam<Format> {};
INSTANTIATE_TEST_SUITE_P(Formats, SmallFloats, ::testing::Values(f16, e4m3, e5m2), [](const auto& parameter) {
  return "e" + std::to_string(parameter.param.exponent_bits) + "m" + std::to_string(parameter.param.fraction_bits);
});

TEST_P(SmallFloats, every_finite_code_has_its_defined_value_and_survives_the_round_trip) {
  const Format& format = GetParam();
  const unsigned sign = 1U << (format.exponent_bits + format.fraction_bits);
  for (unsigned code = 0; code <= format.largest; ++code) {
    for (const unsigned one : {code, code | sign}) {
      const float value = format.wide(one);
      EXPECT_EQ(value, by_definition(one, format.exponent_bits, format.fraction_bits, format.bias)) << one;
      EXPECT_EQ(format.narrow(value), one);
    }
  }
}

TEST_P(SmallFloats, rounds_to_the_nearest_and_ties_to_even) {
  const Format& format = GetParam();
  for (unsigned code = 0; code < format.largest; ++code) {
    const double low = format.wide(code);
    const double high = format.wide(code + 1);
    const auto middle = static_cast<float>((low + high) / 2.0);
    const unsigned even = code % 2 == 0 ? code : code + 1;
    EXPECT_EQ(format.narrow(middle), even) << code;
    EXPECT_EQ(format.narrow(std::nextafterf(middle, 0.0F)), code);
    EXPECT_EQ(format.narrow(std::nextafterf(middle, 1e6F)), code + 1);
  }
}

TEST_P(SmallFloats, nan_stays_nan) {
  const Format& format = GetParam();
  for (const std::uint32_t bits : {0x7fc00000U, 0x7f800001U, 0xffc00000U}) {
    EXPECT_TRUE(std::isnan(format.wide(format.narrow(std::bit_cast<float>(bits)))));
  }
}

TEST(SmallFloats, f16_overflows_to_infinity_and_f8_saturates) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(from_f16_bits(to_f16_bits(65519.0F)), 65504.0F);
  EXPECT_EQ(from_f16_bits(to_f16_bits(65520.0F)), infinity);
  EXPECT_EQ(from_f16_bits(to_f16_bits(-infinity)), -infinity);
  EXPECT_EQ(from_f8e4m3(to_f8e4m3(1e9F)), 448.0F);
  EXPECT_EQ(from_f8e4m3(to_f8e4m3(-infinity)), -448.0F);
  EXPECT_EQ(from_f8e5m2(to_f8e5m2(infinity)), 57344.0F);
  EXPECT_EQ(from_f8e5m2(to_f8e5m2(-61440.0F)), -57344.0F);
  EXPECT_EQ(from_f8e5m2(0x7c), infinity);
  EXPECT_TRUE(std::isnan(from_f8e4m3(0xff)));
  EXPECT_TRUE(std::isnan(from_f8e5m2(0xff)));
}

}  // namespace
}  // namespace rackproof
