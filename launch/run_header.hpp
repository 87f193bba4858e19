// What the result file says before the first case has run.
#pragma once

#include <string>
#include <vector>

#include "common/backends/collective.hpp"
#include "common/backends/device.hpp"
#include "common/mpi/communicator.hpp"
#include "launch/run_options.hpp"
#include "results/run_header.hpp"
#include "suites/suite.hpp"

namespace rackproof {

/// Collective. Complete on rank 0; elsewhere empty. `notices` gets lines for the user, on rank 0.
[[nodiscard]] results::RunHeader make_run_header(const mpi::Communicator& world, const Platform& platform,
                                                 const Device& device, Collectives& collectives,
                                                 const RunOptions& options, const std::vector<SelectedSuite>& planned,
                                                 const std::vector<std::string>& arguments,
                                                 std::vector<std::string>& notices);

}  // namespace rackproof
