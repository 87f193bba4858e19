// `run --limits`: what each case is measured against while it runs.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "common/measure/stopping.hpp"
#include "common/mpi/communicator.hpp"
#include "results/run_header.hpp"

namespace rackproof {

/// The same on every rank.
struct RunLimits {
  stats::SequentialPlan plan;
  struct Row {
    std::size_t suite;
    std::size_t row;
    TimeBound bound;
  };
  std::vector<Row> rows;

  /// Of one case of the file.
  [[nodiscard]] std::vector<TimeBound> of(std::size_t suite, std::size_t row) const;
};

/// Collective. Rank 0 reads the limits (results::load_limits()) and matches them with `header`, which it alone has, and
/// to whose provenance it adds them and the plan of the sequential test. Throws the same Error (usage) on every rank.
/// Without a name: no limits.
[[nodiscard]] RunLimits make_run_limits(const mpi::Communicator& world, const std::string& name,
                                        results::RunHeader& header);

}  // namespace rackproof
