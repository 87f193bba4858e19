// A device whose memory the host cannot touch, and whose copies wait until they are asked for.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

#include "tests/fakes/test_device.hpp"

namespace rackproof {

/// Buffers lie at addresses that end the process when they are read or written; what they hold is kept beside them.
/// copy() is done at the next synchronize(), as a GPU may do it.
class FarDevice final : public TestDevice {
 public:
  [[nodiscard]] std::unique_ptr<Buffer> allocate(std::size_t bytes) override {
    return std::make_unique<FarBuffer>(*this, bytes);
  }
  [[nodiscard]] std::unique_ptr<Buffer> allocate_host(std::size_t bytes) override {
    ++host_allocations;
    return Device::allocate_host(bytes);
  }
  void copy_to_device(void* device, const void* host, std::size_t bytes) override {
    synchronize();
    if (bytes > 0) std::memcpy(near(device, bytes), host, bytes);
  }
  void copy_to_host(void* host, const void* device, std::size_t bytes) override {
    synchronize();
    if (bytes > 0) std::memcpy(host, near(device, bytes), bytes);
  }
  void copy(void* to, const void* from, std::size_t bytes) override {
    waiting_.emplace_back([this, to, from, bytes] { std::memcpy(near(to, bytes), near(from, bytes), bytes); });
  }
  void synchronize() override {
    for (const auto& work : waiting_) work();
    waiting_.clear();
  }

  /// Done at the next synchronize().
  void later(std::function<void()> work) { waiting_.push_back(std::move(work)); }

  int host_allocations = 0;

 private:
  class FarBuffer final : public Buffer {
   public:
    FarBuffer(FarDevice& device, std::size_t bytes) : device_(device), bytes_(bytes), held_(bytes) {
      data_ = ::mmap(nullptr, bytes + 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (data_ == MAP_FAILED) throw std::bad_alloc();
      device_.buffers_[static_cast<const std::byte*>(data_)] = this;
    }
    ~FarBuffer() override {
      device_.buffers_.erase(static_cast<const std::byte*>(data_));
      ::munmap(data_, bytes_ + 1);
    }
    [[nodiscard]] void* data() const noexcept override { return data_; }
    [[nodiscard]] std::size_t bytes() const noexcept override { return bytes_; }
    [[nodiscard]] std::byte* held() noexcept { return held_.data(); }

   private:
    FarDevice& device_;
    std::size_t bytes_;
    std::vector<std::byte> held_;
    void* data_ = nullptr;
  };

  /// Where what lies at [place, place + bytes) of the device is kept.
  [[nodiscard]] std::byte* near(const void* place, std::size_t bytes) const {
    const auto* const at = static_cast<const std::byte*>(place);
    auto found = buffers_.upper_bound(at);
    if (found == buffers_.begin()) throw std::out_of_range("no memory of the device");
    --found;
    const auto offset = static_cast<std::size_t>(at - found->first);
    if (offset + bytes > found->second->bytes()) throw std::out_of_range("beyond a buffer of the device");
    return found->second->held() + offset;
  }

  std::map<const std::byte*, FarBuffer*> buffers_;
  std::vector<std::function<void()>> waiting_;
};

}  // namespace rackproof
