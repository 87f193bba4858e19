#include "launch/run_header.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "common/core/error.hpp"
#include "common/system/environment.hpp"
#include "common/system/identity.hpp"
#include "common/system/inventory.hpp"
#include "launch/run_binding.hpp"

namespace rackproof {
namespace {

results::CaseHeader to_header(const Case& one) {
  results::CaseHeader header;
  header.name = one.name;
  header.parameters = one.parameters;
  header.flop = one.work.flop;
  header.bytes = one.work.bytes;
  header.tokens = one.work.tokens;
  header.message_size = one.work.message_size;
  header.collective = one.collective;
  header.skip_reason = one.skip_reason;
  for (const Figure& figure : one.figures) {
    header.figures.push_back(
        {figure.name, figure.unit,
         figure.kind == Figure::Kind::rate ? results::FigureHeader::Kind::rate : results::FigureHeader::Kind::time,
         figure.amount});
  }
  return header;
}

nlohmann::ordered_json configuration(const RunOptions& options, const Platform& platform, const Device& device,
                                     Collectives& collectives) {
  nlohmann::ordered_json json;
  json["profile"] = options.suite_options.profile == Profile::quick ? "quick" : "accept";
  json["seed"] = options.suite_options.seed;
  json["order"] = options.shuffled ? nlohmann::ordered_json(options.order_seed.value_or(0)) : "listed";
  json["start"] = options.start == StartMode::automatic ? "auto"
                  : options.start == StartMode::window  ? "window"
                                                        : "barrier";
  json["buffers"] = options.suite_options.cold_buffers ? "cold" : "hot";
  json["time_budget_s"] = options.time_budget;
  json["precision"] = options.relative_half_width;
  json["max_samples"] = options.max_samples;
  json["device"] = options.device;
  json["threads_per_rank"] = device.threads();
  json["collective"] = collectives.get(collectives.names().front()).implementation();
  for (const std::string& one : collectives.names()) json["collectives"][one] = collectives.get(one).implementation();
  json["suite_options"] = options.suite_options.values;
  nlohmann::ordered_json peaks;
  peaks["source"] = platform.peaks.source;
  peaks["memory_bandwidth_bytes_per_s"] = platform.peaks.memory_bandwidth;
  for (const auto& [type, flops] : platform.peaks.flops) peaks["flop_per_s"][std::string(name(type))] = flops;
  json["peaks"] = peaks;
  return json;
}

nlohmann::ordered_json topology_to_json(const mpi::Topology& topology) {
  nlohmann::ordered_json nodes = nlohmann::ordered_json::array();
  for (int node = 0; node < topology.nodes; ++node) nodes.push_back({{"ranks", nlohmann::ordered_json::array()}});
  for (int rank = 0; rank < topology.size(); ++rank) {
    const mpi::RankPlace& place = topology.ranks[static_cast<std::size_t>(rank)];
    auto& node = nodes[static_cast<std::size_t>(place.node_index)];
    node["hostname"] = place.host;
    node["ranks"].push_back(rank);
  }
  return {{"nodes", nodes}};
}

/// What every rank may run on, on rank 0; `all_cores`: a JSON list of each rank.
std::vector<RankBinding> rank_bindings(const mpi::Topology& topology, const std::vector<std::string>& all_cores) {
  std::vector<RankBinding> ranks;
  for (std::size_t rank = 0; rank < all_cores.size(); ++rank) {
    const mpi::RankPlace& place = topology.ranks[rank];
    ranks.push_back({place.host, place.node_index, nlohmann::json::parse(all_cores[rank]).get<std::vector<int>>()});
  }
  return ranks;
}

}  // namespace

results::RunHeader make_run_header(const mpi::Communicator& world, const Platform& platform, const Device& device,
                                   Collectives& collectives, const RunOptions& options,
                                   const std::vector<SelectedSuite>& planned, const std::vector<std::string>& arguments,
                                   std::vector<std::string>& notices) {
  const auto ids = world.gather(device.id());
  const auto names = world.gather(device.name());
  const auto serials = world.gather(device.serial());
  const auto facts_of_devices = world.gather(nlohmann::ordered_json(device.facts()).dump());
  const auto all_cores = world.gather(nlohmann::json(process_cores()).dump());
  double fake = device.is_fake() ? 1.0 : 0.0;
  world.all_reduce_max({&fake, 1});

  // One inventory a node, from its first rank: the others there would say the same.
  const mpi::RankPlace& place = platform.topology.ranks[static_cast<std::size_t>(world.rank())];
  const bool speaks = place.local_rank == 0;
  const mpi::Communicator speakers = world.split(speaks ? 0 : 1, world.rank());
  std::vector<std::string> inventories;
  if (speaks) inventories = speakers.gather(inventory().dump());

  results::RunHeader header;
  if (!world.is_root()) return header;
  header.run_id = uuid4();
  header.date = utc_timestamp();
  header.software = "rackproof";
  header.software_version = RACKPROOF_VERSION;
  header.device_fake = fake > 0.0;
  header.max_samples = options.max_samples;
  nlohmann::ordered_json devices = nlohmann::ordered_json::array();
  for (int rank = 0; rank < world.size(); ++rank) {
    const auto r = static_cast<std::size_t>(rank);
    const mpi::RankPlace& where = platform.topology.ranks[r];
    devices.push_back(nlohmann::ordered_json::parse(facts_of_devices[r]));
    header.ranks.push_back({where.host, ids[r], names[r], serials[r], where.node_index, where.local_rank,
                            devices.back().value("uuid", std::string())});
  }
  for (const SelectedSuite& suite : planned) {
    results::SuiteHeader one;
    one.name = suite.suite->name();
    for (const Case& which : suite.cases) {
      one.cases.push_back(to_header(which));
      one.pairs = one.pairs || which.pairs;
    }
    header.suites.push_back(std::move(one));
  }

  nlohmann::ordered_json machines = nlohmann::ordered_json::array();
  nlohmann::ordered_json libraries = nlohmann::ordered_json::array();
  for (const std::string& text : inventories) {
    auto facts = nlohmann::ordered_json::parse(text);
    libraries.push_back(std::move(facts["process"]));
    machines.push_back(std::move(facts["machine"]));
  }
  // Nodes are numbered by their first ranks, whose inventories these are.
  std::vector<NodeCores> nodes;
  for (const auto& machine : machines) nodes.push_back(node_cores(machine["cpu"]));
  const std::vector<RankBinding> bindings = rank_bindings(platform.topology, all_cores);
  const std::string notice = binding_notice(bindings, nodes);
  if (!notice.empty()) notices.push_back(notice);
  header.provenance["command"] = recorded_command_line(arguments);
  header.provenance["configuration"] = configuration(options, platform, device, collectives).dump(2);
  header.provenance["environment"] = nlohmann::ordered_json(recorded_environment()).dump(2);
  header.provenance["topology"] = topology_to_json(platform.topology).dump(2);
  header.provenance["binding"] = binding_facts(bindings, nodes).dump();
  header.provenance["machines"] = machines.dump(2);
  header.provenance["libraries"] = libraries.dump(2);
  // One entry a rank, empty where the device has no more to say than the root's columns.
  header.provenance["devices"] = devices.dump(2);
  nlohmann::ordered_json labels = nlohmann::ordered_json::object();
  for (const auto& [key, value] : options.labels) {
    labels[key] = names_a_secret(key) ? "<redacted>" : redact_credentials(value);
  }
  header.provenance["labels"] = labels.dump(2);
  return header;
}

}  // namespace rackproof
