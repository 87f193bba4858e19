// A device of plain memory: for suites that only move data. It computes nothing.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>

#include "common/backends/device.hpp"
#include "common/core/error.hpp"

namespace rackproof {

class TestDevice : public Device {
 public:
  explicit TestDevice(std::size_t cache_bytes = 64 * 1024, std::size_t memory_available = std::size_t{1} << 30U)
      : cache_bytes_(cache_bytes), memory_available_(memory_available) {}

  [[nodiscard]] std::string name() const override { return "test device"; }
  [[nodiscard]] std::string serial() const override { return ""; }
  [[nodiscard]] std::string id() const override { return "test:0"; }
  [[nodiscard]] bool is_fake() const override { return true; }
  [[nodiscard]] int threads() const override { return 1; }
  [[nodiscard]] std::size_t memory_available() const override { return memory_available_; }
  [[nodiscard]] std::size_t cache_bytes() const override { return cache_bytes_; }
  [[nodiscard]] bool supports(DataType /*type*/) const override { return true; }
  [[nodiscard]] std::unique_ptr<Buffer> allocate(std::size_t bytes) override {
    return std::make_unique<HostBuffer>(bytes);
  }
  void copy_to_device(void* device, const void* host, std::size_t bytes) override { std::memcpy(device, host, bytes); }
  void copy_to_host(void* host, const void* device, std::size_t bytes) override { std::memcpy(host, device, bytes); }
  void copy(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  [[nodiscard]] std::unique_ptr<Matmul> matmul(const MatmulProblem& /*problem*/) override { cannot(); }
  [[nodiscard]] TokenKernels& token_kernels() override { cannot(); }
  void synchronize() override {}
  [[nodiscard]] Peaks measure_peaks() override { return {}; }

 private:
  class HostBuffer final : public Buffer {
   public:
    explicit HostBuffer(std::size_t bytes)
        : data_(std::aligned_alloc(64, (bytes + 63) / 64 * 64), &std::free), bytes_(bytes) {
      if (data_ == nullptr && bytes > 0) throw std::bad_alloc();
    }
    [[nodiscard]] void* data() const noexcept override { return data_.get(); }
    [[nodiscard]] std::size_t bytes() const noexcept override { return bytes_; }

   private:
    std::unique_ptr<void, void (*)(void*)> data_;
    std::size_t bytes_;
  };
  [[noreturn]] static void cannot() {
    throw Error(ExitCode::internal, "test", 0, "", "the test device computes nothing");
  }

  std::size_t cache_bytes_;
  std::size_t memory_available_;
};

}  // namespace rackproof
