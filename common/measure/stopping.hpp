// When to stop, as functions of numbers that all ranks share: equal input, equal decision.
#pragma once

#include <cstdint>
#include <span>

namespace rackproof {

struct StoppingRule {
  int min_samples = 30;
  int max_samples = 1024;
  /// Wanted half width of the 95 % interval of the median, relative to the median.
  double relative_half_width = 0.01;
  /// Seconds of wall time for this case, warm-up included. Spent: stop, even below min_samples (but never below 3).
  double budget = 1.0;
};

enum class StopReason : std::int8_t { converged = 0, budget = 1, max_samples = 2 };

/// Fewer tell nothing, whatever the budget.
inline constexpr int fewest_samples = 3;
/// The most samples between two decisions.
inline constexpr int largest_batch = 256;

/// Bounds of the warm-up.
inline constexpr int steady_window = 20;
inline constexpr int most_warmup_steps = 1000;
inline constexpr double warmup_share = 0.2;  ///< of the budget

/// The 95 % interval of the median, for as many independent samples as the autocorrelation leaves, is narrow enough
/// (Le Boudec 2010), and there are min_samples.
[[nodiscard]] bool is_converged(const StoppingRule& rule, std::span<const double> figures);

/// Samples to take before the next decision, 0 where max_samples are there or the budget has no room for another.
/// elapsed: seconds since the case began; cycle: seconds that one sample takes, with all that belongs to it.
/// A quarter of the samples so far at a time, so that deciding costs little where samples are short, and never more
/// than half of what the budget has room for, so that a workload that slows down overshoots little.
[[nodiscard]] int next_batch(const StoppingRule& rule, int samples, double elapsed, double cycle);

/// No change of level among the last `steady_window` figures (Pettitt's test at 5 %); false for fewer figures.
[[nodiscard]] bool is_steady(std::span<const double> figures);

/// Warm-up steps to take before the next look, 0 where its share of the budget or its steps are spent. The first one
/// is taken alone (steps = 0), to learn the time.
[[nodiscard]] int next_warmup_batch(const StoppingRule& rule, int steps, double elapsed, double cycle);

/// How many operations a streamed sample has, where one takes `time` seconds: so many that they last
/// `streamed_seconds`, so that neither the start nor the clock matters, within the bounds below.
inline constexpr double streamed_seconds = 2e-3;
inline constexpr int fewest_streamed = 4;
inline constexpr int most_streamed = 10000;
[[nodiscard]] int streamed_operations(double time);

/// A clock that is off by more than 5 % of the time cannot tell when ranks began.
[[nodiscard]] bool needs_barrier(double clock_error, double time);

}  // namespace rackproof
