// RAII for what the CUDA runtime hands out.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>

#include "common/backends/cuda/check.hpp"

namespace rackproof::cuda {

struct DestroyStream {
  void operator()(cudaStream_t stream) const noexcept {
    log_unless_success(cudaStreamDestroy(stream), "cudaStreamDestroy");
  }
};
struct DestroyEvent {
  void operator()(cudaEvent_t event) const noexcept { log_unless_success(cudaEventDestroy(event), "cudaEventDestroy"); }
};
struct DestroyGraph {
  void operator()(cudaGraph_t graph) const noexcept { log_unless_success(cudaGraphDestroy(graph), "cudaGraphDestroy"); }
};
struct DestroyGraphExec {
  void operator()(cudaGraphExec_t graph) const noexcept {
    log_unless_success(cudaGraphExecDestroy(graph), "cudaGraphExecDestroy");
  }
};

using Stream = std::unique_ptr<CUstream_st, DestroyStream>;
using Event = std::unique_ptr<CUevent_st, DestroyEvent>;
using Graph = std::unique_ptr<CUgraph_st, DestroyGraph>;
using GraphExec = std::unique_ptr<CUgraphExec_st, DestroyGraphExec>;

}  // namespace rackproof::cuda
