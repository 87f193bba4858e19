// Is the median of a few samples within a limit, where many parts that were measured alike tell how samples deviate?
// Three samples of one link say nothing of their spread; those of a thousand links do. Pure numbers.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <vector>

#include "common/stats/limit_test.hpp"

namespace rackproof::stats {

/// For `parts` parts that are judged alike, as LimitTest: that one of as many good parts at the limit is said to be
/// beyond it has a probability of 2.5 % at most, and so has that one part at its limit, or beyond it, is said to keep
/// it.
///
/// Learnt: the deviations d of the logarithms of samples, each from the median of the others of its part, over all
/// parts. They are wider than those from the true median (of normals 1.22 times for 3 samples, 1.14 for 5), never
/// narrower as those from a median that the sample itself is part of. Samples that resemble each other lie too near to
/// each other: deviations are divided by sqrt(1 - r). A share of N deviations beyond x is (count + 1) / (N + 1). The
/// median of m samples of a part at its limit, the lower one of two, lies above the limit by more than x with
/// probability P(B(m, P(d >= x)) >= floor(m / 2) + 1), B binomial; the upper one of two below it likewise. That is
/// compared with 1 - 0.975^(1 / parts) (Sidak, JASA 62, 1967) to fail, with 2.5 % to pass. m is the number of effective
/// samples, n (1 - r) / (1 + r), with r the lag-1 autocorrelation within meetings, over all parts: that of a process
/// with correlations r^k which would let samples about the means of such meetings appear as they do.
class PooledLimitTest {
 public:
  explicit PooledLimitTest(int parts = 1) : parts_(parts) {}

  /// s, the samples of one part, meeting by meeting, each in the order in which they were taken. What is no positive
  /// number is left out.
  void add(std::span<const std::vector<double>> meetings);
  /// After the last add().
  void finish();
  /// As LimitTest::judge(): of a part that may be one of those that were added.
  [[nodiscard]] LimitJudgement judge(std::span<const double> times, double limit, bool longer = true) const;

 private:
  /// Of the deviations of times whose sign is turned where `up` is false.
  [[nodiscard]] double share_beyond(double x, bool up) const;
  /// That the median of `samples` deviates by x or more.
  [[nodiscard]] double tail(double x, bool up, long samples) const;
  /// The least x for which that probability is at most `probability`; NaN: there is none.
  [[nodiscard]] double least_beyond(double probability, bool up, long samples) const;
  /// The lag-1 correlation of samples which makes so many of them, about the mean of their meeting, show `seen`.
  [[nodiscard]] double correlation_behind(double seen) const;
  [[nodiscard]] long effective(std::size_t samples) const;

  int parts_;
  std::vector<double> deviations_;  ///< of logarithms, sorted
  double correlation_ = 0.0;
  // For the autocorrelation.
  double variance_ = 0.0;
  double covariance_ = 0.0;
  std::map<std::size_t, double> meetings_;  ///< how many, by their samples
};

}  // namespace rackproof::stats
