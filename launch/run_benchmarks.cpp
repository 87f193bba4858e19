#include "launch/run_benchmarks.hpp"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

#include "common/core/random.hpp"

namespace rackproof {
namespace {

/// One row of the file.
struct Row {
  const Suite* suite;
  const Case* which;
  std::size_t suite_index;
  std::size_t row;
};

/// Hands out rows in order; Google Benchmark calls the same function once a repetition.
class Runner {
 public:
  Runner(const RunParts& parts, const RunOptions& options, const std::vector<SelectedSuite>& planned,
         std::size_t repetitions, Progress& progress)
      : parts_(parts), options_(options), progress_(progress), start_(parts.clock.local().now()) {
    for (std::size_t s = 0; s < planned.size(); ++s) {
      sessions_.push_back(planned[s].suite->begin(options.suite_options, parts.context.platform));
      std::vector<int> order(planned[s].cases.size() / repetitions);
      std::iota(order.begin(), order.end(), 0);
      if (options.shuffled && !planned[s].suite->keeps_order()) {
        order = shuffled(static_cast<int>(order.size()), random_stream(options.order_seed.value_or(0), s));
      }
      for (const int which : order) {
        const std::size_t first = static_cast<std::size_t>(which) * repetitions;
        for (std::size_t c = first; c < first + repetitions; ++c) {
          rows_.push_back({planned[s].suite, &planned[s].cases[c], s, c});
        }
      }
    }
  }

  /// The case that each repetition in turn belongs to, by the name of its first.
  [[nodiscard]] const std::string& name(std::size_t position) const { return rows_[position].which->name; }
  [[nodiscard]] std::size_t size() const noexcept { return rows_.size(); }
  /// Of all rows, in the order of running.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const Row& row : rows_) all.push_back(row.which->name);
    return all;
  }

  void run_next(benchmark::State& state) {
    // An exception must not cross the library: it is kept, and thrown when the library has returned.
    if (!failure_) {
      try {
        run(rows_.at(next_), state);
      } catch (...) {
        failure_ = std::current_exception();
      }
    }
    if (failure_) state.SkipWithError("the run ended early");
    ++next_;
  }

  ExitCode conclude() const {
    if (failure_) std::rethrow_exception(failure_);
    return worst_;
  }

 private:
  void run(const Row& row, benchmark::State& state) {
    progress_.show(next_, rows_.size(), row.which->name);
    StoppingRule rule;
    rule.relative_half_width = options_.relative_half_width;
    rule.max_samples = options_.max_samples;
    rule.min_samples = std::min(rule.min_samples, rule.max_samples);
    rule.budget = budget();
    CaseResult result;
    parts_.watchdog.progress().begin_case(static_cast<std::uint32_t>(next_ + 1));
    parts_.context.session = sessions_.at(row.suite_index).get();
    for (auto _ : state) {
      result = run_case(parts_, *row.suite, *row.which, row.suite_index, row.row, rule, options_.start);
      state.SetIterationTime(result.seconds);
      sampling_ += result.sampling;
    }
    parts_.watchdog.progress().enter(Phase::between_cases);
    if (result.status != results::Status::skipped) {
      parts_.telemetry.write_if_due(parts_.world, parts_.gatherer, parts_.clock, parts_.writer);
    }
    switch (result.status) {
      case results::Status::skipped:
        state.SkipWithError(("SKIPPED: " + result.message).c_str());
        return;
      case results::Status::error:
        state.SkipWithError(("ERROR: " + result.message).c_str());
        worst_ = worst_ == ExitCode::pass ? ExitCode::infrastructure : worst_;
        return;
      case results::Status::failed:
        state.SkipWithError(("FAILED: " + result.message).c_str());
        worst_ = ExitCode::fail;
        return;
      case results::Status::mistrusted:
        state.SetLabel("MISTRUSTED " + result.message);
        break;
      case results::Status::passed:
      case results::Status::not_run:
        break;
    }
    for (const Figure& figure : row.which->figures) {
      state.counters[figure.name + "[" + figure.unit + "]"] =
          figure.kind == Figure::Kind::rate ? figure.amount / result.seconds : figure.amount * result.seconds;
    }
  }

