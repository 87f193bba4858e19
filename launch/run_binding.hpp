// What each rank is bound to, from what the kernel and hwloc say, not from what the launcher was asked for.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace rackproof {

/// One rank's share of its node.
struct RankBinding {
  std::string host;
  int node_index = 0;
  std::vector<int> cores;  ///< hardware threads that it may run on, ascending; empty: unknown
};

/// One node, from its machine_inventory(): hardware threads, and those of each NUMA node.
struct NodeCores {
  int threads = 0;  ///< 0: unknown
  struct Numa {
    int number = 0;
    std::vector<int> cores;
  };
  std::vector<Numa> numa;
};

/// Of the "cpu" part of machine_inventory().
[[nodiscard]] NodeCores node_cores(const nlohmann::ordered_json& cpu);

/// "0-3,8": numbers in ascending order.
[[nodiscard]] std::string core_ranges(const std::vector<int>& cores);

/// One entry a rank: {"cores": "0-3", "numa_nodes": [0], "bound": true}. bound: to fewer threads than the node has;
/// left out where unknown. `nodes`: by node_index.
[[nodiscard]] nlohmann::ordered_json binding_facts(const std::vector<RankBinding>& ranks,
                                                   const std::vector<NodeCores>& nodes);

/// One line where ranks of a node share cores although there would be enough for each, which names the first two; empty
/// where there are none.
[[nodiscard]] std::string binding_notice(const std::vector<RankBinding>& ranks, const std::vector<NodeCores>& nodes);

}  // namespace rackproof
