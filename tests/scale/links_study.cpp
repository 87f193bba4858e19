// Does the links suite name a slow link and a slow node among hundreds, and nothing on a healthy fabric? Each run is a
// fabric of its own, whose cables differ by chance; rounds, samples, repetitions and verdict are those of a real run.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/backends/mpi/mpi_collective.hpp"
#include "common/core/error.hpp"
#include "common/core/units.hpp"
#include "common/measure/sampler.hpp"
#include "common/measure/tournament.hpp"
#include "common/stats/order_statistics.hpp"
#include "common/stats/pair_model.hpp"
#include "suites/links/session.hpp"
#include "suites/links/workload.hpp"
#include "tests/fakes/test_device.hpp"
#include "tests/scale/fabric.hpp"
#include "tests/scale/simulation.hpp"

namespace rackproof {
std::unique_ptr<Suite> make_links_suite();  // by the folder's name, as the generated registry does
}

namespace {

using namespace rackproof;
using namespace rackproof::scale;
using FaultKind = Fault::Kind;

/// Shares of runs that the study insists on. A rate of false discoveries of 1 % lets one healthy run in a hundred
/// accuse somebody.
constexpr double least_found = 0.95;
constexpr double most_false = 0.05;

struct Settings {
  int nodes = 64;
  int seeds = 50;
  std::vector<FaultKind> planted{FaultKind::none, FaultKind::link, FaultKind::node};
  bool own_clocks = false;
  bool verbose = false;
};

/// What came of one run.
struct RunResult {
  bool found = false;     ///< something that meets the fault is blamed
  bool named = false;     ///< and by its right name: a node as an endpoint, a cable as links that cross it
  int accused = 0;        ///< parts that are blamed
  int wrongly = 0;        ///< of them: do not meet the fault, or are called an endpoint where links are slow
  double slowdown = 0.0;  ///< the median of the parts that are rightly blamed
  int cases = 0;
  double samples = 0.0;  ///< of a pair, mean over cases
  double simulated = 0.0;
  double wall = 0.0;
};

/// What all ranks of the run share. They are threads of one process that take turns at calls of MPI alone, so that a
/// barrier before and behind each use is enough.
struct Board {
  std::unique_ptr<links::LinksSession> session;  ///< decides whom to measure again, once for all ranks
  std::vector<stats::PairTime> times;
  bool skip = false;
  std::vector<int> partner;
  Observation seen;
  int failed = 0;  ///< ranks that received wrong bytes
};

double wall_clock() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// One rank a node, each on a node of its own.
Platform platform_of(int nodes) {
  Platform platform;
  platform.topology.nodes = nodes;
  for (int i = 0; i < nodes; ++i) platform.topology.ranks.push_back({fmt::format("node{}", i), i, 0});
  platform.known = true;
  return platform;
}

Options options_of(const Suite& suite, std::uint64_t seed) {
  Options options;
  options.profile = Profile::accept;
  options.seed = seed;
  for (const OptionSpec& option : suite.options()) options.values[option.name] = option.default_value;
  options.values["link-sizes"] = "16KiB";
  return options;
}

/// Few samples a pair: the model joins many pairs, and what is suspicious is measured again. Simulated seconds.
StoppingRule rule_of_study() {
  StoppingRule rule;
  rule.min_samples = 6;
  rule.max_samples = 8;
  rule.relative_half_width = 0.02;
  rule.budget = 1.5e-3;
  return rule;
}

class Study {
 public:
  Study(const Settings& settings, Fabric& fabric, const mpi::Communicator& world, Board& board)
      : settings_(settings),
        fabric_(fabric),
        world_(world),
        board_(board),
        suite_(make_links_suite()),
        platform_(platform_of(fabric.nodes())),
        options_(options_of(*suite_, 1)),
        collective_(world),
        context_{device_, collective_, platform_, options_},
        buffers_(links::choose_endpoints("nodes", platform_.topology), 1) {}

  /// Collective. The result is the root's.
  RunResult run(FaultKind kind, std::uint64_t seed) {
    const double wall = wall_clock();
    const double began = MPI_Wtime();
    const Fault fault = fabric_.draw_fault(kind, seed);
    world_.barrier();
    if (world_.is_root()) prepare(fault, seed);
    world_.barrier();
    disturb(world_.rank(), seed);
    RunResult result;
    {
      const SimulatedClock local = settings_.own_clocks ? SimulatedClock(seed, world_.rank()) : SimulatedClock();
      mpi::GlobalClock clock(settings_.own_clocks ? world_ : self_, local);
      for (const Case& which : suite_->cases(options_of(*suite_, seed), platform_)) {
        if (which.pairs && which.parameters.text("stage") != "apart") run_case(which, clock, result);
      }
    }
    if (world_.is_root()) judge(fault, result);
    result.samples /= std::max(result.cases, 1);
    result.simulated = MPI_Wtime() - began;
    result.wall = wall_clock() - wall;
    return result;
  }

