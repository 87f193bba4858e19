// Nodes that ran other software than the rest of their rack, from the provenance of one file.
#pragma once

#include <string>
#include <vector>

#include "results/run_header.hpp"

namespace rackproof::results {

struct OddNode {
  int node_index = 0;
  std::string hostname;
  /// One line, printable: "libopenblasp 0.3.23 (build 1f2e3d4c), where 3 of 4 nodes have 0.3.21 (build a1b2c3d4)", and
  /// how many libraries more differ.
  std::string text;
};

/// A library is the same where its build id is (its version, where it has none). Odd is who has another than more than
/// half of the nodes that have it; where no half agrees, nobody can be named, and `undecided`, if given, gets a line. A
/// library that a node has not loaded is no difference: which ones MPI loads may depend on the rank.
[[nodiscard]] std::vector<OddNode> odd_nodes(const RunHeader& header, std::vector<std::string>* undecided = nullptr);

}  // namespace rackproof::results
