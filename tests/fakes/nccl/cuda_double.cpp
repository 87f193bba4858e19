#include "tests/fakes/nccl/cuda_double.hpp"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

namespace rackproof::fake_nccl {
namespace {

template <typename Function>
bool look_up(Function& function, const char* name) {
  function = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
  return function != nullptr;
}

CudaDouble find_double() {
  CudaDouble cuda;
  const bool complete =
      look_up(cuda.enqueue, "rackproof_fake_enqueue_owned") && look_up(cuda.owns, "rackproof_fake_owns") &&
      look_up(cuda.fail, "rackproof_fake_fail") && look_up(cuda.last_error, "cudaGetLastError") &&
      look_up(cuda.error_string, "cudaGetErrorString") && look_up(cuda.stretch, "rackproof_fake_stretch") &&
      look_up(cuda.forgives_leaks, "rackproof_fake_forgives_leaks") &&
      look_up(cuda.forgive_leaks, "rackproof_fake_forgive_leaks") && look_up(cuda.hang, "rackproof_fake_hang") &&
      look_up(cuda.wait_for_what_hangs, "rackproof_fake_wait_for_what_hangs") &&
      look_up(cuda.get_device, "cudaGetDevice") && look_up(cuda.pci_bus_id, "cudaDeviceGetPCIBusId") &&
      look_up(cuda.allocate, "cudaMalloc") && look_up(cuda.release, "cudaFree") &&
      look_up(cuda.is_capturing, "cudaStreamIsCapturing");
  return complete ? cuda : CudaDouble{};
}

}  // namespace

const CudaDouble* cuda_double() {
  static const CudaDouble cuda = find_double();
  return cuda.enqueue == nullptr ? nullptr : &cuda;
}

bool succeeded(cudaError_t code) {
  if (code != cudaSuccess) (void)cuda_double()->last_error();
  return code == cudaSuccess;
}

void fail(const std::string& message) {
  if (const CudaDouble* cuda = cuda_double(); cuda != nullptr) cuda->fail(message.c_str());
  (void)std::fprintf(stderr, "fake nccl: %s\n", message.c_str());
  std::abort();
}

}  // namespace rackproof::fake_nccl