 private:
  void prepare(const Fault& fault, std::uint64_t seed) {
    fabric_.set(seed, fault);
    board_ = Board{};
    board_.session = std::make_unique<links::LinksSession>(links::choose_endpoints("nodes", platform_.topology), seed);
  }

  void run_case(const Case& which, mpi::GlobalClock& clock, RunResult& result) {
    if (world_.is_root()) {
      board_.skip = !board_.session->reason_to_skip(which).empty();
      if (!board_.skip) board_.partner = board_.session->partners(which, world_.size());
      board_.seen.seconds.assign(static_cast<std::size_t>(world_.size()), NAN);
      board_.seen.partner.assign(board_.seen.seconds.size(), -1);
    }
    world_.barrier();
    if (board_.skip) return;
    const auto self = static_cast<std::size_t>(world_.rank());
    links::PairWorkload workload(static_cast<std::uint64_t>(which.work.message_size),
                                 links::parse_direction(which.parameters.text("direction")), board_.partner[self],
                                 buffers_, context_);
    const Samples samples = measure(workload, world_, clock, rule_of_study());
    if (workload.verify().outcome != Verification::Outcome::passed) ++board_.failed;
    if (workload.takes_part()) {
      board_.seen.seconds[self] = stats::median(samples.time);
      board_.seen.partner[self] = workload.partner();
    }
    world_.barrier();
    if (world_.is_root()) observe(which);
    ++result.cases;
    result.samples += static_cast<double>(samples.figure.size());
  }

  void observe(const Case& which) {
    if (board_.failed > 0) {
      throw Error(ExitCode::fail, "links", 0, "",
                  fmt::format("{}: {} ranks received wrong bytes", which.name, board_.failed));
    }
    board_.session->observe(which, board_.seen);
    for (int a = 0; a < world_.size(); ++a) {
      const int b = board_.seen.partner[static_cast<std::size_t>(a)];
      if (b <= a) continue;
      const double seconds =
          std::max(board_.seen.seconds[static_cast<std::size_t>(a)], board_.seen.seconds[static_cast<std::size_t>(b)]);
      board_.times.push_back({a, b, seconds, 0.0, which.parameters.text("stage") == "again"});
    }
  }

  void judge(const Fault& fault, RunResult& result) const {
    const stats::PairVerdict verdict = stats::judge_pairs(board_.times, world_.size());
    if (!verdict.decided) throw Error(ExitCode::internal, "links", 0, "", "nothing was decided: " + verdict.reason);
    std::vector<double> slowdowns;
    for (const stats::SlowPart& part : verdict.blamed) {
      const bool is_link = part.kind == stats::SlowPart::Kind::link;
      const bool rightly = is_link ? fault.kind == FaultKind::link && fabric_.meets(fault, part.a, part.b)
                                   : fault.kind == FaultKind::node && part.a == fault.node;
      ++result.accused;
      if (!rightly) ++result.wrongly;
      if (rightly) slowdowns.push_back(part.slowdown);
      if (settings_.verbose) {
        fmt::print("    {} {}{}: {:.1f} % slow, confidence {:.5f}, {} of {} pairs\n", rightly ? "rightly" : "WRONGLY",
                   part.a, is_link ? fmt::format(" - {}", part.b) : "", 100.0 * part.slowdown, part.confidence,
                   part.slow_pairs, part.pairs);
      }
    }
    result.found = !slowdowns.empty();
    result.named = result.found && result.wrongly == 0;
    result.slowdown = stats::median(slowdowns);
    if (settings_.verbose) {
      fmt::print("    noise {:.2f} %, {} suspects left, {} cleared\n", 100.0 * verdict.noise, verdict.suspects.size(),
                 verdict.cleared.size());
    }
  }

