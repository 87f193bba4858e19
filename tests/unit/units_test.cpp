#include "common/core/units.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "common/core/error.hpp"

namespace rackproof {
namespace {

TEST(Units, sizes_are_read_with_their_unit) {
  EXPECT_EQ(parse_bytes("8B", "x"), 8U);
  EXPECT_EQ(parse_bytes("4KiB", "x"), 4096U);
  EXPECT_EQ(parse_bytes("1.5MiB", "x"), 1572864U);
  EXPECT_EQ(parse_bytes("64MiB", "x"), 67108864U);
  EXPECT_EQ(parse_bytes("2GB", "x"), 2000000000U);
}

TEST(Units, sizes_without_unit_or_sense_are_refused) {
  for (const char* text :
       {"", "64", "64M", "MiB", "-1B", "1.5B", "nanB", "infB", "1e30B", "99999999TiB", "8 B", "8b"}) {
    EXPECT_THROW((void)parse_bytes(text, "--size"), Error) << text;
  }
  try {
    (void)parse_bytes("64M", "--size");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::usage);
    EXPECT_NE(error.line().find("--size"), std::string::npos);
  }
}

TEST(Units, durations_are_read_with_their_unit) {
  EXPECT_DOUBLE_EQ(parse_duration("90s", "x"), 90.0);
  EXPECT_DOUBLE_EQ(parse_duration("500ms", "x"), 0.5);
  EXPECT_DOUBLE_EQ(parse_duration("1.5h", "x"), 5400.0);
  EXPECT_DOUBLE_EQ(parse_duration("2m", "x"), 120.0);
  EXPECT_DOUBLE_EQ(parse_duration("300ns", "x"), 300e-9);
  for (const char* text : {"", "90", "s", "-1s", "1d", "nans", "infs", "1 s"}) {
    EXPECT_THROW((void)parse_duration(text, "x"), Error) << text;
  }
}

TEST(Units, bandwidths_are_read_in_bits_and_bytes) {
  EXPECT_DOUBLE_EQ(parse_bandwidth("400Gb/s", "x"), 50e9);
  EXPECT_DOUBLE_EQ(parse_bandwidth("50GB/s", "x"), 50e9);
  EXPECT_DOUBLE_EQ(parse_bandwidth("1.5GiB/s", "x"), 1.5 * 1073741824.0);
  EXPECT_DOUBLE_EQ(parse_bandwidth("100Mb/s", "x"), 12.5e6);
  for (const char* text : {"", "400", "400Gb", "400G", "0GB/s", "-1GB/s", "nanGB/s", "1 GB/s", "1gb/s"}) {
    EXPECT_THROW((void)parse_bandwidth(text, "x"), Error) << text;
  }
}

TEST(Units, integers_outside_the_range_are_refused) {
  EXPECT_EQ(parse_integer("12", "x", 1, 20), 12);
  for (const char* text : {"", "0", "21", "1.5", "0x3", "12 ", "99999999999999999999"}) {
    EXPECT_THROW((void)parse_integer(text, "x", 1, 20), Error) << text;
  }
}

TEST(Units, durations_are_written_with_three_digits) {
  EXPECT_EQ(format_duration(4.2e-7), "420 ns");
  EXPECT_EQ(format_duration(1.234e-5), "12.3 us");
  EXPECT_EQ(format_duration(0.0123), "12.3 ms");
  EXPECT_EQ(format_duration(0.99996), "1.00 s");
  EXPECT_EQ(format_duration(123.4), "123 s");
  EXPECT_EQ(format_duration(0.0), "0.00 ns");
  EXPECT_EQ(format_duration(std::numeric_limits<double>::quiet_NaN()), "-");
}

TEST(Units, numbers_are_written_with_four_digits) {
  EXPECT_EQ(format_number(1346.2), "1346");
  EXPECT_EQ(format_number(134.62), "134.6");
  EXPECT_EQ(format_number(9.99996), "10.00");
  EXPECT_EQ(format_number(0.012345), "0.01235");
  EXPECT_EQ(format_number(0.0), "0.000");
  EXPECT_EQ(format_number(123456.0), "123456");
  EXPECT_EQ(format_number(1e12), "1.000e+12");
  EXPECT_EQ(format_number(std::nan("")), "-");
}

TEST(Units, sizes_are_written_with_their_unit) {
  EXPECT_EQ(format_bytes(8), "8 B");
  EXPECT_EQ(format_bytes(67108864), "64 MiB");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
}

TEST(Units, exact_bytes_are_read_back_as_they_were) {
  EXPECT_EQ(exact_bytes(8), "8B");
  EXPECT_EQ(exact_bytes(64U << 20U), "64MiB");
  EXPECT_EQ(exact_bytes(1536), "1536B");
  for (const std::uint64_t bytes :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1024}, std::uint64_t{100000000}, std::uint64_t{3} << 40U}) {
    EXPECT_EQ(parse_bytes(exact_bytes(bytes), "size"), bytes);
  }
}

}  // namespace
}  // namespace rackproof
