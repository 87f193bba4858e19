#include "common/backends/cuda/graph_recording.hpp"

#include <utility>

namespace rackproof::cuda {
namespace {

class GraphRecording final : public Recording {
 public:
  GraphRecording(CudaDevice& device, GraphExec graph, std::function<void()> work)
      : device_(device), graph_(std::move(graph)), work_(std::move(work)) {}

  void replay() override { device_.require(cudaGraphLaunch(graph_.get(), device_.stream()), "cudaGraphLaunch"); }

 private:
  CudaDevice& device_;
  GraphExec graph_;
  std::function<void()> work_;  ///< kept for what it keeps alive
};

Graph capture(CudaDevice& device, const std::function<void()>& work) {
  // Other threads (a collective's library) may call the runtime meanwhile.
  device.require(cudaStreamBeginCapture(device.stream(), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  cudaGraph_t graph = nullptr;
  try {
    work();
  } catch (...) {
    (void)cudaStreamEndCapture(device.stream(), &graph);
    (void)cudaGetLastError();
    const Graph discarded = own(graph, device.broken());
    throw;
  }
  device.require(cudaStreamEndCapture(device.stream(), &graph), "cudaStreamEndCapture");
  return own(graph, device.broken());
}

}  // namespace

std::unique_ptr<Recording> record_graph(CudaDevice& device, std::function<void()> work) {
  const Graph graph = capture(device, work);
  cudaGraphExec_t instance = nullptr;
  device.require(cudaGraphInstantiate(&instance, graph.get(), 0), "cudaGraphInstantiate");
  GraphExec executable = own(instance, device.broken());
  // Or the first replay would pay for it.
  device.require(cudaGraphUpload(executable.get(), device.stream()), "cudaGraphUpload");
  return std::make_unique<GraphRecording>(device, std::move(executable), std::move(work));
}

}  // namespace rackproof::cuda