  const Settings& settings_;
  Fabric& fabric_;
  const mpi::Communicator& world_;
  Board& board_;
  mpi::Communicator self_ = mpi::Communicator::self();
  std::unique_ptr<Suite> suite_;
  Platform platform_;
  Options options_;
  TestDevice device_;
  MpiCollective collective_;
  Context context_;
  links::LinksSession buffers_;  ///< of this rank; kept from run to run
};

void print_head() {
  fmt::print("{:>5}  {:<18} {:>5} {:>7} {:>8} {:>13} {:>13} {:>9} {:>7} {:>8} {:>10} {:>8}\n", "", "", "", "", "named",
             "accused", "runs that", "slowdown", "rounds", "samples", "simulated", "wall s");
  fmt::print("{:>5}  {:<18} {:>5} {:>7} {:>8} {:>13} {:>13} {:>9} {:>7} {:>8} {:>10} {:>8}\n", "nodes", "planted",
             "runs", "found", "rightly", "wrongly", "accuse wrongly", "seen", "a run", "a pair", "ms a run", "a run");
}

double mean(std::span<const RunResult> runs, double RunResult::*member) {
  double sum = 0.0;
  for (const RunResult& run : runs) sum += run.*member;
  return sum / static_cast<double>(runs.size());
}

/// One row; returns whether the rates are what they must be.
bool print_row(int nodes, FaultKind kind, std::span<const RunResult> runs) {
  const auto n = static_cast<double>(runs.size());
  const auto share = [&](auto predicate) {
    return static_cast<double>(std::count_if(runs.begin(), runs.end(), predicate)) / n;
  };
  const double found = share([](const RunResult& run) { return run.found; });
  const double named = share([](const RunResult& run) { return run.named; });
  const double wrong = share([](const RunResult& run) { return run.wrongly > 0; });
  int wrongly = 0;
  int accused = 0;
  double cases = 0.0;
  std::vector<double> slowdowns;
  for (const RunResult& run : runs) {
    wrongly += run.wrongly;
    accused += run.accused;
    cases += run.cases;
    slowdowns.push_back(run.slowdown);
  }
  const bool healthy = kind == FaultKind::none;
  const char* const name = healthy ? "nothing" : kind == FaultKind::link ? "a 30 % slow link" : "a 10 % slow node";
  const auto percent = [healthy](double value) {
    return healthy ? std::string("-") : fmt::format("{:.0f} %", 100.0 * value);
  };
  fmt::print("{:>5}  {:<18} {:>5} {:>7} {:>8} {:>13} {:>13} {:>9} {:>7.1f} {:>8.1f} {:>10.1f} {:>8.2f}\n", nodes, name,
             runs.size(), percent(found), percent(named), fmt::format("{} of {}", wrongly, accused),
             fmt::format("{:.0f} %", 100.0 * wrong),
             healthy ? "-" : fmt::format("{:.1f} %", 100.0 * stats::median(slowdowns)), cases / n,
             mean(runs, &RunResult::samples), 1e3 * mean(runs, &RunResult::simulated), mean(runs, &RunResult::wall));
  std::fflush(stdout);
  return wrong <= most_false && (healthy || named >= least_found);
}

bool study(const Settings& settings, Fabric& fabric, const mpi::Communicator& world, Board& board) {
  Study study(settings, fabric, world, board);
  bool good = true;
  for (const FaultKind kind : settings.planted) {
    std::vector<RunResult> runs;
    for (int seed = 1; seed <= settings.seeds; ++seed) {
      if (settings.verbose && world.is_root()) {
        fmt::print("  seed {}: {}\n", seed, fabric.describe(fabric.draw_fault(kind, static_cast<std::uint64_t>(seed))));
      }
      runs.push_back(study.run(kind, static_cast<std::uint64_t>(seed)));
    }
    if (world.is_root()) good = print_row(fabric.nodes(), kind, runs) && good;
  }
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    CLI::App app{"The links suite on simulated nodes with a planted fault: how often it is found, and who is accused."};
    Settings settings;
    app.add_option("--nodes", settings.nodes, "simulated nodes, one rank each")->capture_default_str();
    app.add_option("--seeds", settings.seeds, "runs of each fault")->capture_default_str()->check(CLI::PositiveNumber);
    const std::map<std::string, FaultKind> kinds{
        {"nothing", FaultKind::none}, {"link", FaultKind::link}, {"node", FaultKind::node}};
    app.add_option("--planted", settings.planted, "nothing, link, node; default: all three, one after the other")
        ->delimiter(',')
        ->transform(CLI::CheckedTransformer(kinds));
    app.add_flag("--own-clocks", settings.own_clocks, "each node has a clock of its own, to be synchronised");
    app.add_flag("--verbose", settings.verbose, "what is planted and who is blamed, run by run");
    CLI11_PARSE(app, argc, argv);

    Simulation simulation(scale::Collectives::offloaded);
    Fabric fabric(settings.nodes);
    fabric.set(1, {});
    Board board;
    bool good = true;
    print_head();
    simulation.run(fabric.hosts(), [&](const mpi::Communicator& world) {
      if (!study(settings, fabric, world, board)) good = false;
    });
    fmt::print(
        "{}: at least {:.0f} % of the faults named rightly, at most {:.0f} % of the runs with a wrong accusation\n",
        good ? "kept" : "NOT KEPT", 100.0 * least_found, 100.0 * most_false);
    return good ? 0 : 3;
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.line());
    return static_cast<int>(error.exit_code());
  }
}
