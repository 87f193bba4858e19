// The token kernels of a CudaDevice.
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

}  // namespace rackproof::cuda
