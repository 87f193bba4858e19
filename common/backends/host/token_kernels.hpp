// The token kernels on host cores: lanes of a team are a vectorised loop, work items are spread over threads.
#pragma once

#include <memory>

#include "common/backends/host/isa.hpp"
#include "common/backends/token_kernels.hpp"

namespace rackproof {

/// threads: at most that many work on a kernel; small kernels run on the caller's alone, because waking threads costs
/// more than they save. `isa` must be one of host::supported_isas().
[[nodiscard]] std::unique_ptr<TokenKernels> make_host_token_kernels(int threads, host::Isa isa = host::best_isa());

}  // namespace rackproof
