// What a GPU feels, as the driver tells.
#pragma once

#include <memory>

#include "common/backends/cuda/nvml.hpp"
#include "common/system/telemetry.hpp"

namespace rackproof::cuda {

/// power, energy, clock, memory_clock, temperature and throttle (nvml::clock_reasons) at each reading; errors of memory
/// and links, and the state of links, at every tenth.
[[nodiscard]] std::unique_ptr<TelemetrySource> make_nvml_telemetry(const NvmlGpu& gpu);

}  // namespace rackproof::cuda
