// The cases of the suite, from its options.
#pragma once

#include <vector>

#include "suites/allreduce/workload.hpp"
#include "suites/suite.hpp"

namespace rackproof::allreduce {

[[nodiscard]] std::vector<OptionSpec> option_specs();
/// Throws Error (usage).
[[nodiscard]] std::vector<Case> make_cases(const Options& options, const Platform& platform);
/// What a case of make_cases() does, from its parameters.
[[nodiscard]] Spec spec_of(const Case& which, const mpi::Topology& topology);

}  // namespace rackproof::allreduce
