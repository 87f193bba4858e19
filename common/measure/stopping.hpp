// When to stop, as functions of numbers that all ranks share: equal input, equal decision.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/stats/sequential.hpp"

namespace rackproof {

/// A limit of a case's time.
struct TimeBound {
  double seconds = 0.0;
  bool longer = true;   ///< times above it are beyond the limit; else those below
  bool of_job = false;  ///< of the figure of all ranks together; else of each rank's own time
};

struct StoppingRule {
  int min_samples = 30;
  int max_samples = 1024;
  /// Wanted half width of the 95 % interval of the median, relative to the median.
  double relative_half_width = 0.01;
  /// Seconds of wall time for this case, warm-up included. Spent: stop, even below min_samples (but never below 3).
  double budget = 1.0;
  /// Sampling ends, too, when every rank knows on which side of each of these it is: `plan` says how certainly.
  std::vector<TimeBound> limits{};
  stats::SequentialPlan plan{};
};

/// certain: on which side of its limits the case is (StoppingRule::limits).
enum class StopReason : std::int8_t { converged = 0, budget = 1, max_samples = 2, certain = 3 };

/// Fewer tell nothing, whatever the budget.
inline constexpr int fewest_samples = 3;
/// The most samples between two decisions.
inline constexpr int largest_batch = 256;

/// Bounds of the warm-up.
inline constexpr int steady_window = 20;
inline constexpr int most_warmup_steps = 1000;
inline constexpr double warmup_share = 0.2;  ///< of the budget

/// On which side of its limits one rank is, sample by sample.
class Certainty {
 public:
  /// takes_part: its own times say something.
  Certainty(const StoppingRule& rule, bool takes_part);

  void add_own(std::span<const double> times);
  void add_job(std::span<const double> figures);
  /// False where the rule has no limits.
  [[nodiscard]] bool is_asked() const noexcept { return !entries_.empty(); }
  [[nodiscard]] bool own_is_open() const { return is_open(false); }
  [[nodiscard]] bool job_is_open() const { return is_open(true); }

 private:
  struct Entry {
    stats::SequentialTest test;
    bool of_job = false;
  };
  void add(std::span<const double> times, bool of_job);
  [[nodiscard]] bool is_open(bool of_job) const;

  std::vector<Entry> entries_;
  bool takes_part_;
};

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
