#include "common/backends/cuda/buffers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "common/core/units.hpp"

namespace rackproof::cuda {
namespace {

template <cudaError_t (*Free)(void*)>
class CudaBuffer final : public Buffer {
 public:
  CudaBuffer(void* data, std::size_t bytes, CudaDevice& device) : data_(data), bytes_(bytes), device_(device) {}
  ~CudaBuffer() override {
    // To free waits for all that the GPU was asked for, without end.
    if (device_.settles()) log_unless_success(Free(data_), "cudaFree");
  }
  [[nodiscard]] void* data() const noexcept override { return data_; }
  [[nodiscard]] std::size_t bytes() const noexcept override { return bytes_; }

 private:
  void* data_;
  std::size_t bytes_;
  CudaDevice& device_;
};

Event make_event_without_time(const CudaDevice& device) {
  cudaEvent_t event = nullptr;
  device.require(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  return own(event, device.broken());
}

}  // namespace

std::unique_ptr<Buffer> make_device_buffer(CudaDevice& device, std::size_t bytes) {
  void* data = nullptr;
  const cudaError_t code = cudaMalloc(&data, std::max<std::size_t>(bytes, 1));
  if (code == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    std::size_t available = 0;
    std::size_t total = 0;
    device.require(cudaMemGetInfo(&available, &total), "cudaMemGetInfo");
    throw Error(
        ExitCode::infrastructure, "cuda", static_cast<int>(code), "cudaMalloc",
        fmt::format("{} of the GPU's memory were asked for, {} of {} are free; stop what else uses it, or choose "
                    "a smaller case",
                    format_bytes(static_cast<double>(bytes)), format_bytes(static_cast<double>(available)),
                    format_bytes(static_cast<double>(total))),
        device.place());
  }
  device.require(code, "cudaMalloc");
  return std::make_unique<CudaBuffer<cudaFree>>(data, bytes, device);
}

std::unique_ptr<Buffer> make_pinned_buffer(CudaDevice& device, std::size_t bytes) {
  void* data = nullptr;
  device.require(cudaHostAlloc(&data, std::max<std::size_t>(bytes, 1), cudaHostAllocDefault), "cudaHostAlloc");
  return std::make_unique<CudaBuffer<cudaFreeHost>>(data, bytes, device);
}

Staging::Staging(CudaDevice& device)
    : device_(device),
      pieces_{device.allocate_pinned(piece), device.allocate_pinned(piece)},
      events_{make_event_without_time(device), make_event_without_time(device)} {}

void Staging::to_device(void* device, const void* host, std::size_t bytes) {
  std::size_t turn = 0;
  for (std::size_t at = 0; at < bytes; at += piece, ++turn) {
    const std::size_t length = std::min(piece, bytes - at);
    const std::size_t slot = turn % pieces_.size();
    // An event that was never recorded counts as passed.
    device_.wait(events_[slot].get());
    std::memcpy(pieces_[slot]->data(), static_cast<const std::byte*>(host) + at, length);
    device_.require(cudaMemcpyAsync(static_cast<std::byte*>(device) + at, pieces_[slot]->data(), length,
                                    cudaMemcpyHostToDevice, device_.stream()),
                    "cudaMemcpyAsync");
    device_.require(cudaEventRecord(events_[slot].get(), device_.stream()), "cudaEventRecord");
  }
}

void Staging::to_host(void* host, const void* device, std::size_t bytes) {
  const std::size_t turns = (bytes + piece - 1) / piece;
  for (std::size_t turn = 0; turn <= turns; ++turn) {
    if (turn < turns) {
      const std::size_t slot = turn % pieces_.size();
      const std::size_t at = turn * piece;
      device_.require(cudaMemcpyAsync(pieces_[slot]->data(), static_cast<const std::byte*>(device) + at,
                                      std::min(piece, bytes - at), cudaMemcpyDeviceToHost, device_.stream()),
                      "cudaMemcpyAsync");
      device_.require(cudaEventRecord(events_[slot].get(), device_.stream()), "cudaEventRecord");
    }
    if (turn == 0) continue;
    const std::size_t slot = (turn - 1) % pieces_.size();
    const std::size_t at = (turn - 1) * piece;
    device_.wait(events_[slot].get());
    std::memcpy(static_cast<std::byte*>(host) + at, pieces_[slot]->data(), std::min(piece, bytes - at));
  }
}

}  // namespace rackproof::cuda
