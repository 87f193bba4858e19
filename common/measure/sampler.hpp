// Takes samples of a workload until enough is known; all ranks take every decision alike.
#pragma once

#include <cstdint>
#include <vector>

#include "common/measure/stopping.hpp"
#include "common/measure/workload.hpp"
#include "common/mpi/communicator.hpp"
#include "common/mpi/global_clock.hpp"

namespace rackproof {

/// Bits of Samples::flags.
enum SampleFlag : std::uint8_t {
  sample_late = 1,     ///< this rank began after the start instant, by more than the clock's error and 1 us
  sample_barrier = 2,  ///< started by a double barrier, because the clock error was above 5 % of the time
  sample_short = 4     ///< reading the clock took more than 5 % of the figure
};

/// What one rank saw. All vectors have one entry a sample, warm-up excluded.
struct Samples {
  std::vector<double> begin;  ///< s, global clock
  /// s, end - begin; streamed: divided by `operations`. Where the workload tells device_seconds(), and is not
  /// collective: these.
  std::vector<double> time;
  std::vector<double> host_time;  ///< s, end - begin, where `time` is the device's; else NaN
  std::vector<std::uint8_t> flags;
  /// Involuntary context switches of this rank from before the start to after the end, at most 65535.
  std::vector<std::uint16_t> switches;
  /// s that a fixed piece of work took on this rank right after the sample (DisturbanceMeter::probe()).
  std::vector<float> probe;
  /// s that the hypervisor took from all processors of this node while the batch was measured that this sample is in.
  std::vector<float> steal;
  /// The figure of each sample, the same on all ranks: collective: max(end) - max(begin) over ranks (with
  /// sample_barrier: the largest time of a rank); otherwise, and streamed, the largest time of a rank.
  std::vector<double> figure;
  /// The figures of the warm-up, in order. A streamed case begins with samples of one operation, to learn its time.
  std::vector<double> warmup;
  int operations = 1;  ///< in one sample; more where the workload is streamed
  StopReason stop_reason = StopReason::budget;
  double clock_error = 0.0;  ///< s, the larger of before and after the case
  double clock_error_before = 0.0;
  double clock_error_after = 0.0;
  mpi::GlobalClock::Deviation clock_deviation{};  ///< of this rank, after the case
};

/// How samples of collectives start: by the clock, and by a barrier only where it is too uncertain; or always so.
enum class StartMode { automatic, window, barrier };

/// Collective over `world`. `clock` belongs to `world`. Warms up until steady (at most a fifth of the budget and 1000
/// steps), then samples as `rule` says. Ranks start each sample at one instant of the global clock, or, where its
/// error is above 5 % of a collective's time, behind a double barrier (never where the workload delays a rank). A
/// streamed workload starts each row of operations behind a barrier; the row is as long as makes the start not matter.
/// In between, after batches of samples, all ranks take the maximum over ranks of every number that a decision needs,
/// so that all decide alike. Throws AgreedError (usage) where a rank is to be late and the start is a barrier. What
/// step() or prepare() throws passes through, and then only this rank has left.
[[nodiscard]] Samples measure(Workload& workload, const mpi::Communicator& world, mpi::GlobalClock& clock,
                              const StoppingRule& rule, StartMode start = StartMode::automatic);

}  // namespace rackproof
