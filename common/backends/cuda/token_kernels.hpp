// The token kernels on a GPU: lanes of a team are the threads of a block.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <memory>

#include "common/backends/device.hpp"
#include "common/backends/token_kernels.hpp"

namespace rackproof::cuda {

/// Throws for anything but cudaSuccess, as CudaDevice::require() does.
using Require = std::function<void(cudaError_t code, const char* call)>;

/// Blocks of an attention that a GPU of so many multiprocessors has run at the same time: a block is a warp, and it
/// takes some of them to keep the memory of a multiprocessor's share busy.
[[nodiscard]] constexpr int attention_blocks_at_once(int multiprocessors) { return 16 * multiprocessors; }

/// cudaSuccess where this build has code that the current GPU runs.
[[nodiscard]] cudaError_t find_code();

/// Bytes of `partial` below.
[[nodiscard]] std::size_t partial_bytes(int multiprocessors);

/// All work goes to `stream`, which outlives the result. `partial`: partial_bytes(multiprocessors) of the GPU's memory
/// for the sums of split attentions.
[[nodiscard]] std::unique_ptr<TokenKernels> make_token_kernels(cudaStream_t stream, int multiprocessors,
                                                               std::unique_ptr<Buffer> partial, Require require);

}  // namespace rackproof::cuda
