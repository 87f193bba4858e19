// Google Benchmark as registry and reporter of the cases.
#pragma once

#include <vector>

#include "launch/run_case.hpp"
#include "launch/run_options.hpp"
#include "launch/run_progress.hpp"

namespace rackproof {

/// The rows of the file: every case, once a repetition.
[[nodiscard]] std::vector<SelectedSuite> repeat_cases(std::vector<SelectedSuite> selected, int repetitions);

/// Collective. Runs all cases of `planned` (as repeat_cases() made it, the rows of the file) within the time budget.
/// Returns fail where a check failed, infrastructure where a case broke off, else pass. Throws what ended the run
/// early.
ExitCode run_benchmarks(const RunParts& parts, const RunOptions& options, const BenchmarkFlags& flags,
                        const std::vector<SelectedSuite>& planned, Progress& progress);

}  // namespace rackproof
