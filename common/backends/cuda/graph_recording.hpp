// Work captured in a CUDA graph. Internal to this folder.
#pragma once

#include <functional>
#include <memory>

#include "common/backends/cuda/cuda_device.hpp"

namespace rackproof::cuda {

/// Captures what `work` puts into the device's stream. `device` must outlive the recording. What `work` throws passes
/// through, and the stream is usable again then.
[[nodiscard]] std::unique_ptr<Recording> record_graph(CudaDevice& device, std::function<void()> work);

}  // namespace rackproof::cuda
