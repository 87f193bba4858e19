// Google Benchmark as registry and reporter of the cases.
#pragma once

#include <cstddef>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "launch/run_case.hpp"
#include "launch/run_limits.hpp"
#include "launch/run_options.hpp"
#include "launch/run_progress.hpp"
#include "launch/run_resume.hpp"

namespace rackproof {

/// The rows of the file: every case, once a repetition.
[[nodiscard]] std::vector<SelectedSuite> repeat_cases(std::vector<SelectedSuite> selected, int repetitions);

/// When and how a run is to end, and what of it has been measured before.
struct RunBounds {
  double end = std::numeric_limits<double>::infinity();  ///< s of the clock of the run; rank 0's counts
  std::function<int()> stop_signal;                      ///< the number of one that has come to this rank; 0: none
  EarlierCases earlier;
  RunLimits limits;  ///< with which a case ends when its verdict is certain
};

/// How it went.
struct RunOutcome {
  ExitCode code = ExitCode::pass;
  std::string ended_early;  ///< why; empty: it came to its end
  std::size_t not_run = 0;
};

/// Collective. Runs all cases of `planned` (as repeat_cases() made it, the rows of the file) within the time budget,
/// but for those measured before, until a signal has come to any rank or the next case does not fit before the end.
/// Returns fail where a check failed, then or before, infrastructure where a case broke off or the run ended early,
/// else pass. Throws what broke the run off.
RunOutcome run_benchmarks(const RunParts& parts, const RunOptions& options, const BenchmarkFlags& flags,
                          const std::vector<SelectedSuite>& planned, const RunBounds& bounds, Progress& progress);

}  // namespace rackproof
