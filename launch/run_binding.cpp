#include "launch/run_binding.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <map>

namespace rackproof {
namespace {

bool share_cores(const std::vector<int>& a, const std::vector<int>& b) {
  return std::any_of(a.begin(), a.end(), [&b](int core) { return std::binary_search(b.begin(), b.end(), core); });
}

const NodeCores& node_of(const RankBinding& rank, const std::vector<NodeCores>& nodes) {
  static const NodeCores unknown;
  const auto index = static_cast<std::size_t>(rank.node_index);
  return index < nodes.size() ? nodes[index] : unknown;
}

bool is_bound(const RankBinding& rank, const NodeCores& node) {
  return static_cast<int>(rank.cores.size()) < node.threads;
}

}  // namespace

NodeCores node_cores(const nlohmann::ordered_json& cpu) {
  NodeCores node;
  node.threads = cpu.value("threads", 0);
  if (!cpu.contains("numa")) return node;
  for (const auto& numa : cpu["numa"]) {
    node.numa.push_back({numa.value("node", 0), numa.value("threads", std::vector<int>{})});
  }
  return node;
}

std::string core_ranges(const std::vector<int>& cores) {
  std::string text;
  for (std::size_t begin = 0; begin < cores.size();) {
    std::size_t end = begin;
    while (end + 1 < cores.size() && cores[end + 1] == cores[end] + 1) ++end;
    text += fmt::format("{}{}", text.empty() ? "" : ",", cores[begin]);
    if (end > begin) text += fmt::format("-{}", cores[end]);
    begin = end + 1;
  }
  return text;
}

nlohmann::ordered_json binding_facts(const std::vector<RankBinding>& ranks, const std::vector<NodeCores>& nodes) {
  nlohmann::ordered_json facts = nlohmann::ordered_json::array();
  for (const RankBinding& rank : ranks) {
    const NodeCores& node = node_of(rank, nodes);
    nlohmann::ordered_json one = nlohmann::ordered_json::object();
    if (!rank.cores.empty()) {
      one["cores"] = core_ranges(rank.cores);
      one["numa_nodes"] = nlohmann::ordered_json::array();
      for (const NodeCores::Numa& numa : node.numa) {
        if (share_cores(rank.cores, numa.cores)) one["numa_nodes"].push_back(numa.number);
      }
      if (node.threads > 0) one["bound"] = is_bound(rank, node);
    }
    facts.push_back(std::move(one));
  }
  return facts;
}

std::string binding_notice(const std::vector<RankBinding>& ranks, const std::vector<NodeCores>& nodes) {
  std::map<int, std::vector<std::size_t>> by_node;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) by_node[ranks[rank].node_index].push_back(rank);
  std::size_t sharing = 0;
  std::string first;
  for (const auto& [index, members] : by_node) {
    // More ranks than threads have to share.
    if (static_cast<int>(members.size()) > node_of(ranks[members.front()], nodes).threads) continue;
    std::map<int, std::size_t> owner;  // of each core: the first rank that has it
    std::vector<std::size_t> hit;
    for (const std::size_t rank : members) {
      for (const int core : ranks[rank].cores) {
        const auto [known, is_new] = owner.try_emplace(core, rank);
        if (is_new) continue;
        if (first.empty()) {
          const bool unbound = !is_bound(ranks[rank], node_of(ranks[rank], nodes));
          first = fmt::format("ranks {} and {} on {} share cores {}{}", known->second, rank, ranks[rank].host,
                              core_ranges(ranks[rank].cores), unbound ? ", all of the node: they are not bound" : "");
        }
        hit.push_back(known->second);
        hit.push_back(rank);
      }
    }
    std::sort(hit.begin(), hit.end());
    sharing += static_cast<std::size_t>(std::unique(hit.begin(), hit.end()) - hit.begin());
  }
  if (sharing == 0) return {};
  return fmt::format(
      "{} of {} ranks share cores with another: {}; bind them (srun --cpus-per-task=N --cpu-bind=cores, mpirun "
      "--bind-to core)",
      sharing, ranks.size(), first);
}

}  // namespace rackproof
