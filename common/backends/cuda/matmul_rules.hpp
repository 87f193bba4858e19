// What NVIDIA GPUs and cuBLASLt multiply, and how their sums are rounded, as far as it is published. No CUDA here.
#pragma once

#include <string>

#include "common/backends/device.hpp"

namespace rackproof::cuda {

/// Why a product is out of the question: the chip's compute capability (90 for 9.0), the cuBLASLt that rackproof was
/// built with (CUBLAS_VERSION), or the library's rules for layouts and extents (documentation of cublasLtMatmul()).
/// Empty: the library decides.
[[nodiscard]] std::string refuse_by_rule(const MatmulProblem& problem, int capability, int cublas_version);

/// Of the GPU's matrix units, by published measurements of their bits; of the CUDA cores where they have none (f32).
[[nodiscard]] Accumulation accumulation_of(const MatmulProblem& problem, int capability);

}  // namespace rackproof::cuda
