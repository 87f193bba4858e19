// What data sheets say of GPUs.
#pragma once

#include <optional>
#include <string_view>

#include "common/backends/device.hpp"

namespace rackproof::cuda {

/// Dense peaks (no sparsity) and memory bandwidth of the GPU of this name, as the driver gives it ("NVIDIA H100 80GB
/// HBM3"); nothing for one that is not in the table, or a part of one (MIG). A type that is missing in the result is
/// missing in the sources.
[[nodiscard]] std::optional<Peaks> data_sheet_peaks(std::string_view device_name);

}  // namespace rackproof::cuda
