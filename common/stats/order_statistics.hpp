// Order statistics of a sample, free of any assumption about its distribution.
#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <vector>

namespace rackproof::stats {

struct Interval {
  double low;
  double high;
};

/// Linear interpolation between order statistics (type 7 of Hyndman and Fan, as numpy and R do by default).
/// q in [0, 1]; NaN for an empty sample. `values` need not be sorted; NaN among them is ignored.
[[nodiscard]] double quantile(std::span<const double> values, double q);
[[nodiscard]] double median(std::span<const double> values);

/// Interval of the median by ranks, with at least `confidence` coverage by the binomial distribution (exact for
/// n <= 1000, the normal approximation j = floor((n - z sqrt n) / 2), k = ceil(1 + (n + z sqrt n) / 2) above: Le
/// Boudec, Performance Evaluation, 2010, section 2.2). Empty where n is too small for it (n < 6 at 95 %).
/// `effective` (0: as many as there are) replaces n in the choice of ranks, for autocorrelated samples; the ranks
/// are then taken at the same fractions of the real sample.
[[nodiscard]] std::optional<Interval> median_interval(std::span<const double> values, double confidence = 0.95,
                                                      double effective = 0.0);

struct MedianEstimate {
  double median = std::numeric_limits<double>::quiet_NaN();  ///< NaN for an empty sample
  std::optional<Interval> interval;                          ///< empty where n is too small
};

/// median(), and median_interval() with effective_sample_size(), of one sample after the other: the same numbers from
/// one sorting. Each thread has its own.
class MedianEstimator {
 public:
  explicit MedianEstimator(double confidence = 0.95);
  [[nodiscard]] MedianEstimate operator()(std::span<const double> values);

 private:
  struct Place {
    double value;
    std::size_t index;
  };
  [[nodiscard]] double effective_size();
  [[nodiscard]] long lower_rank(long ranks);

  double z_;
  double tail_;
  std::vector<long> lower_ranks_;  ///< of samples up to the largest for which they are looked up; -1: not yet
  std::vector<Place> sorted_;
  std::vector<double> ranks_;
};

/// An upper bound of the q-quantile that holds with `confidence` whatever the distribution: the order statistic x(k)
/// with the smallest k for which P(B <= k - 1) >= confidence, B binomial(n, q) (Hahn and Meeker, Statistical Intervals,
/// 1991, section 5.2). Empty where even the largest value is too small with more than 1 - confidence:
/// n < fewest_for_upper_bound(q). `effective` as in median_interval(). q in (0, 1).
[[nodiscard]] std::optional<double> quantile_upper_bound(std::span<const double> values, double q,
                                                         double confidence = 0.95, double effective = 0.0);
/// The smallest n with 1 - q^n >= confidence: 5, 29, 299 and 2995 for 0.5, 0.9, 0.99 and 0.999 at 95 %.
[[nodiscard]] long fewest_for_upper_bound(double q, double confidence = 0.95);

/// The lag-1 autocorrelation of the ranks of the values, in their order; 0 where all are equal. No NaN.
[[nodiscard]] double rank_autocorrelation(std::span<const double> values);

/// n (1 - r1) / (1 + r1) with r1 the lag-1 autocorrelation of the ranks of the values, within [1, n].
[[nodiscard]] double effective_sample_size(std::span<const double> values);

/// The rank of each value in the sorted sample, from 1 to n; equal values share the mean of their ranks. No NaN.
[[nodiscard]] std::vector<double> mid_ranks(std::span<const double> values);

/// Is there one change of level somewhere in a series, in the order given? The approximate p-value
/// 2 exp(-6 K^2 / (n^3 + n^2)) of K = max_t |2 sum_{i<=t} rank_i - t (n + 1)| (Pettitt, A non-parametric approach to
/// the change-point problem, Applied Statistics 28, 1979), at most 1. 1 for fewer than two values. No NaN.
[[nodiscard]] double change_point_p_value(std::span<const double> values);

}  // namespace rackproof::stats
