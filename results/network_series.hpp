// The collective cases of a result file that differ in message size alone. Internal to network_report.
#pragma once

#include <cstddef>
#include <regex>
#include <string>
#include <vector>

#include "common/stats/network_model.hpp"
#include "results/reader.hpp"

namespace rackproof::results {

struct NetworkSeries {
  std::string key;    ///< suite and all parameters but size, ranks, repetition: equal across files
  std::string label;  ///< what the names of its cases share: "allreduce/f32/out-of-place"
  std::size_t file = 0;
  int ranks = 0;
  int nodes = 0;            ///< 0: not known, of groups of ranks
  bool all_reduce = false;  ///< whose bounds and scaling are known
  std::vector<stats::SizeSamples> sizes;
};

/// Of the cases that match, were measured to their end and did not fail; ascending sizes. Repetitions of a case are
/// more samples of its size. Series of one rank are left out.
[[nodiscard]] std::vector<NetworkSeries> network_series(const ResultFile& file, std::size_t position,
                                                        const std::regex& wanted);

}  // namespace rackproof::results
