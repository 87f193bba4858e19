// The time of a collective over its message size: alpha + beta S, in one to three pieces, fitted on medians.
//
// All deviations are relative: times span six decades, so r = log(median / model) is what is small. A median's own
// uncertainty s (from its 95 % interval by ranks) and what the model leaves unexplained, tau, set the weights
// 1 / (s^2 + tau^2). gamma, the cost of adding, cannot be told from beta by all-reduces alone: it is part of beta here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/stats/order_statistics.hpp"

namespace rackproof::stats {

struct SizeSamples {
  double bytes = 0.0;         ///< S > 0
  std::vector<double> times;  ///< s, each is_time(); at least one
};

/// Can a size's median be told: at least 6 samples (by the effective number, so that a 95 % interval exists), and that
/// interval within +-50 % of the median?
[[nodiscard]] bool is_judgeable(const SizeSamples& size);

struct NetworkModelOptions {
  int most_segments = 3;
  int bootstraps = 1000;
  std::uint64_t seed = 1;
  double confidence = 0.95;
  double least_deviation = 0.10;  ///< a size is flagged only where it is this far off, as a share of the model
};

/// t = alpha + beta S for the sizes first..last.
struct Segment {
  double first = 0.0;     ///< bytes, smallest size in it
  double last = 0.0;      ///< bytes, largest size in it
  std::size_t sizes = 0;  ///< how many sizes were measured in it
  double alpha = 0.0;     ///< s, >= 0
  double beta = 0.0;      ///< s/B, >= 0
  Interval alpha_interval{};
  Interval beta_interval{};

  [[nodiscard]] double time(double bytes) const { return alpha + beta * bytes; }
};

/// Between two segments: the change happens after `below` and not later than `above`.
struct Crossover {
  double below = 0.0;     ///< bytes, last size of the lower segment
  double above = 0.0;     ///< bytes, first size of the upper segment
  double equal_at = 0.0;  ///< bytes at which both lines give the same time; NaN where there is no such size > 0
};

/// A size against what all other sizes of its segment say.
struct OffModel {
  double bytes = 0.0;
  double measured = 0.0;   ///< s, median
  double expected = 0.0;   ///< s, by a fit without this size
  double deviation = 0.0;  ///< measured / expected - 1
  double z = 0.0;          ///< in robust standard deviations of such a prediction
};

struct NetworkModel {
  std::vector<Segment> segments;
  std::vector<Crossover> crossovers;
  std::vector<OffModel> off_model;
  double scatter = 0.0;  ///< tau, relative: what medians deviate beyond their own uncertainty

  /// Of the segment that the size falls into; between two segments that whose end is nearer on a logarithmic scale.
  [[nodiscard]] double time(double bytes) const;
};

/// Fewest sizes for a model: two parameters, and something left to judge them by.
inline constexpr std::size_t fewest_sizes = 4;

/// The number of segments and their ends have the least Schwarz criterion of a Laplace likelihood (Hurvich and Tsai,
/// Model selection for least absolute deviations regression in small samples, Statistics & Probability Letters 9,
/// 1990), corrected for small samples, over all divisions with at least 3 sizes a segment in which time never falls
/// with size. Lines: least absolute relative deviations in the search, then Huber's M-estimate (Huber, Robust
/// statistics, 1981). Intervals: a bootstrap of every size's samples (the median's distribution is drawn directly:
/// Maritz and Jarrett, JASA 73, 1978; with the effective number of samples) and of tau (Student's t for its few degrees
/// of freedom). A size is off the model where, against a fit without it, its deviation exceeds options.least_deviation
/// and max(3.5, Student's quantile at 5 % over all sizes together) robust standard deviations. Sizes may come in any
/// order, no size twice. Throws Error (internal) for fewer than fewest_sizes, sizes <= 0 and times that are not sound.
[[nodiscard]] NetworkModel fit_network_model(std::span<const SizeSamples> sizes,
                                             const NetworkModelOptions& options = {});

}  // namespace rackproof::stats
