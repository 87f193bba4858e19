// How much do two sides differ where there is nothing to tell them apart? From launches of one thing (A/A).
#pragma once

#include <span>
#include <vector>

namespace rackproof::stats {

struct Calibration {
  std::vector<double> margin;  ///< by case, relative: 95 % of A/A intervals of its ratio lie within it
  std::vector<double> spread;  ///< by case: standard deviation of log(time) between launches
  double all = 0.0;            ///< relative: in 95 % of A/A comparisons all intervals of all cases lie within it
};

/// times: by case the times (s, above 0) of the same n launches, n >= 8. 1000 times the launches are dealt out into two
/// sides of n / 2, the same way for all cases, and each case's interval of the ratio (Hodges and Lehmann, `confidence`)
/// is taken; a margin d is the 95 % quantile of its farther end: max(high, 1 / low) = 1 + d. No margin is below
/// `floor`. Throws Error (internal) where there are fewer launches or cases differ in their number.
[[nodiscard]] Calibration calibrate_launches(std::span<const std::vector<double>> times, double floor = 0.01,
                                             double confidence = 0.95);

}  // namespace rackproof::stats
