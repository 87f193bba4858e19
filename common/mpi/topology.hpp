// Which rank runs where.
#pragma once

#include <string>
#include <vector>

#include "common/mpi/communicator.hpp"

namespace rackproof::mpi {

struct RankPlace {
  std::string host;
  int node_index = 0;  ///< nodes numbered by their lowest rank
  int local_rank = 0;  ///< within its node
};

/// The same on every rank.
struct Topology {
  std::vector<RankPlace> ranks;
  int nodes = 1;
  [[nodiscard]] int size() const noexcept { return static_cast<int>(ranks.size()); }
  [[nodiscard]] int ranks_on_node(int node_index) const;
};

/// Collective.
[[nodiscard]] Topology discover_topology(const Communicator& world);
/// A made-up topology of `ranks` ranks on one node, for `rackproof list` and tests.
[[nodiscard]] Topology single_node_topology(int ranks);

}  // namespace rackproof::mpi
