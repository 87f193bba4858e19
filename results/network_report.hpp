// What result files say of the network: a model of every collective's time over its message size, and over ranks.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace rackproof::results {

struct NetworkOptions {
  std::string case_regex{};     ///< ECMAScript, found anywhere in the case's name; empty: all
  double link_bandwidth = 0.0;  ///< B/s, one way, of one rank; 0: not known, and no bounds are printed
  double link_latency = 0.0;    ///< s, of one message; 0: not counted
  double node_bandwidth = 0.0;  ///< B/s, one way, of one node; 0: not known
  int extrapolate = 0;          ///< ranks to predict the time of; 0: none
};

/// For each series of collective cases that differ in message size alone: the segments of its model with 95 %
/// intervals, crossover sizes, sizes off the model (stats/network_model.hpp), bounds and efficiency
/// (stats/network_bounds.hpp); from files of several rank counts what a step and a byte cost over all of them, the
/// prediction for options.extrapolate ranks, and the back-test (stats/network_scaling.hpp). Names the sizes whose
/// samples are too few or too scattered, and counts the cases left out because of times that cannot be. Ends with a
/// newline. Throws Error (usage), one line: a file that is none or has no such series, one run given twice, nothing
/// that matches, or an extrapolation from one rank count.
[[nodiscard]] std::string network_report(const std::vector<std::filesystem::path>& files,
                                         const NetworkOptions& options = {});

}  // namespace rackproof::results
