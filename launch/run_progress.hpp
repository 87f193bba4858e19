// What the user sees while cases run.
#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>
#include <string>

#include "common/core/clock.hpp"
#include "launch/run_options.hpp"

namespace rackproof {

/// One line on stderr that is overwritten: "[12/85] gemm/bf16/... 14 s of at most 95 s".
class Progress {
 public:
  /// Shown on `is_root` alone, and with ProgressMode::automatic only where stderr is a terminal.
  Progress(ProgressMode mode, bool is_root, const Clock& clock, double budget);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  void show(std::size_t index, std::size_t count, const std::string& name);
  void note(const std::string& text);  ///< a stage without a number: "opening devices"
  void clear();

 private:
  void print(const std::string& text);
  bool enabled_;
  const Clock* clock_;
  double start_;
  double budget_;
  std::size_t width_ = 0;
};

/// Google Benchmark's reporter where rackproof prints its own table at the end, and on every rank but the first.
class QuietReporter final : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context& /*context*/) override { return true; }
  void ReportRuns(const std::vector<Run>& /*runs*/) override {}
};

}  // namespace rackproof
