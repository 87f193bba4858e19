// Is one side slower than the other? From one time a launch and case: the launch is what is repeated, for samples
// within a launch share its memory layout, its clocks and its neighbours.
//
// Per case: the ratio of times by Hodges and Lehmann on logarithms with its interval, p by Mann and Whitney, p adjusted
// by Holm over all cases judged together, and a margin d, below which a difference does not matter:
//   slower        the interval lies above 1 + d, and the adjusted p is below alpha
//   faster        the interval lies below 1 / (1 + d), and likewise
//   same          the interval lies within [1 / (1 + d), 1 + d]
//   inconclusive  anything else
#pragma once

#include <limits>
#include <span>
#include <vector>

#include "common/stats/mann_whitney.hpp"

namespace rackproof::stats {

enum class LaunchCall { faster, slower, same, inconclusive };

struct LaunchTimes {
  std::vector<double> base;   ///< s, one a launch, above 0
  std::vector<double> other;  ///< s, likewise
  double margin = 0.01;       ///< d
  /// Standard deviation of the logarithm between launches, where it is known from elsewhere; used where these launches
  /// are too few to say it themselves.
  double known_spread = std::numeric_limits<double>::quiet_NaN();
};

struct LaunchRules {
  double alpha = 0.05;       ///< chance of one false difference or more among all cases
  double confidence = 0.95;  ///< of each interval
};

/// More launches than this are not asked for.
inline constexpr int most_launches = 1000;

struct LaunchVerdict {
  LaunchCall call = LaunchCall::inconclusive;
  double ratio = std::numeric_limits<double>::quiet_NaN();  ///< other / base: above 1: other takes longer
  double low = 0.0;
  double high = std::numeric_limits<double>::infinity();
  double p = 1.0;
  double adjusted_p = 1.0;
  RankSumMethod method = RankSumMethod::exact;
  double spread = std::numeric_limits<double>::quiet_NaN();  ///< within the sides, of the logarithm; NaN: unknown
  /// Launches a side after which such a difference beside such a spread is decided four times in five; 0: it is;
  /// above most_launches: more than those.
  int launches_needed = 0;
  bool at_least = false;  ///< the spread is unknown: so many launches are needed for any difference
};

/// The smallest equal number of launches a side with which p can get below alpha for one of `cases` cases whatever the
/// others say, and there is an interval.
[[nodiscard]] int fewest_launches(int cases, const LaunchRules& rules = {});

/// One verdict a case, in order. Sides without any time: ratio NaN, inconclusive; such a case does not count in Holm's
/// correction. Throws Error (internal) for a time that is not finite and above 0.
[[nodiscard]] std::vector<LaunchVerdict> judge_launches(std::span<const LaunchTimes> cases,
                                                        const LaunchRules& rules = {});

}  // namespace rackproof::stats
