// Do two samples come from one distribution? By ranks alone: Wilcoxon, Individual comparisons by ranking methods,
// Biometrics Bulletin 1, 1945; Mann and Whitney, Annals of Mathematical Statistics 18, 1947.
#pragma once

#include <span>
#include <vector>

namespace rackproof::stats {

/// Where nothing sets two samples of n and m values apart, every way of dealing the n + m values out is equally likely.
/// The distribution of U that follows, without ties: P(U <= u) for u = 0 ... n m; symmetric about n m / 2.
struct RankSumNull {
  int n = 0;
  int m = 0;
  std::vector<double> cdf;
};

/// Samples up to this size are judged exactly where no value comes twice, ...
inline constexpr int largest_exact_sample = 50;
/// ... and with ties where both together have at most so many values.
inline constexpr int largest_exact_with_ties = 40;

/// n, m in [1, largest_exact_sample]; throws Error (internal) outside. Counts subsets by their sum of ranks. Time:
/// O(n (n + m) n m); worth keeping where many pairs of samples have the same sizes.
[[nodiscard]] RankSumNull rank_sum_null(int n, int m);

enum class RankSumMethod {
  exact,            ///< all orders of n + m different values
  exact_with_ties,  ///< all ways of dealing out these very values, equal ones sharing the mean of their ranks
  normal            ///< with continuity and tie corrections: samples too large for the others
};

struct MannWhitney {
  double u = 0.0;  ///< pairs (x, y) with x > y, and half of those with x = y
  double p = 1.0;  ///< two-sided: twice the smaller tail, both of which hold u itself; at most 1
  RankSumMethod method = RankSumMethod::exact;
};

/// No NaN. p is 1 where a sample is empty. `null`: of these sizes (in this order) where the caller has it; else it is
/// made where it is needed.
[[nodiscard]] MannWhitney mann_whitney(std::span<const double> x, std::span<const double> y,
                                       const RankSumNull* null = nullptr);

/// What no two-sided p of samples of n and m can go below: 2 / C(n + m, n).
[[nodiscard]] double smallest_p(int n, int m);

}  // namespace rackproof::stats
