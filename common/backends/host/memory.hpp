// Host memory for measuring: aligned, on huge pages where it is large, and present before it is first used.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "common/backends/device.hpp"

namespace rackproof::host {

/// Bytes that the buffers of one device hold. Shared with the buffers, which may outlive the device.
using AllocatedBytes = std::shared_ptr<std::atomic<std::size_t>>;

class HostBuffer final : public Buffer {
 public:
  /// 64-byte aligned; from 4 MiB on 2 MiB aligned on transparent huge pages. Every page is touched by the thread
  /// that a static OpenMP loop gives it to, so that it lies on that thread's memory.
  /// Throws Error (infrastructure) where the system gives no such block; `room` is for its message.
  HostBuffer(std::size_t bytes, AllocatedBytes allocated, std::size_t room);
  ~HostBuffer() override;

  [[nodiscard]] void* data() const noexcept override { return data_.get(); }
  [[nodiscard]] std::size_t bytes() const noexcept override { return bytes_; }

 private:
  struct Free {
    void operator()(void* block) const noexcept;
  };
  std::size_t bytes_;
  AllocatedBytes allocated_;
  std::unique_ptr<void, Free> data_;
};

}  // namespace rackproof::host
