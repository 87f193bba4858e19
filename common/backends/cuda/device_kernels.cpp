// The kernels of a CudaDevice.
#include "common/backends/cuda/checksum.hpp"
#include "common/backends/cuda/cuda_device.hpp"
#include "common/backends/cuda/token_kernels.hpp"

namespace rackproof::cuda {

TokenKernels& CudaDevice::token_kernels() {
  if (token_kernels_ == nullptr) {
    const int multiprocessors = properties_.multiProcessorCount;
    token_kernels_ = make_token_kernels(stream(), multiprocessors, allocate(partial_bytes(multiprocessors)),
                                        [this](cudaError_t code, const char* call) { require(code, call); });
  }
  return *token_kernels_;
}

void CudaDevice::checksum(const void* data, std::size_t bytes, std::uint64_t* sum) {
  start_checksum(static_cast<const std::uint32_t*>(data), static_cast<std::int64_t>(bytes / sizeof(std::uint32_t)), sum,
                 stream(), [this](cudaError_t code, const char* call) { require(code, call); });
}

}  // namespace rackproof::cuda
