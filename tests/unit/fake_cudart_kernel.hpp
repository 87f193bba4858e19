// A kernel that nvcc compiled, for tests of the fake CUDA runtime.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

namespace rackproof {

/// data[i] = factor x data[i] + offset for i in [0, count).
void launch_scale(float* data, std::size_t count, float factor, float offset, cudaStream_t stream);
/// A kernel that has no twin on the host.
void launch_unknown(float* data, cudaStream_t stream);

}  // namespace rackproof
