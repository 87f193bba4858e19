// The one place that starts functors of common/backends/kernels/ on a GPU.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/backends/cuda/block_team.cuh"
#include "common/backends/cuda/serial_team.hpp"
#include "common/backends/cuda/token_kernels.hpp"

// Where a library stands in for the CUDA runtime, it gets the host twin of each kernel by this. Nobody defines it
// otherwise.
extern "C" __attribute__((weak)) void rackproof_fake_register_kernel(
    const void* host_stub, void (*twin)(void** arguments, dim3 grid, dim3 block, std::size_t shared_bytes));

namespace rackproof::cuda {

/// Thread blocks take the functor's blocks in turn: there may be more of these than a grid can have.
template <typename Functor>
__global__ void __launch_bounds__(Functor::most_lanes) run_functor(const Functor functor, std::int64_t blocks) {
  extern __shared__ float4 scratch[];
  __shared__ float partial[most_warps];
  const BlockTeam team(partial);
  for (std::int64_t block = blockIdx.x; block < blocks; block += gridDim.x) {
    functor(team, block, reinterpret_cast<float*>(scratch));
    team.barrier();  // the next block gets the same scratch
  }
}

/// What run_functor does, on the host.
template <typename Functor>
void run_twin(void** arguments, dim3 /*grid*/, dim3 /*block*/, std::size_t shared_bytes) {
  const Functor& functor = *static_cast<const Functor*>(arguments[0]);
  const std::int64_t blocks = *static_cast<const std::int64_t*>(arguments[1]);
  std::vector<float> scratch(shared_bytes / sizeof(float));
  for (std::int64_t block = 0; block < blocks; ++block) functor(SerialTeam(), block, scratch.data());
}

/// Has the GPU's code of these functors loaded, which is done at their first start otherwise: that could come while a
/// stream is captured.
template <typename... Functors>
void load(const Require& require) {
  cudaFuncAttributes attributes{};
  (require(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(&run_functor<Functors>)),
           "load of the token kernels"),
   ...);
}

/// Starts all blocks of the functor on the stream. `scratch`: floats that a block needs. `require` throws where the
/// start is refused; what goes wrong later shows when the stream is waited for.
template <typename Functor>
void launch(const Functor& functor, std::int64_t scratch, const char* name, cudaStream_t stream,
            const Require& require) {
  constexpr std::int64_t most_blocks = 2147483647;           // of a grid in x
  constexpr std::size_t shared_without_asking = 48U << 10U;  // CUDA C++ Programming Guide, shared memory of 7.x on
  const auto stub = reinterpret_cast<const void*>(&run_functor<Functor>);
  if (rackproof_fake_register_kernel != nullptr) rackproof_fake_register_kernel(stub, &run_twin<Functor>);

  Functor copy = functor;
  std::int64_t blocks = functor.blocks();
  if (blocks <= 0) return;
  const std::int64_t lanes = std::min(functor.lanes(), std::int64_t{Functor::most_lanes});
  const auto threads = static_cast<unsigned>((lanes + warp_lanes - 1) / warp_lanes * warp_lanes);
  const std::size_t shared = static_cast<std::size_t>(scratch) * sizeof(float);
  if (shared > shared_without_asking) {
    require(cudaFuncSetAttribute(stub, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared)), name);
  }
  void* arguments[] = {&copy, &blocks};
  require(cudaLaunchKernel(stub, dim3(static_cast<unsigned>(std::min(blocks, most_blocks))), dim3(threads), arguments,
                           shared, stream),
          name);
}

}  // namespace rackproof::cuda
