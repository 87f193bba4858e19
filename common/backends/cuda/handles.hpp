// RAII for what the CUDA runtime hands out.
#pragma once

#include <cuda_runtime_api.h>

#include <atomic>
#include <memory>
#include <type_traits>
#include <utility>

#include "common/backends/cuda/check.hpp"

namespace rackproof::cuda {

/// True once the process can use its GPU no more. Shared with what lives on the GPU: then that is left to the end of
/// the process, for to free it may wait for work that never ends.
using Broken = std::shared_ptr<std::atomic<bool>>;

/// Destroys a handle, unless its GPU was given up.
template <typename Handle, cudaError_t (*Destroy)(Handle)>
class Release {
 public:
  Release() = default;
  Release(Broken broken, const char* call) : broken_(std::move(broken)), call_(call) {}
  void operator()(Handle handle) const noexcept {
    if (!broken_->load()) log_unless_success(Destroy(handle), call_);
  }

 private:
  Broken broken_;
  const char* call_ = nullptr;
};

template <typename Handle, cudaError_t (*Destroy)(Handle)>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, Release<Handle, Destroy>>;

using Stream = Owned<cudaStream_t, cudaStreamDestroy>;
using Event = Owned<cudaEvent_t, cudaEventDestroy>;
using Graph = Owned<cudaGraph_t, cudaGraphDestroy>;
using GraphExec = Owned<cudaGraphExec_t, cudaGraphExecDestroy>;

[[nodiscard]] inline Stream own(cudaStream_t stream, const Broken& broken) {
  return {stream, {broken, "cudaStreamDestroy"}};
}
[[nodiscard]] inline Event own(cudaEvent_t event, const Broken& broken) {
  return {event, {broken, "cudaEventDestroy"}};
}
[[nodiscard]] inline Graph own(cudaGraph_t graph, const Broken& broken) {
  return {graph, {broken, "cudaGraphDestroy"}};
}
[[nodiscard]] inline GraphExec own(cudaGraphExec_t graph, const Broken& broken) {
  return {graph, {broken, "cudaGraphExecDestroy"}};
}

}  // namespace rackproof::cuda
