// Peak rates of a GPU whose data sheet is not known. Internal to this folder.
#pragma once

#include "common/backends/cuda/cuda_device.hpp"

namespace rackproof::cuda {

/// Flop/s: the fastest of several products of 4096^3 of normals (smaller where the memory is small), by the device's
/// own clock, for f64, f32, tf32, bf16 (and f16, whose rate is that of bf16) and i8. Bytes/s, read and written: the
/// fastest copy of a buffer of four times the cache. About a second.
[[nodiscard]] Peaks measure_gpu_peaks(CudaDevice& device);

}  // namespace rackproof::cuda
