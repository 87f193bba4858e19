#include "common/backends/cuda/check.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace rackproof::cuda {
namespace {

ExitCode exit_code_of(cudaError_t code) {
  switch (code) {
    case cudaErrorInsufficientDriver:
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice:
    case cudaErrorNoKernelImageForDevice:
      return ExitCode::usage;
    case cudaErrorInvalidValue:
    case cudaErrorInvalidConfiguration:
    case cudaErrorInvalidDevicePointer:
    case cudaErrorInvalidResourceHandle:
    case cudaErrorInvalidDeviceFunction:
    case cudaErrorLaunchOutOfResources:
    // Of a kernel that went astray: it would do so again wherever the job is queued.
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorAssert:
      return ExitCode::internal;
    default:
      // What cannot be captured into a graph.
      return code >= cudaErrorStreamCaptureUnsupported && code <= cudaErrorStreamCaptureWrongThread
                 ? ExitCode::internal
                 : ExitCode::infrastructure;
  }
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
    case cudaErrorNvlinkUncorrectable:
      return "an NVLink failed; drain the node and look at its links with nvidia-smi nvlink -e";
    case cudaErrorDevicesUnavailable:
      return "the GPU is in use or in exclusive mode; stop what else uses it";
    case cudaErrorNoKernelImageForDevice:
      return "this build has no code for this GPU; configure it with RACKPROOF_CUDA_ARCHITECTURES for it";
    case cudaErrorSystemNotReady:
      return "the GPUs' fabric is not ready; start nvidia-fabricmanager on the node";
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorAssert:
      return "a kernel of rackproof or of a library went astray, which is a defect of theirs unless the kernel log of "
             "the "
             "node has an Xid of the GPU's memory (48, 63, 64, 94, 95); please report it";
    default:
      return exit_code_of(code) == ExitCode::internal ? "a defect of rackproof; please report it"
                                                      : "see the kernel log of the node for an Xid, then drain it or "
                                                        "run again";
  }
}

}  // namespace

bool is_sticky(cudaError_t code) {
  // By number where older toolkits lack the name.
  constexpr int contained = 226;
  constexpr int tensor_memory_leak = 721;
  switch (static_cast<int>(code)) {
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case contained:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorContextIsDestroyed:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case tensor_memory_leak:
    case cudaErrorMpsClientTerminated:
    case cudaErrorExternalDevice:
    case cudaErrorUnknown:
      return true;
    default:
      return false;
  }
}

void check(cudaError_t code, const char* call, const Place& place) {
  if (code == cudaSuccess) return;
  // Errors stick to the runtime until they are asked for.
  (void)cudaGetLastError();
  throw Error(exit_code_of(code), "cuda", static_cast<int>(code), call,
              fmt::format("{}: {}", cudaGetErrorString(code), remedy(code)), place);
}

void log_unless_success(cudaError_t code, const char* call) noexcept {
  if (code == cudaSuccess) return;
  (void)cudaGetLastError();
  try {
    // Of a GPU that is lost somebody has told already, and every handle on it fails alike. Nor is there anything to
    // tell when the runtime has gone before us.
    const bool is_known = is_sticky(code) || code == cudaErrorCudartUnloading;
    spdlog::log(is_known ? spdlog::level::debug : spdlog::level::warn, "{}: {}", call, cudaGetErrorString(code));
  } catch (...) {  // NOLINT(bugprone-empty-catch): there is nothing left to tell it to
  }
}

}  // namespace rackproof::cuda
