#include "common/core/units.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "common/core/error.hpp"

namespace rackproof {
namespace {

using Unit = std::pair<std::string_view, double>;

/// Splits "1.5h" into 1.5 and the factor of "h"; false where the number or the unit is not understood.
template <std::size_t N>
bool split(std::string_view text, const std::array<Unit, N>& units, double& value) {
  double number = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc{} || !std::isfinite(number) || number < 0.0) return false;
  const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  for (const auto& [name, factor] : units) {
    if (unit == name) {
      value = number * factor;
      return true;
    }
  }
  return false;
}

constexpr double kibi = 1024.0;

}  // namespace

std::uint64_t parse_bytes(std::string_view text, std::string_view what) {
  static constexpr std::array<Unit, 9> units{{{"B", 1.0},
                                              {"KiB", kibi},
                                              {"MiB", kibi * kibi},
                                              {"GiB", kibi * kibi * kibi},
                                              {"TiB", kibi * kibi * kibi * kibi},
                                              {"kB", 1e3},
                                              {"MB", 1e6},
                                              {"GB", 1e9},
                                              {"TB", 1e12}}};
  double value = 0.0;
  if (!split(text, units, value) || value > 9e18 || value != std::floor(value)) {
    throw usage_error(fmt::format("{}: '{}' is no size; write a number with its unit, such as 8B, 4KiB, 64MiB or 1GiB",
                                  what, printable(text)));
  }
  return static_cast<std::uint64_t>(value);
}

double parse_duration(std::string_view text, std::string_view what) {
  static constexpr std::array<Unit, 6> units{
      {{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1.0}, {"m", 60.0}, {"h", 3600.0}}};
  double value = 0.0;
  if (!split(text, units, value)) {
    throw usage_error(
        fmt::format("{}: '{}' is no duration; write a number with its unit, such as 500ms, 90s, 2m or 1.5h", what,
                    printable(text)));
  }
  return value;
}

double parse_bandwidth(std::string_view text, std::string_view what) {
  static constexpr std::array<Unit, 9> units{{{"Mb/s", 1e6 / 8.0},
                                              {"Gb/s", 1e9 / 8.0},
                                              {"Tb/s", 1e12 / 8.0},
                                              {"MB/s", 1e6},
                                              {"GB/s", 1e9},
                                              {"TB/s", 1e12},
                                              {"MiB/s", kibi * kibi},
                                              {"GiB/s", kibi * kibi * kibi},
                                              {"TiB/s", kibi * kibi * kibi * kibi}}};
  double value = 0.0;
  if (!split(text, units, value) || !(value > 0.0)) {
    throw usage_error(
        fmt::format("{}: '{}' is no bandwidth; write a number with its unit, such as 400Gb/s (bits) or 50GB/s (bytes)",
                    what, printable(text)));
  }
  return value;
}

std::int64_t parse_integer(std::string_view text, std::string_view what, std::int64_t low, std::int64_t high) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < low || value > high) {
    throw usage_error(fmt::format("{}: '{}' is no whole number from {} to {}", what, printable(text), low, high));
  }
  return value;
}

double parse_percent(std::string_view text, std::string_view what, double high) {
  static constexpr std::array<Unit, 1> units{{{"%", 0.01}}};
  double value = 0.0;
  if (!split(text, units, value) || !(value > 0.0) || value > high) {
    throw usage_error(fmt::format("{}: '{}' is no share between 0% and {:.0f}%, such as 1% or 0.5%", what,
                                  printable(text), 100.0 * high));
  }
  return value;
}

std::string format_bytes(double bytes) {
  static constexpr std::array<std::string_view, 5> names{"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t i = 0;
  while (bytes >= kibi && i + 1 < names.size()) {
    bytes /= kibi;
    ++i;
  }
  return bytes == std::floor(bytes) ? fmt::format("{:.0f} {}", bytes, names[i])
                                    : fmt::format("{:.1f} {}", bytes, names[i]);
}

std::string exact_bytes(std::uint64_t bytes) {
  unsigned shift = 0;
  std::string_view unit = "B";
  for (const std::string_view larger : {"KiB", "MiB", "GiB"}) {
    if (bytes == 0 || bytes % (std::uint64_t{1} << (shift + 10)) != 0) break;
    shift += 10;
    unit = larger;
  }
  return fmt::format("{}{}", bytes >> shift, unit);
}

std::string format_duration(double seconds) {
  if (std::isnan(seconds)) return "-";
  static constexpr std::array<Unit, 4> units{{{"s", 1.0}, {"ms", 1e-3}, {"us", 1e-6}, {"ns", 1e-9}}};
  for (const auto& [name, factor] : units) {
    // 0.9995 of a unit rounds up to "1000" of the smaller one, hence the margin.
    if (std::abs(seconds) >= 0.9995 * factor || factor == 1e-9) {
      const double value = seconds / factor;
      const double size = std::abs(value);
      return fmt::format("{:.{}f} {}", value, size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2, name);
    }
  }
  return "-";
}

std::string format_number(double value) {
  if (std::isnan(value)) return "-";
  const double size = std::abs(value);
  if (size != 0.0 && (size < 1e-4 || size >= 1e9)) return fmt::format("{:.3e}", value);
  int decimals = 3;
  for (double limit = 1.0; limit <= 1000.0 && size >= limit * 9.9995; limit *= 10.0) --decimals;
  if (size != 0.0 && size < 0.99995) decimals = 3 - static_cast<int>(std::floor(std::log10(size)));
  return fmt::format("{:.{}f}", value, decimals < 0 ? 0 : decimals);
}

}  // namespace rackproof
