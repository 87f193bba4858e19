#include "launch/run_benchmarks.hpp"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <exception>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

#include "common/core/random.hpp"
#include "launch/run_stop.hpp"

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
         std::size_t repetitions, const RunBounds& bounds, Progress& progress)
      : parts_(parts), options_(options), bounds_(bounds), progress_(progress), start_(parts.clock.local().now()) {
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
    left_ = rows_.size();
    for (const auto& [position, status] : bounds.earlier) {
      --left_;
      note(status);
    }
    // What is left of the cases gets what is left of the time.
    time_budget_ = options.time_budget * static_cast<double>(left_) / static_cast<double>(rows_.size());
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
    const Row& row = rows_.at(next_);
    if (bounds_.earlier.count({row.suite_index, row.row}) > 0) {
      state.SkipWithError("measured before the run was interrupted");
      ++next_;
      return;
    }
    if (!failure_ && ended_early_.empty()) {
      try {
        run(row, state);
      } catch (...) {
        failure_ = std::current_exception();
      }
    }
    // The library wants to be told that the case was left before its end.
    if (failure_ || !ended_early_.empty()) state.SkipWithError("the run ended early");
    ++next_;
    if (ended_early_.empty() && !failure_) --left_;
  }

  [[nodiscard]] RunOutcome conclude() const {
    if (failure_) std::rethrow_exception(failure_);
    if (!ended_early_.empty()) return {ExitCode::infrastructure, ended_early_, left_};
    return {worst_, "", 0};
  }

 private:
  void run(const Row& row, benchmark::State& state) {
    progress_.show(next_, rows_.size(), row.which->name);
    const double began = parts_.clock.local().now();
    const double share = next_share();
    if (!ended_early_.empty()) return;
    StoppingRule rule;
    rule.relative_half_width = options_.relative_half_width;
    rule.max_samples = options_.max_samples;
    rule.min_samples = std::min(rule.min_samples, rule.max_samples);
    rule.budget = share;
    rule.plan = bounds_.limits.plan;
    rule.limits = bounds_.limits.of(row.suite_index, row.row);
    CaseResult result;
    const auto number = static_cast<int>(next_ + 1);
    parts_.planting.begin_case(number, row.suite->name(),
                               parts_.writer != nullptr ? parts_.writer->part_path().string() : std::string());
    parts_.watchdog.progress().begin_case(static_cast<std::uint32_t>(next_ + 1));
    parts_.context.session = sessions_.at(row.suite_index).get();
    for (auto _ : state) {
      result = run_case(parts_, *row.suite, *row.which, row.suite_index, row.row, rule, options_.start);
      state.SetIterationTime(result.seconds);
      sampling_ += result.sampling;
      longest_overhead_ = std::max(longest_overhead_, parts_.clock.local().now() - began - result.sampling);
    }
    ++measured_;
    note(result.status);
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
        return;
      case results::Status::failed:
        state.SkipWithError(("FAILED: " + result.message).c_str());
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

  void note(results::Status status) {
    if (status == results::Status::failed) worst_ = ExitCode::fail;
    if (status == results::Status::error && worst_ == ExitCode::pass) worst_ = ExitCode::infrastructure;
  }

  /// An equal share of the time that is left, less what setting up and checking have cost a case so far. What a case
  /// does not need goes to those behind it, so that none starves. The same on every rank: rank 0's time decides. Where
  /// the run is to end before the case, on any rank's account, says so in ended_early_.
  double next_share() {
    const double now = parts_.clock.local().now();
    const double elapsed = now - start_;
    const double overhead = measured_ == 0 ? 0.0 : (elapsed - sampling_) / static_cast<double>(measured_);
    const double own = std::max((time_budget_ - elapsed) / static_cast<double>(left_) - overhead, 0.0);
    const bool root = parts_.world.is_root();
    const double signal = bounds_.stop_signal ? bounds_.stop_signal() : 0;
    std::array<double, 3> shared{root ? own : 0.0, signal,
                                 root && !case_fits(now, bounds_.end, own, longest_overhead_) ? 1.0 : 0.0};
    parts_.world.all_reduce_max(shared);
    if (shared[1] > 0.0) {
      ended_early_ = fmt::format("{} came", name_of_signal(static_cast<int>(shared[1])));
    } else if (shared[2] > 0.0) {
      ended_early_ = "the next case does not fit into what is left of the wall time";
    }
    return shared[0];
  }

  const RunParts& parts_;
  const RunOptions& options_;
  const RunBounds& bounds_;
  Progress& progress_;
  double start_;
  double time_budget_ = 0.0;       ///< s, of the cases that were left at start_
  double longest_overhead_ = 0.0;  ///< s that setting up and checking a case took
  std::size_t left_ = 0;           ///< cases to run, the next one included
  std::size_t measured_ = 0;       ///< cases run by this launch
  std::string ended_early_;
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

RunOutcome run_benchmarks(const RunParts& parts, const RunOptions& options, const BenchmarkFlags& flags,
                          const std::vector<SelectedSuite>& planned, const RunBounds& bounds, Progress& progress) {
  std::vector<std::string> arguments;
  initialise_library(flags, parts.world.is_root(), arguments);
  benchmark::AddCustomContext("rackproof", RACKPROOF_VERSION);
  benchmark::AddCustomContext("ranks", fmt::format("{}", parts.world.size()));
  const auto repetitions = static_cast<std::size_t>(flags.repetitions);
  Runner runner(parts, options, planned, repetitions, bounds, progress);
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
