#include "common/mpi/topology.hpp"

#include <algorithm>
#include <array>
#include <map>

namespace rackproof::mpi {

int Topology::ranks_on_node(int node_index) const {
  return static_cast<int>(std::count_if(
      ranks.begin(), ranks.end(), [node_index](const RankPlace& place) { return place.node_index == node_index; }));
}

Topology discover_topology(const Communicator& world) {
  const Communicator node = world.split_node();
  // A node is known by the lowest world rank on it, which leads it because split_node() keeps the order of ranks.
  std::array<std::int64_t, 1> leader{world.rank()};
  node.broadcast(leader);

  const auto size = static_cast<std::size_t>(world.size());
  std::vector<double> places =
      world.gather(std::array<double, 2>{static_cast<double>(leader[0]), static_cast<double>(node.rank())});
  std::vector<std::string> hosts = world.gather(host_name());
  places.resize(2 * size);
  hosts.resize(size);
  world.broadcast(places);

  // One text for all names instead of a broadcast a rank. Host names hold no line breaks.
  std::string joined;
  for (const std::string& host : hosts) joined += host + '\n';
  world.broadcast(joined);

  Topology topology;
  topology.ranks.resize(size);
  std::map<int, int> index_of;  // leader -> node index; leaders ascend with the ranks that lead
  std::size_t line = 0;
  for (std::size_t r = 0; r < size; ++r) {
    const std::size_t end = joined.find('\n', line);
    const auto lead = static_cast<int>(places[2 * r]);
    const auto [entry, is_new] = index_of.try_emplace(lead, static_cast<int>(index_of.size()));
    topology.ranks[r] = {joined.substr(line, end - line), entry->second, static_cast<int>(places[2 * r + 1])};
    line = end + 1;
  }
  topology.nodes = static_cast<int>(index_of.size());
  return topology;
}

Topology single_node_topology(int ranks) {
  Topology topology;
  for (int r = 0; r < ranks; ++r) topology.ranks.push_back({"localhost", 0, r});
  return topology;
}

}  // namespace rackproof::mpi
