// What measuring costs, as shares of the operation that is measured. Only "clock" lies inside the timed part; the rest
// costs a run its time, not its figures.
//
//   mpirun -n 2 build/release/tests/bench/harness_bench [--case REGEX] [--samples 1000]
//
// clock     one reading of the clock: of the two around an operation, half of each falls inside
// start     common start: window or barrier, as the sampler chose
// context   context switches, a probe of fixed work
// decide    sharing the figures of all ranks, the interval of the median; what is left of the sampler's time
// check     verifying the timed output, a sample
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <regex>
#include <string>
#include <vector>

#include "common/core/clock.hpp"
#include "common/core/error.hpp"
#include "common/core/units.hpp"
#include "common/measure/disturbance.hpp"
#include "common/measure/sampler.hpp"
#include "common/measure/starter.hpp"
#include "common/mpi/communicator.hpp"
#include "common/mpi/global_clock.hpp"
#include "common/stats/order_statistics.hpp"
#include "suites/suite.hpp"
#include "tests/bench/bench_world.hpp"

namespace {

using namespace rackproof;

/// The median over `rounds` of the time of one call, of `calls` in a row. Collective if `call` is.
template <typename Call>
double time_of(const Clock& clock, int rounds, int calls, Call&& call) {
  std::vector<double> times;
  for (int round = 0; round < rounds; ++round) {
    const double begin = clock.now();
    for (int i = 0; i < calls; ++i) call();
    times.push_back((clock.now() - begin) / calls);
  }
  return stats::median(times);
}

struct Costs {
  double clock;    // s
  double window;   // s
  double barrier;  // s
  double context;  // s
};

Costs costs_of(const mpi::Communicator& world, const mpi::GlobalClock& global) {
  const Clock& clock = global.local();
  const Starter starter(world, global);
  const DisturbanceMeter meter(clock);
  double sink = 0.0;
  Costs costs{};
  costs.clock = time_of(clock, 50, 1000, [&] { sink += clock.now(); });
  costs.window = time_of(clock, 50, 20, [&] { sink += starter.start_in_window() == Punctuality::on_time ? 1.0 : 0.0; });
  costs.barrier = time_of(clock, 50, 20, [&] { starter.start_by_barrier(); });
  costs.context = time_of(clock, 50, 20, [&] {
    sink += static_cast<double>(DisturbanceMeter::switches() + DisturbanceMeter::switches()) + meter.probe();
  });
  if (sink < 0.0) fmt::print("\n");  // so that nothing of it is left out
  return costs;
}

int run(int argc, char** argv) {
  int samples_wanted = 1000;
  std::string pattern = "^allreduce/f32/(8B|1KiB|64KiB|1MiB)/out-of-place$|^gemm/bf16/m(1|512)n.*/packed$";
  CLI::App app("What measuring costs, as shares of the operation that is measured");
  app.add_option("--samples", samples_wanted, "of each case")->check(CLI::Range(30, 100000));
  app.add_option("--case", pattern, "cases to run, a regular expression");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  const std::regex wanted(pattern);

  BenchWorld host("host");
  auto& [world, steady, clock, backends, platform, device, collective] = host;
  const auto suites = make_all_suites();
  Options options;
  for (const auto& suite : suites) {
    for (const OptionSpec& option : suite->options()) options.values[option.name] = option.default_value;
  }
  const Context context{*device, *collective, platform, options};
  const Costs costs = costs_of(world, clock);
  if (world.is_root()) {
    fmt::print("{} ranks, {}\n{:<34} {:>10} {:>8} {:>8} {:>9} {:>8} {:>8}   {}\n", world.size(), device->name(), "case",
               "time", "clock", "start", "context", "decide", "check", "started by");
  }
  for (const auto& suite : suites) {
    for (const Case& one : suite->cases(options, platform)) {
      if (!std::regex_search(one.name, wanted) || !one.skip_reason.empty()) continue;
      const auto workload = suite->make(one, context);
      StoppingRule rule;
      rule.min_samples = samples_wanted;
      rule.max_samples = samples_wanted;
      rule.budget = 20.0;
      const double begin = steady.now();
      const Samples samples = measure(*workload, world, clock, rule);
      const double elapsed = steady.now() - begin;
      const double check_begin = steady.now();
      const Verification verification = workload->verify();
      const double check = steady.now() - check_begin;
      if (verification.outcome != Verification::Outcome::passed) throw infrastructure_error(one.name + ": failed");

      double busy = 0.0;
      for (const double time : samples.time) busy += time;
      for (const double time : samples.warmup) busy += time;
      const auto steps = static_cast<double>(samples.time.size() + samples.warmup.size());
      const bool by_barrier = (samples.flags.back() & sample_barrier) != 0;
      const double start = world.size() == 1 ? 0.0 : by_barrier ? costs.barrier : costs.window;
      const double decide = std::max(0.0, (elapsed - busy) / steps - start - costs.context);
      const double time = stats::median(samples.figure);
      if (!world.is_root()) continue;
      const auto share = [time](double cost) { return fmt::format("{:.3g} %", 100.0 * cost / time); };
      fmt::print("{:<34} {:>10} {:>8} {:>8} {:>9} {:>8} {:>8}   {}\n", one.name, format_duration(time),
                 share(costs.clock), share(start), share(costs.context), share(decide),
                 share(check / static_cast<double>(samples.time.size())), by_barrier ? "barrier" : "window");
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return run_benchmark("harness_bench", argc, argv, run); }
