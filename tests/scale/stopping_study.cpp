// The stopping rule on hundreds of simulated ranks: does every rank take the same decision, after how many samples, and
// what does deciding cost in calls of MPI?
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "common/core/digest.hpp"
#include "common/core/error.hpp"
#include "common/core/random.hpp"
#include "common/measure/sampler.hpp"
#include "common/stats/order_statistics.hpp"
#include "tests/scale/fabric.hpp"
#include "tests/scale/simulation.hpp"

namespace {

using namespace rackproof;
using namespace rackproof::scale;

/// Some computing of about 1 ms, then a sum of 8 bytes over all ranks. The computing of all ranks takes longer or
/// shorter together, log-normally with the standard deviation `spread`, as where other jobs share the fabric.
class ComputeAndReduce final : public Workload {
 public:
  ComputeAndReduce(const mpi::Communicator& world, double spread, std::uint64_t stream)
      : world_(&world), spread_(spread), stream_(stream) {}
  void step() override {
    if (spread_ > 0.0) {
      double normal = 0.0;
      fill_normal(std::span(&normal, 1), stream_, steps_++, 1.0F);
      simgrid::s4u::this_actor::sleep_for(1e-3 * std::exp(spread_ * normal));
    }
    sum_ = world_->rank();
    mpi::check(MPI_Allreduce(MPI_IN_PLACE, &sum_, 1, MPI_DOUBLE, MPI_SUM, world_->handle()), "MPI_Allreduce");
  }
  Verification verify() override {
    Verification check;
    check.outcome = sum_ == 0.5 * world_->size() * (world_->size() - 1) ? Verification::Outcome::passed
                                                                        : Verification::Outcome::failed;
    return check;
  }
  [[nodiscard]] bool is_collective() const override { return true; }

 private:
  const mpi::Communicator* world_;
  double spread_;
  std::uint64_t stream_;
  std::uint64_t steps_ = 0;
  double sum_ = 0.0;
};

constexpr std::uint64_t noise_purpose = 5;
constexpr int most_samples = 256;

struct Settings {
  int nodes = 512;
  int seeds = 3;
};

const char* name_of(StopReason reason) {
  switch (reason) {
    case StopReason::converged:
      return "converged";
    case StopReason::budget:
      return "budget";
    case StopReason::certain:
      return "certain";
    case StopReason::max_samples:
      break;
  }
  return "most samples";
}

/// What a rank decided, in one number: equal where the decision was taken at the same sample from the same figures.
std::uint64_t decision(const Samples& samples) {
  const std::uint64_t figures = digest(std::as_bytes(std::span(samples.figure)));
  const std::array<int, 3> counts{static_cast<int>(samples.figure.size()), static_cast<int>(samples.warmup.size()),
                                  static_cast<int>(samples.stop_reason)};
  return digest(std::as_bytes(std::span(counts)), figures);
}

/// One row; returns whether all is as it must be (known on the root).
bool study_case(const mpi::Communicator& world, std::uint64_t seed, double spread) {
  const SimulatedClock local(seed, world.rank());
  disturb(world.rank(), seed);
  mpi::GlobalClock clock(world, local);
  ComputeAndReduce workload(world, spread, random_stream(seed, noise_purpose));
  StoppingRule rule;
  rule.max_samples = most_samples;
  const Calls before = calls_so_far(world.rank());
  const double began = MPI_Wtime();
  const Samples samples = measure(workload, world, clock, rule);
  const double simulated = MPI_Wtime() - began;
  const Calls after = calls_so_far(world.rank());

  const std::vector<std::uint64_t> decisions = world.gather(decision(samples));
  const std::vector<double> passed =
      world.gather(workload.verify().outcome == Verification::Outcome::passed ? 1.0 : 0.0);
  if (!world.is_root()) return true;
  const auto differing = std::count_if(decisions.begin(), decisions.end(), [&](auto d) { return d != decisions[0]; });
  const auto failed = std::count(passed.begin(), passed.end(), 0.0);
  const int taken = static_cast<int>(samples.figure.size());
  const double steps = taken + static_cast<int>(samples.warmup.size());
  const double median = stats::median(samples.figure);
  const auto interval = stats::median_interval(samples.figure, 0.95, stats::effective_sample_size(samples.figure));
  const double width = interval ? (interval->high - interval->low) / 2.0 / median : INFINITY;
  // One of the reductions is the operation itself.
  fmt::print(
      "{:>5} {:>5} {:>7} {:>9.2f} {:>8} {:>8}  {:<13} {:<13} {:>7.2f} {:>10} {:>9.2f} {:>9.2f} {:>10.2f} {:>10.1f}\n",
      world.size(), seed, fmt::format("{:g} %", 100.0 * spread), 1e6 * median, static_cast<int>(samples.warmup.size()),
      taken, (samples.flags.front() & sample_barrier) != 0 ? "two barriers" : "window", name_of(samples.stop_reason),
      100.0 * width, differing, static_cast<double>(after.barriers - before.barriers) / steps,
      static_cast<double>(after.broadcasts - before.broadcasts) / steps,
      static_cast<double>(after.reductions - before.reductions) / steps - 1.0, 1e3 * simulated);
  std::fflush(stdout);
  const bool kept =
      samples.stop_reason == StopReason::converged ? width <= rule.relative_half_width : taken == rule.max_samples;
  return differing == 0 && failed == 0 && kept;
}

bool study(const mpi::Communicator& world, const Settings& settings) {
  bool good = true;
  for (int seed = 1; seed <= settings.seeds; ++seed) {
    for (const double spread : {0.0, 0.01, 0.05}) {
      good = study_case(world, static_cast<std::uint64_t>(seed), spread) && good;
    }
  }
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    CLI::App app{"The stopping rule on simulated ranks: equal decisions, samples taken, calls of MPI."};
    Settings settings;
    app.add_option("--nodes", settings.nodes, "simulated nodes, one rank each")->capture_default_str();
    app.add_option("--seeds", settings.seeds, "runs of each spread, with noise and clocks of their own")
        ->capture_default_str();
    CLI11_PARSE(app, argc, argv);

    Simulation simulation(Collectives::messages);
    Fabric fabric(settings.nodes);
    fabric.set(1, {});
    fmt::print("{:>5} {:>5} {:>7} {:>9} {:>8} {:>8}  {:<13} {:<13} {:>7} {:>10} {:>30} {:>10}\n", "", "", "", "median",
               "warm-up", "", "", "", "+-", "ranks that", "calls for one sample", "simulated");
    fmt::print("{:>5} {:>5} {:>7} {:>9} {:>8} {:>8}  {:<13} {:<13} {:>7} {:>10} {:>9} {:>9} {:>10} {:>10}\n", "ranks",
               "seed", "spread", "us", "steps", "samples", "started by", "stopped by", "%", "differ", "barrier",
               "broadcast", "all-reduce", "ms");
    bool good = true;
    simulation.run(fabric.hosts(), [&](const mpi::Communicator& world) {
      if (!study(world, settings)) good = false;
    });
    fmt::print("{}\n", good ? "all ranks decided alike, and as the rule says"
                            : "FAILED: ranks decided differently, a sum was wrong, or the rule was not kept");
    return good ? 0 : 3;
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.line());
    return static_cast<int>(error.exit_code());
  }
}
