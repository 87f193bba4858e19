// Time by a GPU's own clock. Internal to this folder.
#pragma once

#include <memory>

#include "common/backends/cuda/cuda_device.hpp"

namespace rackproof::cuda {

/// By events in the device's stream. `device` must outlive the timer.
[[nodiscard]] std::unique_ptr<DeviceTimer> make_event_timer(CudaDevice& device);

}  // namespace rackproof::cuda
