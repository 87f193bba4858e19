// A file of all-reduces whose times are given, for the tests of what is read out of a network.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "common/stats/network_model.hpp"
#include "results/writer.hpp"
#include "tests/unit/result_file_fixture.hpp"

namespace rackproof::results::testing {

/// Which measurements a file gets.
struct Sweep {
  int ranks = 2;
  int ranks_a_node = 2;
  std::string type = "f32";
  std::string run_id = "3f0c1d3e-5b1f-4c1e-9d53-0d8f5e2f7a11";
  Status status = Status::passed;
  std::string groups{};  ///< empty: no such parameter
  std::string operation{};
  std::string backend{};
  bool repeated = false;  ///< sizes that come again are repetitions
};

/// As launch/run_benchmarks.hpp names them.
inline void set_repetition(CaseHeader& one, const std::vector<stats::SizeSamples>& sizes, std::size_t which) {
  const auto earlier = std::span(sizes).first(which);
  const auto repetition =
      std::count_if(earlier.begin(), earlier.end(), [&](const auto& s) { return s.bytes == sizes[which].bytes; });
  one.parameters.set("repetition", std::int64_t{repetition});
  if (repetition > 0) one.name += fmt::format("/repetition{}", repetition);
}

/// A file of the allreduce suite with these sizes.
inline std::filesystem::path write_sweep(const std::filesystem::path& path, const Sweep& sweep,
                                         const std::vector<stats::SizeSamples>& sizes) {
  RunHeader header = example_header();
  header.run_id = sweep.run_id;
  header.max_samples = 500;
  header.ranks.clear();
  for (int r = 0; r < sweep.ranks; ++r) {
    header.ranks.push_back({fmt::format("node-{}", r / sweep.ranks_a_node), fmt::format("host:{}", r), "CPU", "",
                            r / sweep.ranks_a_node, r % sweep.ranks_a_node});
  }
  SuiteHeader suite{"allreduce", {}};
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const auto bytes = static_cast<std::int64_t>(sizes[i].bytes);
    CaseHeader one;
    one.name = fmt::format("allreduce/{}/{}B/in-place", sweep.type, bytes);
    one.parameters = {{"type", sweep.type},
                      {"count", bytes / 4},
                      {"in_place", std::int64_t{1}},
                      {"ranks", std::int64_t{sweep.ranks}}};
    if (!sweep.groups.empty()) one.parameters.set("groups", sweep.groups);
    if (!sweep.operation.empty()) one.parameters.set("operation", sweep.operation);
    if (!sweep.backend.empty()) one.parameters.set("backend", sweep.backend);
    one.message_size = bytes;
    one.collective = true;
    if (sweep.repeated) set_repetition(one, sizes, i);
    suite.cases.push_back(one);
  }
  header.suites = {suite};
  Writer writer(path, header);
  for (std::size_t c = 0; c < sizes.size(); ++c) {
    const auto samples = static_cast<int>(sizes[c].times.size());
    writer.write_block(0, c, example_block(0, c, 0, sweep.ranks, samples));
    CaseOutcome outcome = example_outcome(0, c, sweep.ranks, samples, sweep.status);
    outcome.figure_time = sizes[c].times;
    writer.finish_case(0, c, outcome);
  }
  writer.finish();
  return path;
}

}  // namespace rackproof::results::testing
