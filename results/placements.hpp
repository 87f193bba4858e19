// Who measured what in a run that was interrupted and went on on other hosts. Internal to this folder.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <vector>

#include "results/run_header.hpp"

namespace rackproof::results {

/// provenance/resumed of a run that went on: JSON, one entry a launch.
inline constexpr const char* resumed_key = "resumed";

/// The distinct sets of ranks of a run, with their hosts and devices: one, unless it went on elsewhere.
struct Placements {
  std::vector<std::vector<RankHeader>> ranks;
  std::vector<std::size_t> of_launch;  ///< by launch: into `ranks`; the last is that of RunHeader::ranks
};

/// As provenance/resumed has them. Launches without ranks of their own are those of the file's. Throws damage()
/// where they make no sense.
[[nodiscard]] Placements placements_of(const RunHeader& header);

/// The ranks of a launch as provenance/resumed keeps them: a list a column. Where a rank sits (node_index, local_rank)
/// is the same in all launches.
[[nodiscard]] nlohmann::ordered_json ranks_to_json(const std::vector<RankHeader>& ranks);

}  // namespace rackproof::results
