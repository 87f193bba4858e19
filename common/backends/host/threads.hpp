// Host threads of a rank, for every backend.
#pragma once

#include "common/backends/backend.hpp"
#include "common/backends/host/cpu.hpp"

namespace rackproof::host {

/// Sets the threads of OpenMP for this process to what threads_of_rank() says, and returns their number. Throws Error
/// (usage) where OMP_THREAD_LIMIT allows fewer than were asked for.
[[nodiscard]] int set_threads_of_rank(const Cpu& cpu, const DeviceRequest& request);

}  // namespace rackproof::host
