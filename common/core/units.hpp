// Sizes and durations with their units, as users write and read them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rackproof {

/// "64MiB", "8B", "1GiB", "4KiB", "2kB" (decimal), "64M" is refused: a unit is required. Returns bytes.
/// `what` names the option in the error. Throws Error (usage) on anything else, on a negative value, on overflow.
[[nodiscard]] std::uint64_t parse_bytes(std::string_view text, std::string_view what);

/// "90s", "500ms", "2m", "1.5h", "20us", "300ns". Returns seconds. Throws Error (usage).
[[nodiscard]] double parse_duration(std::string_view text, std::string_view what);

/// "400Gb/s" (bits), "50GB/s", "46.6GiB/s" (bytes). Returns bytes a second, above 0. Throws Error (usage).
[[nodiscard]] double parse_bandwidth(std::string_view text, std::string_view what);

/// A whole number in [low, high]. Throws Error (usage).
[[nodiscard]] std::int64_t parse_integer(std::string_view text, std::string_view what, std::int64_t low,
                                         std::int64_t high);

/// "1%", "0.5%": a share above 0 and up to `high`. Returns 0.01, 0.005. Throws Error (usage).
[[nodiscard]] double parse_percent(std::string_view text, std::string_view what, double high);

/// 67108864 -> "64 MiB", 8 -> "8 B", 1536 -> "1.5 KiB".
[[nodiscard]] std::string format_bytes(double bytes);

/// 67108864 -> "64MiB", 8 -> "8B", 100000000 -> "100000000B": nothing rounded, as parse_bytes() reads it.
[[nodiscard]] std::string exact_bytes(std::uint64_t bytes);

/// Seconds with a fitting unit and three significant digits: 4.2e-7 -> "420 ns", 0.0123 -> "12.3 ms"; NaN -> "-".
[[nodiscard]] std::string format_duration(double seconds);

/// Four significant digits without an exponent where readable: 1346.2 -> "1346", 0.01234 -> "0.01234"; NaN -> "-".
[[nodiscard]] std::string format_number(double value);

}  // namespace rackproof
