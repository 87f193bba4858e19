// Takes samples of a workload until enough is known; all ranks take every decision alike.
#pragma once

#include <cstdint>
#include <vector>

#include "common/measure/workload.hpp"
#include "common/mpi/communicator.hpp"
#include "common/mpi/global_clock.hpp"

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

/// Bits of Samples::flags.
enum SampleFlag : std::uint8_t {
  sample_late = 1,    ///< this rank was past the start instant when it arrived
  sample_barrier = 2  ///< started by a double barrier, because the clock error was above 5 % of the time
};

/// What one rank saw. All vectors have one entry a sample, warm-up excluded.
struct Samples {
  std::vector<double> begin;  ///< s, global clock
  std::vector<double> end;    ///< s, global clock
  std::vector<std::uint8_t> flags;
  /// The figure of each sample, the same on all ranks: collective: max(end) - max(begin) over ranks (with
  /// sample_barrier: the largest end - begin of a rank); otherwise the largest end - begin of a rank.
  std::vector<double> figure;
  int warmup_steps = 0;
  StopReason stop_reason = StopReason::budget;
  double clock_error = 0.0;  ///< s, the larger of before and after the case
};

/// Collective over `world`. `clock` belongs to `world`.
[[nodiscard]] Samples measure(Workload& workload, const mpi::Communicator& world, mpi::GlobalClock& clock,
                              const StoppingRule& rule);

}  // namespace rackproof
