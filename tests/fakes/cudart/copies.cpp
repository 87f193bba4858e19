// Copies and fills. Those between a GPU and pinned memory are done when their turn comes; from and to memory that is
// not pinned as the real runtime does: the source may be used again on return, the destination is complete on return.
#include <cstring>

#include "tests/fakes/cudart/runtime.hpp"

namespace rackproof::fake {
namespace {

struct Copy {
  std::string call;
  void* to = nullptr;
  const void* from = nullptr;
  std::size_t bytes = 0;
  cudaMemcpyKind kind = cudaMemcpyDefault;
  bool waits = false;  ///< the call returns when it is done
};

bool of_a_gpu(const Allocation* memory) {
  return memory != nullptr && (memory->memory == Memory::device || memory->memory == Memory::managed);
}
bool of_the_host(const Allocation* memory) { return memory == nullptr || memory->memory != Memory::device; }

void check_side(const Copy& copy, const char* what, const void* pointer, const Allocation* memory, bool gpu) {
  if (gpu ? of_a_gpu(memory) : of_the_host(memory)) return;
  fail(copy.call + ": " + what + " should be memory of " + (gpu ? "a GPU" : "the host") + " but is " +
       runtime().describe(pointer));
}

void check_kind(const Copy& copy, const Allocation* to, const Allocation* from) {
  if (copy.kind == cudaMemcpyDefault) return;
  const bool to_gpu = copy.kind == cudaMemcpyHostToDevice || copy.kind == cudaMemcpyDeviceToDevice;
  const bool from_gpu = copy.kind == cudaMemcpyDeviceToHost || copy.kind == cudaMemcpyDeviceToDevice;
  check_side(copy, "the destination", copy.to, to, to_gpu);
  check_side(copy, "the source", copy.from, from, from_gpu);
}

void check_again(const Copy& copy) {
  Runtime& all = runtime();
  const std::lock_guard lock(all.mutex);
  (void)all.check_range(copy.call + " in a stream", "the destination", copy.to, copy.bytes);
  (void)all.check_range(copy.call + " in a stream", "the source", copy.from, copy.bytes);
}

void move_bytes(void* to, const void* from, std::size_t bytes) {
  const auto begin = std::chrono::steady_clock::now();
  std::memmove(to, from, bytes);
  stretch(begin);
}

/// What a copy does in its stream. Lock held.
Work step_of(const Copy& copy, bool snapshot) {
  if (snapshot) {
    const auto* const bytes = static_cast<const char*>(copy.from);
    auto kept = std::make_shared<std::vector<char>>(bytes, bytes + copy.bytes);
    return [copy, kept] { move_bytes(copy.to, kept->data(), copy.bytes); };
  }
  return [copy] {
    check_again(copy);
    running("a copy in a stream");
    move_bytes(copy.to, copy.from, copy.bytes);
    running(nullptr);
  };
}

bool nothing_runs(const Runtime& all) {
  for (std::size_t i = 0; i < all.devices.size(); ++i) {
    if (!all.idle(static_cast<int>(i))) return false;
  }
  return true;
}

cudaError_t start(const Copy& copy, cudaStream_t stream_handle) {
  if (copy.bytes == 0) return cudaSuccess;
  Runtime& all = runtime();
  std::unique_lock lock(all.mutex);
  const auto stream = stream_of(copy.call.c_str(), stream_handle);
  const Allocation* to = all.check_range(copy.call, "the destination", copy.to, copy.bytes);
  const Allocation* from = all.check_range(copy.call, "the source", copy.from, copy.bytes);
  check_kind(copy, to, from);
  if (stream->capture != nullptr) {
    all.enqueue(stream, step_of(copy, false));
    return cudaSuccess;
  }
  if (stream->legacy && !all.captures.empty()) return cudaErrorStreamCaptureImplicit;
  // Nothing of it is there before it is done: who looks too early shall see that.
  if (to != nullptr && to->memory == Memory::pinned && nothing_runs(all)) std::memset(copy.to, 0xff, copy.bytes);
  all.enqueue(stream, step_of(copy, from == nullptr && !copy.waits));
  const bool waits = copy.waits ? !(of_a_gpu(to) && of_a_gpu(from)) : to == nullptr;
  if (!waits) return cudaSuccess;
  all.wait_for(lock, stream, stream->enqueued);
  return all.devices[static_cast<std::size_t>(stream->device)].dead;
}

cudaError_t fill(const std::string& call, void* to, int value, std::size_t bytes, cudaStream_t stream_handle) {
  if (bytes == 0) return cudaSuccess;
  Runtime& all = runtime();
  const std::lock_guard lock(all.mutex);
  const auto stream = stream_of(call.c_str(), stream_handle);
  if (stream->legacy && !all.captures.empty()) return cudaErrorStreamCaptureImplicit;
  const Allocation* memory = all.check_range(call, "the destination", to, bytes);
  if (memory == nullptr) fail(call + ": the destination is " + all.describe(to));
  all.enqueue(stream, [call, to, value, bytes] {
    {
      const std::lock_guard again(runtime().mutex);
      (void)runtime().check_range(call + " in a stream", "the destination", to, bytes);
    }
    const auto begin = std::chrono::steady_clock::now();
    std::memset(to, value, bytes);
    stretch(begin);
  });
  return cudaSuccess;
}

struct Rows {
  void* to;
  std::size_t to_pitch;
  const void* from;
  std::size_t from_pitch;
  std::size_t width;
  std::size_t height;
};

cudaError_t start_rows(const char* call, const Rows& rows, cudaMemcpyKind kind, bool waits, cudaStream_t stream) {
  if (rows.width > rows.to_pitch || rows.width > rows.from_pitch) return cudaErrorInvalidValue;
  for (std::size_t row = 0; row < rows.height; ++row) {
    const cudaError_t code =
        start({call, static_cast<char*>(rows.to) + row * rows.to_pitch,
               static_cast<const char*>(rows.from) + row * rows.from_pitch, rows.width, kind, waits},
              stream);
    if (code != cudaSuccess) return code;
  }
  return cudaSuccess;
}

}  // namespace
}  // namespace rackproof::fake

