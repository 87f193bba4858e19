// Which ranks take part in one collective together.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/mpi/topology.hpp"

namespace rackproof::allreduce {

/// A split of the world: every rank is in exactly one group, and all groups run at the same time.
struct Groups {
  std::string name;         ///< "world", "node", "across", "every-4", "tp8"
  std::vector<int> colors;  ///< of each rank
  int count = 1;
  int ranks = 0;            ///< of a group, the same for all
  std::string skip_reason;  ///< not empty: groups of different size, whose figures would mean nothing
  [[nodiscard]] bool is_world() const noexcept { return count == 1; }
};

/// "world": all; "node": the ranks of a node; "across": the first ranks of all nodes, the second ones, ...;
/// "every-N": ranks r, r + N, r + 2 N, ...; "tpN": neighbours, N each, as the ranks that share a model are.
/// Throws Error (usage), of the option --groups.
[[nodiscard]] Groups make_groups(std::string_view text, const mpi::Topology& topology);

}  // namespace rackproof::allreduce
