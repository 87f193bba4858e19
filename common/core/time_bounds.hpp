// What can be the time of one operation: whoever reads or models measured times asks here.
#pragma once

namespace rackproof {

inline constexpr double least_time = 1e-12;  ///< s; no clock tells shorter ones
inline constexpr double most_time = 1e6;     ///< s, eleven days; no operation takes as long

/// Anything else, NaN too, is the clock's or the file's fault, and powers of it may leave the range of double.
[[nodiscard]] constexpr bool is_time(double seconds) { return seconds >= least_time && seconds <= most_time; }

}  // namespace rackproof
