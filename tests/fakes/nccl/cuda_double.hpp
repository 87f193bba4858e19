// The fake CUDA runtime that this process has loaded. It is looked up, not linked: libnccl.so.2 is opened by programs
// that have it already.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <string>

namespace rackproof::fake_nccl {

struct CudaDouble {
  decltype(&::cudaGetLastError) last_error = nullptr;
  decltype(&::cudaGetErrorString) error_string = nullptr;
  decltype(&::cudaGetDevice) get_device = nullptr;
  decltype(&::cudaDeviceGetPCIBusId) pci_bus_id = nullptr;
  decltype(&::cudaStreamIsCapturing) is_capturing = nullptr;
  cudaError_t (*allocate)(void**, std::size_t) = nullptr;
  decltype(&::cudaFree) release = nullptr;
  int (*enqueue)(cudaStream_t, void (*)(void*), void*, void (*)(void*)) = nullptr;
  int (*owns)(const void*, std::size_t) = nullptr;
  void (*stretch)(double) = nullptr;
  int (*forgives_leaks)() = nullptr;
  void (*forgive_leaks)() = nullptr;
  void (*hang)() = nullptr;
  void (*wait_for_what_hangs)() = nullptr;
  void (*fail)(const char*) = nullptr;
};

/// Null where the process has the real runtime or none.
[[nodiscard]] const CudaDouble* cuda_double();
/// True for cudaSuccess. The runtime keeps an error until it is asked for; this library deals with its own.
[[nodiscard]] bool succeeded(cudaError_t code);
/// Misuse was found: says so and ends the process.
[[noreturn]] void fail(const std::string& message);

}  // namespace rackproof::fake_nccl
