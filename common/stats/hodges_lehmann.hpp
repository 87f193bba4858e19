// By how much is one sample shifted against another? The estimate and the interval that belong to the test of Mann and
// Whitney: Hodges and Lehmann, Estimates of location based on rank tests, Annals of Mathematical Statistics 34, 1963;
// the interval: Moses (in Walker and Lev, Statistical Inference, 1953), Lehmann, Nonparametrics, 1975, section 2.6.
#pragma once

#include <span>

#include "common/stats/mann_whitney.hpp"

namespace rackproof::stats {

struct Shift {
  double shift = 0.0;  ///< the median of all differences y - x
  /// All shifts that the test would not reject: between the k-th smallest and the k-th largest difference. Infinite
  /// where the samples are too small for it (below 4 and 4 values at 95 %).
  double low = 0.0;
  double high = 0.0;
};

/// x and y hold at least one value each and no NaN; throws Error (internal) otherwise. k is the largest with
/// 2 P(U <= k - 1) <= 1 - confidence: exact up to largest_exact_sample values a side (with ties the interval then holds
/// at least as often as it says), by the normal approximation with continuity above. On logarithms the shift is that of
/// a ratio. `null`: of these sizes, where the caller has it. Time and memory: n m differences.
[[nodiscard]] Shift hodges_lehmann(std::span<const double> x, std::span<const double> y, double confidence = 0.95,
                                   const RankSumNull* null = nullptr);

}  // namespace rackproof::stats
