// Memory of a GPU, and of the host where the GPU reaches it by itself. Internal to this folder.
#pragma once

#include <array>
#include <memory>

#include "common/backends/cuda/cuda_device.hpp"

namespace rackproof::cuda {

/// cudaMalloc. Throws Error (infrastructure) that says how much was asked for and how much there is. The device must
/// outlive its buffers.
[[nodiscard]] std::unique_ptr<Buffer> make_device_buffer(CudaDevice& device, std::size_t bytes);
/// cudaHostAlloc.
[[nodiscard]] std::unique_ptr<Buffer> make_pinned_buffer(CudaDevice& device, std::size_t bytes);

/// Copies pageable host memory through two pinned pieces: while the GPU takes one, the host fills the other. The driver
/// does the same with smaller pieces, one after the other.
class Staging {
 public:
  static constexpr std::size_t piece = std::size_t{16} << 20U;

  explicit Staging(CudaDevice& device);
  void to_device(void* device, const void* host, std::size_t bytes);
  void to_host(void* host, const void* device, std::size_t bytes);

 private:
  CudaDevice& device_;
  std::array<std::unique_ptr<Buffer>, 2> pieces_;
  std::array<Event, 2> events_;
};

}  // namespace rackproof::cuda