  /// An equal share of the time that is left, less what setting up and checking have cost a case so far. What a case
  /// does not need goes to those behind it, so that none starves. The same on every rank: rank 0's time decides.
  double budget() const {
    const double elapsed = parts_.clock.local().now() - start_;
    const double overhead = next_ == 0 ? 0.0 : (elapsed - sampling_) / static_cast<double>(next_);
    double share = (options_.time_budget - elapsed) / static_cast<double>(rows_.size() - next_) - overhead;
    parts_.world.broadcast({&share, 1});
    return std::max(share, 0.0);
  }

  const RunParts& parts_;
  const RunOptions& options_;
  Progress& progress_;
  double start_;
  double sampling_ = 0.0;  ///< s, of start_ until now
  std::vector<Row> rows_;
  std::vector<std::unique_ptr<SuiteSession>> sessions_;  ///< by suite; null where it has none
  std::size_t next_ = 0;
  ExitCode worst_ = ExitCode::pass;
  std::exception_ptr failure_;
};

/// The library reads its flags from an argument list that it changes; it keeps a pointer to the first of `arguments`,
/// which must live as long as it runs.
void initialise_library(const BenchmarkFlags& flags, bool is_root, std::vector<std::string>& arguments) {
  arguments = {"rackproof"};
  if (flags.repetitions > 1) arguments.push_back(fmt::format("--benchmark_repetitions={}", flags.repetitions));
  if (is_root) {
    arguments.insert(arguments.end(), flags.passed_on.begin(), flags.passed_on.end());
    if (!flags.out.empty()) arguments.push_back("--benchmark_out=" + flags.out);
  }
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  int count = static_cast<int>(pointers.size());
  pointers.push_back(nullptr);
  benchmark::Initialize(&count, pointers.data());
}

}  // namespace

std::vector<SelectedSuite> repeat_cases(std::vector<SelectedSuite> selected, int repetitions) {
  if (repetitions == 1) return selected;
  for (SelectedSuite& suite : selected) {
    std::vector<Case> rows;
    for (const Case& one : suite.cases) {
      for (int repetition = 0; repetition < repetitions; ++repetition) {
        Case row = one;
        row.parameters.set("repetition", std::int64_t{repetition});
        if (repetition > 0) row.name += fmt::format("/repetition{}", repetition);
        rows.push_back(std::move(row));
      }
    }
    suite.cases = std::move(rows);
  }
  return selected;
}

ExitCode run_benchmarks(const RunParts& parts, const RunOptions& options, const BenchmarkFlags& flags,
                        const std::vector<SelectedSuite>& planned, Progress& progress) {
  std::vector<std::string> arguments;
  initialise_library(flags, parts.world.is_root(), arguments);
  benchmark::AddCustomContext("rackproof", RACKPROOF_VERSION);
  benchmark::AddCustomContext("ranks", fmt::format("{}", parts.world.size()));
  const auto repetitions = static_cast<std::size_t>(flags.repetitions);
  Runner runner(parts, options, planned, repetitions, progress);
  for (std::size_t i = 0; i < runner.size(); i += repetitions) {
    benchmark::RegisterBenchmark(runner.name(i).c_str(), [&runner](benchmark::State& state) { runner.run_next(state); })
        ->UseManualTime()
        ->Iterations(1)
        ->Unit(benchmark::kMicrosecond);
  }
  parts.watchdog.set_cases(runner.names());
  QuietReporter quiet;
  const bool library_prints = parts.world.is_root() && !flags.format.empty();
  benchmark::RunSpecifiedBenchmarks(library_prints ? nullptr : &quiet, nullptr, ".");
  benchmark::ClearRegisteredBenchmarks();
  return runner.conclude();
}

}  // namespace rackproof
