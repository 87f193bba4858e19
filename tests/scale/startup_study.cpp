// What ranks tell rank 0 when a run starts, and after each case, on thousands of simulated ranks: does all of it
// arrive, from how many ranks does rank 0 hear, and how long does it take?
#include <fmt/format.h>
#include <smpi/smpi.h>

#include <CLI/CLI.hpp>
#include <array>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "common/core/error.hpp"
#include "common/mpi/gather_rows.hpp"
#include "common/mpi/topology.hpp"
#include "tests/scale/simulation.hpp"

namespace {

using namespace rackproof;
using namespace rackproof::scale;

/// Of a node's cable: 100 Gbit/s.
constexpr double bandwidth = 12.5e9;
constexpr double latency = 1e-6;

struct Settings {
  int ranks = 512;
  int ranks_a_node = 8;
  int samples = 100;  ///< of a case
};

/// What launch/run_header.cpp gathers of each rank, in characters: the device's id, name, serial number and facts, and
/// the cores that the rank may run on; of one rank a node also its inventory, which libraries make long.
constexpr std::array<std::size_t, 5> texts_of_a_rank{6, 30, 13, 500, 300};
constexpr std::size_t text_of_a_node = 21000;

/// Tells whose it is; a few characters longer than `length`, as many as the rank says.
std::string text_of(int rank, std::size_t length) {
  std::string text = fmt::format("{}:", rank);
  text.resize(length + static_cast<std::size_t>(rank % 3), static_cast<char>('a' + rank % 26));
  return text;
}

double number_of(int rank, int sample) { return rank + 1e-3 * sample; }

/// One row of the table; and whether all is right, known on the root.
class Study {
 public:
  Study(const mpi::Communicator& world, const Settings& settings) : world_(&world), settings_(settings) {}

  bool run() {
    const mpi::RowGatherer gatherer(*world_);
    begin();
    const mpi::Topology topology = mpi::discover_topology(*world_);
    right_ = topology.size() == settings_.ranks && topology.nodes * settings_.ranks_a_node == settings_.ranks;
    end("hosts");
    begin();
    for (const std::size_t length : texts_of_a_rank) gather(*world_, length);
    const bool speaks = topology.ranks[static_cast<std::size_t>(world_->rank())].local_rank == 0;
    const mpi::Communicator speakers = world_->split(speaks ? 0 : 1, world_->rank());
    if (speaks) gather(speakers, text_of_a_node);
    end("header");
    begin();
    std::vector<double> row;
    for (int sample = 0; sample < settings_.samples; ++sample) row.push_back(number_of(world_->rank(), sample));
    int heard = 0;
    gatherer.gather(row, [&](int first, std::span<const double> rows) {
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const int rank = first + static_cast<int>(i / row.size());
        right_ = right_ && rows[i] == number_of(rank, static_cast<int>(i % row.size()));
      }
      heard += static_cast<int>(rows.size() / row.size());
    });
    right_ = right_ && (heard == settings_.ranks || !world_->is_root());
    end("a case");
    return right_;
  }

 private:
  void begin() {
    world_->barrier();
    began_ = simgrid::s4u::Engine::get_clock();
    before_ = calls_so_far(world_->rank());
  }
  void end(const char* what) {
    world_->barrier();
    if (!world_->is_root()) return;
    fmt::print("{:>6} {:>6}  {:<7} {:>12.3f} {:>15}\n", settings_.ranks, settings_.ranks / settings_.ranks_a_node, what,
               1e3 * (simgrid::s4u::Engine::get_clock() - began_),
               calls_so_far(world_->rank()).receipts - before_.receipts);
    std::fflush(stdout);
  }
  /// Is rank 0 told everything, by no more ranks than a binomial tree has levels?
  void gather(const mpi::Communicator& ranks, std::size_t length) {
    const long before = calls_so_far(world_->rank()).receipts;
    const std::vector<std::string> texts = ranks.gather(text_of(ranks.rank(), length));
    if (!ranks.is_root()) return;
    const auto levels = std::bit_width(static_cast<unsigned>(ranks.size() - 1));
    // Lengths, and what is in them.
    right_ = right_ && calls_so_far(world_->rank()).receipts - before <= 2L * levels;
    right_ = right_ && texts.size() == static_cast<std::size_t>(ranks.size());
    for (std::size_t r = 0; right_ && r < texts.size(); ++r) right_ = texts[r] == text_of(static_cast<int>(r), length);
  }

  const mpi::Communicator* world_;
  Settings settings_;
  Calls before_;
  double began_ = 0.0;
  bool right_ = true;
};

/// Each rank's host: nodes with one cable each to a switch with room for all.
std::vector<simgrid::s4u::Host*> make_nodes(const Settings& settings) {
  auto* const zone = simgrid::s4u::create_star_zone("cluster");
  std::vector<simgrid::s4u::Host*> hosts;
  for (int node = 0; node < settings.ranks / settings.ranks_a_node; ++node) {
    simgrid::s4u::Host* const host = zone->create_host(fmt::format("node{}", node), 1e9)->seal();
    simgrid::s4u::Link* const cable =
        zone->create_split_duplex_link(fmt::format("cable{}", node), bandwidth)->set_latency(latency)->seal();
    zone->add_route(host->get_netpoint(), nullptr, nullptr, nullptr,
                    {{cable, simgrid::s4u::LinkInRoute::Direction::UP}}, true);
    hosts.insert(hosts.end(), static_cast<std::size_t>(settings.ranks_a_node), host);
  }
  zone->seal();
  return hosts;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    CLI::App app{"What ranks tell rank 0 at the start of a run and after a case, on simulated ranks."};
    Settings settings;
    app.add_option("--ranks", settings.ranks, "simulated ranks")->capture_default_str()->check(CLI::Range(2, 1 << 20));
    app.add_option("--ranks-per-node", settings.ranks_a_node)->capture_default_str()->check(CLI::Range(1, 1024));
    app.add_option("--samples", settings.samples, "of the case, a rank")
        ->capture_default_str()
        ->check(CLI::Range(1, 10000));
    CLI11_PARSE(app, argc, argv);
    if (settings.ranks % settings.ranks_a_node != 0) {
      throw usage_error(
          fmt::format("--ranks {} is no multiple of --ranks-per-node {}", settings.ranks, settings.ranks_a_node));
    }
    Simulation simulation(Collectives::messages);
    // As MPI libraries gather rows of one length; SMPI alone would have every rank send to rank 0. Little memory a
    // rank.
    smpi_init_options();
    simgrid::s4u::Engine::set_config("smpi/gather:ompi_binomial");
    simgrid::s4u::Engine::set_config("contexts/stack-size:256");
    const std::vector<simgrid::s4u::Host*> hosts = make_nodes(settings);
    fmt::print("{:>6} {:>6}  {:<7} {:>12} {:>15}\n", "", "", "", "simulated", "rank 0 calls");
    fmt::print("{:>6} {:>6}  {:<7} {:>12} {:>15}\n", "ranks", "nodes", "what", "ms", "MPI_Recv");
    bool good = true;
    simulation.run(hosts, [&](const mpi::Communicator& world) {
      if (!Study(world, settings).run()) good = false;
    });
    fmt::print("{}\n",
               good ? "all has arrived" : "FAILED: something did not arrive as it was sent, or not along a tree");
    return good ? 0 : 3;
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.line());
    return static_cast<int>(error.exit_code());
  }
}
