// Errors of the CUDA runtime.
#pragma once

#include <cuda_runtime_api.h>

#include "common/core/error.hpp"

namespace rackproof::cuda {

/// Throws Error for anything but cudaSuccess: infrastructure where the part or its driver failed, usage where the user
/// can mend it (no device, a driver older than the runtime), internal where we called it wrongly. `place.device` names
/// the GPU.
void check(cudaError_t code, const char* call, const Place& place = {});

/// True for errors after which this process can use the GPU no more: a lost or broken GPU, a kernel that went astray.
[[nodiscard]] bool is_sticky(cudaError_t code);

/// For destructors: logs what check() would throw.
void log_unless_success(cudaError_t code, const char* call) noexcept;

}  // namespace rackproof::cuda
