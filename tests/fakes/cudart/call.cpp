// What every call begins and ends with, and the errors' names.
#include <array>

#include "tests/fakes/cudart/runtime.hpp"

namespace rackproof::fake {
namespace {

/// Of the calling thread.
struct LastError {
  cudaError_t code = cudaSuccess;
  const char* call = nullptr;
  bool unseen = false;  ///< nobody asked for it yet
};

LastError& last_error() {
  thread_local LastError error;
  return error;
}

struct ErrorText {
  cudaError_t code;
  const char* name;
  const char* text;
};

// Names and texts are those of the runtime.
#define RACKPROOF_FAKE_ERROR(code, text) \
  ErrorText { code, #code, text }
constexpr std::array error_texts{
    RACKPROOF_FAKE_ERROR(cudaSuccess, "no error"),
    RACKPROOF_FAKE_ERROR(cudaErrorInvalidValue, "invalid argument"),
    RACKPROOF_FAKE_ERROR(cudaErrorMemoryAllocation, "out of memory"),
    RACKPROOF_FAKE_ERROR(cudaErrorInitializationError, "initialization error"),
    RACKPROOF_FAKE_ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    RACKPROOF_FAKE_ERROR(cudaErrorInvalidSymbol, "invalid device symbol"),
    RACKPROOF_FAKE_ERROR(cudaErrorInsufficientDriver, "CUDA driver version is insufficient for CUDA runtime version"),
    RACKPROOF_FAKE_ERROR(cudaErrorInvalidDeviceFunction, "invalid device function"),
    RACKPROOF_FAKE_ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    RACKPROOF_FAKE_ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    RACKPROOF_FAKE_ERROR(cudaErrorNoKernelImageForDevice, "no kernel image is available for execution on the device"),
    RACKPROOF_FAKE_ERROR(cudaErrorECCUncorrectable, "uncorrectable ECC error encountered"),
    RACKPROOF_FAKE_ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    RACKPROOF_FAKE_ERROR(cudaErrorNotReady, "device not ready"),
    RACKPROOF_FAKE_ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    RACKPROOF_FAKE_ERROR(cudaErrorLaunchFailure, "unspecified launch failure"),
    RACKPROOF_FAKE_ERROR(cudaErrorPeerAccessAlreadyEnabled, "peer access is already enabled"),
    RACKPROOF_FAKE_ERROR(cudaErrorPeerAccessNotEnabled, "peer access has not been enabled"),
    RACKPROOF_FAKE_ERROR(cudaErrorHostMemoryAlreadyRegistered,
                         "part or all of the requested memory range is already mapped"),
    RACKPROOF_FAKE_ERROR(cudaErrorHostMemoryNotRegistered, "pointer does not correspond to a registered memory region"),
    RACKPROOF_FAKE_ERROR(cudaErrorNotSupported, "operation not supported"),
    RACKPROOF_FAKE_ERROR(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"),
    RACKPROOF_FAKE_ERROR(cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture"),
    RACKPROOF_FAKE_ERROR(cudaErrorStreamCaptureUnmatched, "capture was not ended in the same stream as it began"),
    RACKPROOF_FAKE_ERROR(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
    RACKPROOF_FAKE_ERROR(cudaErrorStreamCaptureIsolation, "dependency created on uncaptured work in another stream"),
    RACKPROOF_FAKE_ERROR(cudaErrorStreamCaptureImplicit,
                         "operation would make the legacy stream depend on a capturing blocking stream"),
    RACKPROOF_FAKE_ERROR(cudaErrorCapturedEvent,
                         "operation not permitted on an event last recorded in a capturing stream"),
    RACKPROOF_FAKE_ERROR(cudaErrorStreamCaptureWrongThread,
                         "attempt to terminate a thread-local capture sequence from another thread"),
    RACKPROOF_FAKE_ERROR(cudaErrorSystemNotReady, "system not yet initialized"),
    RACKPROOF_FAKE_ERROR(cudaErrorUnknown, "unknown error"),
};
#undef RACKPROOF_FAKE_ERROR

cudaError_t take_last(bool keep) {
  LastError& last = last_error();
  const cudaError_t code = last.code;
  if (last.unseen) {
    last.unseen = false;
    Runtime& all = runtime();
    const std::lock_guard lock(all.mutex);
    for (DeviceState& device : all.devices) device.dead_was_seen = device.dead_was_seen || device.dead == code;
  }
  if (!keep) last.code = cudaSuccess;
  return code;
}

}  // namespace

void meet_faults(Runtime& all) {
  ++all.calls;
  for (const Fault& fault : all.faults) {
    if (fault.where != "call" || fault.at != all.calls) continue;
    if (fault.name == "illegal_address") kill_device(current_device(), cudaErrorIllegalAddress);
    if (fault.name == "ecc") kill_device(current_device(), cudaErrorECCUncorrectable);
    // What programs see of Xid 79.
    if (fault.name == "fallen_off_the_bus") kill_device(current_device(), cudaErrorUnknown);
  }
}

cudaError_t enter(const char* call, Reports reports) {
  const LastError& last = last_error();
  if (last.unseen) {
    fail(std::string(last.call) + " failed with " + cudaGetErrorName(last.code) +
         ", which nobody asked cudaGetLastError() for before calling " + call);
  }
  Runtime& all = runtime();
  if (!all.fleet.driver || (all.fleet.driver_version > 0 && all.fleet.driver_version < CUDART_VERSION)) {
    return cudaErrorInsufficientDriver;
  }
  if (all.not_ready) return cudaErrorSystemNotReady;
  if (all.devices.empty()) return cudaErrorNoDevice;
  if (reports == Reports::nothing) return cudaSuccess;
  const std::lock_guard lock(all.mutex);
  if (reports != Reports::answers) meet_faults(all);
  return all.devices[static_cast<std::size_t>(current_device())].dead;
}

cudaError_t leave(const char* call, cudaError_t code) {
  if (code == cudaSuccess) return code;
  Runtime& all = runtime();
  const std::lock_guard lock(all.mutex);
  bool seen = code == cudaErrorNotReady;  // an answer, not an error; yet kept as the last one, as the runtime does
  for (const DeviceState& device : all.devices) seen = seen || (device.dead == code && device.dead_was_seen);
  last_error() = {code, call, !seen};
  return code;
}

}  // namespace rackproof::fake

using rackproof::fake::error_texts;

extern "C" {

cudaError_t cudaGetLastError() { return rackproof::fake::take_last(false); }
cudaError_t cudaPeekAtLastError() { return rackproof::fake::take_last(true); }

const char* cudaGetErrorName(cudaError_t code) {
  for (const auto& error : error_texts) {
    if (error.code == code) return error.name;
  }
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t code) {
  for (const auto& error : error_texts) {
    if (error.code == code) return error.text;
  }
  return "unrecognized error code";
}
}
