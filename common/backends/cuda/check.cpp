#include "common/backends/cuda/check.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace rackproof::cuda {
namespace {

bool is_for_the_user(cudaError_t code) {
  return code == cudaErrorInsufficientDriver || code == cudaErrorNoDevice || code == cudaErrorInvalidDevice;
}

std::string remedy(cudaError_t code) {
  switch (code) {
    case cudaErrorInsufficientDriver:
      return "the driver is missing or older than the CUDA runtime; install a newer driver, or run with --device host";
    case cudaErrorNoDevice:
      return "no GPU is visible; check nvidia-smi and CUDA_VISIBLE_DEVICES, or run with --device host";
    case cudaErrorMemoryAllocation:
      return "the GPU's memory is full; stop what else uses it, or choose a smaller case";
    case cudaErrorECCUncorrectable:
      return "an uncorrectable memory error; drain the node and reset or replace the GPU";
    case cudaErrorDevicesUnavailable:
      return "the GPU is in use or in exclusive mode; stop what else uses it";
    default:
      return "see the kernel log of the node for an Xid, then drain it or run again";
  }
}

}  // namespace

void check(cudaError_t code, const char* call, const Place& place) {
  if (code == cudaSuccess) return;
  // Errors stick to the runtime until they are asked for.
  (void)cudaGetLastError();
  throw Error(is_for_the_user(code) ? ExitCode::usage : ExitCode::infrastructure, "cuda", static_cast<int>(code), call,
              fmt::format("{}: {}", cudaGetErrorString(code), remedy(code)), place);
}

void log_unless_success(cudaError_t code, const char* call) noexcept {
  if (code == cudaSuccess) return;
  try {
    spdlog::warn("{}: {}", call, cudaGetErrorString(code));
  } catch (...) {  // NOLINT(bugprone-empty-catch): there is nothing left to tell it to
  }
}

}  // namespace rackproof::cuda