using namespace rackproof::fake;

extern "C" {

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return api("cudaMemcpy", Reports::errors, [&] {
    return start({"cudaMemcpy", to, from, bytes, kind, true}, nullptr);
  });
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return api("cudaMemcpyAsync", Reports::errors, [&] {
    return start({"cudaMemcpyAsync", to, from, bytes, kind, false}, stream);
  });
}
cudaError_t cudaMemcpyPeer(void* to, int /*to_device*/, const void* from, int /*from_device*/, std::size_t bytes) {
  return api("cudaMemcpyPeer", Reports::errors, [&] {
    return start({"cudaMemcpyPeer", to, from, bytes, cudaMemcpyDeviceToDevice, true}, nullptr);
  });
}
cudaError_t cudaMemcpyPeerAsync(void* to, int /*to_device*/, const void* from, int /*from_device*/, std::size_t bytes,
                                cudaStream_t stream) {
  return api("cudaMemcpyPeerAsync", Reports::errors, [&] {
    return start({"cudaMemcpyPeerAsync", to, from, bytes, cudaMemcpyDeviceToDevice, false}, stream);
  });
}
cudaError_t cudaMemcpy2D(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch, std::size_t width,
                         std::size_t height, cudaMemcpyKind kind) {
  return api("cudaMemcpy2D", Reports::errors, [&] {
    return start_rows("cudaMemcpy2D", {to, to_pitch, from, from_pitch, width, height}, kind, true, nullptr);
  });
}
cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                              std::size_t width, std::size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  return api("cudaMemcpy2DAsync", Reports::errors, [&] {
    return start_rows("cudaMemcpy2DAsync", {to, to_pitch, from, from_pitch, width, height}, kind, false, stream);
  });
}
cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  return api("cudaMemset", Reports::errors, [&] { return fill("cudaMemset", to, value, bytes, nullptr); });
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return api("cudaMemsetAsync", Reports::errors, [&] { return fill("cudaMemsetAsync", to, value, bytes, stream); });
}
}
