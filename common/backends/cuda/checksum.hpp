// Checksums of a GPU's memory (common/backends/kernels/checksum.hpp). Internal to this folder.
#pragma once

#include <cstdint>

#include "common/backends/cuda/token_kernels.hpp"

namespace rackproof::cuda {

/// Adds that of `count` words to `sum`, both on the GPU, in the order of `stream`.
void start_checksum(const std::uint32_t* words, std::int64_t count, std::uint64_t* sum, cudaStream_t stream,
                    const Require& require);

}  // namespace rackproof::cuda
