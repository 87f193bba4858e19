// What measuring itself costs: a reading of the clock, a start, a decision, a whole sample of nothing. Run it alone, or
// under mpirun to see starts of several ranks (every rank runs every benchmark equally often; rank 0 prints).
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "common/core/clock.hpp"
#include "common/measure/sampler.hpp"
#include "common/measure/starter.hpp"
#include "common/mpi/communicator.hpp"
#include "common/mpi/global_clock.hpp"
#include "common/stats/order_statistics.hpp"

namespace {

using namespace rackproof;

class Nothing final : public Workload {
 public:
  void step() override {}
  Verification verify() override { return {}; }
  [[nodiscard]] bool is_collective() const override { return true; }
};

/// As many latencies as a case has at most: skewed, with a tail.
std::vector<double> latencies() {
  std::mt19937 random(1);
  std::lognormal_distribution<double> draw(0.0, 0.2);
  std::vector<double> values(1024);
  for (double& v : values) v = 1e-6 * draw(random);
  return values;
}

void read_clock(benchmark::State& state) {
  const SteadyClock clock;
  for (auto _ : state) benchmark::DoNotOptimize(clock.now());
}

void read_global_clock(benchmark::State& state, const mpi::GlobalClock& clock) {
  for (auto _ : state) benchmark::DoNotOptimize(clock.now());
}

void start_in_window(benchmark::State& state, const mpi::Communicator& world, const mpi::GlobalClock& clock) {
  const Starter starter(world, clock);
  for (auto _ : state) benchmark::DoNotOptimize(starter.start_in_window());
  state.counters["window"] = starter.window();
}

void start_by_barrier(benchmark::State& state, const mpi::Communicator& world, const mpi::GlobalClock& clock) {
  const Starter starter(world, clock);
  for (auto _ : state) starter.start_by_barrier();
}

void synchronise_clocks(benchmark::State& state, mpi::GlobalClock& clock) {
  for (auto _ : state) benchmark::DoNotOptimize(clock.synchronise());
  state.counters["error"] = clock.error();
}

/// A whole case of 1024 samples of nothing: the time a sample adds to what it measures.
void measure_nothing(benchmark::State& state, const mpi::Communicator& world, mpi::GlobalClock& clock) {
  StoppingRule rule;
  rule.relative_half_width = 0.0;
  rule.budget = 60.0;
  double steps = 0.0;
  for (auto _ : state) {
    Nothing nothing;
    const Samples samples = measure(nothing, world, clock, rule);
    steps += static_cast<double>(samples.warmup.size() + samples.figure.size());
  }
  state.counters["time_a_step"] = benchmark::Counter(steps, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void interval_of_the_median(benchmark::State& state) {
  const std::vector<double> values = latencies();
  for (auto _ : state) benchmark::DoNotOptimize(stats::median_interval(values));
}

void decide_to_stop(benchmark::State& state) {
  const std::vector<double> values = latencies();
  const StoppingRule rule;
  for (auto _ : state) benchmark::DoNotOptimize(is_converged(rule, values));
}

/// Ranks other than 0 run along in silence.
class Silent final : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context& /*context*/) override { return true; }
  void ReportRuns(const std::vector<Run>& /*runs*/) override {}
};

}  // namespace

int main(int argc, char** argv) {
  const mpi::Session session(argc, argv);
  const auto world = mpi::Communicator::world();
  const SteadyClock clock;
  mpi::GlobalClock global(world, clock);

  benchmark::RegisterBenchmark("clock/read", read_clock);
  benchmark::RegisterBenchmark("clock/read_global", read_global_clock, std::cref(global));
  benchmark::RegisterBenchmark("stopping/median_interval_1024", interval_of_the_median);
  benchmark::RegisterBenchmark("stopping/decide_1024", decide_to_stop);
  // Collective ones: equally often on every rank, so their number is fixed.
  const auto fixed = [&](const char* name, int iterations, auto function) {
    benchmark::RegisterBenchmark(name, function)->Iterations(iterations)->UseRealTime();
  };
  fixed("start/window", 2000, [&](benchmark::State& state) { start_in_window(state, world, global); });
  fixed("start/barrier", 2000, [&](benchmark::State& state) { start_by_barrier(state, world, global); });
  fixed("clock/synchronise", 50, [&](benchmark::State& state) { synchronise_clocks(state, global); });
  fixed("sampler/nothing", 20, [&](benchmark::State& state) { measure_nothing(state, world, global); });

  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  if (world.is_root()) {
    benchmark::RunSpecifiedBenchmarks();
  } else {
    Silent silent;
    benchmark::RunSpecifiedBenchmarks(&silent);
  }
  return 0;
}
