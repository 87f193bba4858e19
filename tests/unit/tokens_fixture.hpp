// What tests of the token engine share.
#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/backends/backend.hpp"
#include "common/core/bfloat16.hpp"
#include "common/core/random.hpp"

namespace rackproof::tokens_fixture {

/// More threads than one; but the thread sanitizer does not see how OpenMP's threads synchronise.
#ifdef __SANITIZE_THREAD__
constexpr int several_threads = 1;
#else
constexpr int several_threads = 3;
#endif

/// A world of one rank.
class SoloCollective final : public Collective {
 public:
  [[nodiscard]] int rank() const override { return 0; }
  [[nodiscard]] int size() const override { return 1; }
  [[nodiscard]] std::string implementation() const override { return "one rank"; }
  void all_reduce(const void* send, void* receive, std::size_t count, DataType type, Reduction /*reduction*/) override {
    std::memmove(receive, send, count * size_of(type));
  }
  void reduce(const void* send, void* receive, std::size_t count, DataType type, int /*root*/,
              Reduction /*reduction*/) override {
    std::memmove(receive, send, count * size_of(type));
  }
  void reduce_scatter(const void* send, void* receive, std::size_t count, DataType type,
                      Reduction /*reduction*/) override {
    std::memmove(receive, send, count * size_of(type));
  }
  void all_gather(const void* send, void* receive, std::size_t count, DataType type) override {
    std::memmove(receive, send, count * size_of(type));
  }
  void all_to_all(const void* send, void* receive, std::size_t count, DataType type) override {
    std::memmove(receive, send, count * size_of(type));
  }
  void broadcast(void* /*data*/, std::size_t /*count*/, DataType /*type*/, int /*root*/) override {}
  void send_recv(const void* send, int to, void* receive, int from, std::size_t count, DataType type) override {
    if (to != nobody && from != nobody) std::memmove(receive, send, count * size_of(type));
  }
  void barrier() override {}
  [[nodiscard]] std::unique_ptr<Collective> split(int /*color*/) override { return std::make_unique<SoloCollective>(); }
};

inline std::unique_ptr<Device> open_host(int threads = 1) {
  static const auto backends = make_all_backends();
  return choose_device_backend(backends, "host").open_device({.local_rank = 0, .ranks_on_node = 1, .threads = threads});
}

inline std::vector<float> normals(std::size_t count, std::uint64_t stream, float scale = 1.0F) {
  std::vector<float> values(count);
  fill_normal(std::span(values), stream, 0, scale);
  return values;
}

/// Passes everything on to another device, except for what a test changes.
class DeviceWithFault final : public Device {
 public:
  /// Called with each copy to the device, in order.
  using Fault = std::function<void(int copy, std::byte* data, std::size_t bytes)>;
  DeviceWithFault(Device& real, Fault fault) : real_(real), fault_(std::move(fault)) {}

  [[nodiscard]] std::string name() const override { return real_.name(); }
  [[nodiscard]] std::string serial() const override { return real_.serial(); }
  [[nodiscard]] std::string id() const override { return real_.id(); }
  [[nodiscard]] int threads() const override { return real_.threads(); }
  [[nodiscard]] std::size_t memory_available() const override { return real_.memory_available(); }
  [[nodiscard]] std::size_t cache_bytes() const override { return real_.cache_bytes(); }
  [[nodiscard]] bool supports(DataType type) const override { return real_.supports(type); }
  [[nodiscard]] std::unique_ptr<Buffer> allocate(std::size_t bytes) override { return real_.allocate(bytes); }
  void copy_to_device(void* device, const void* host, std::size_t bytes) override {
    real_.copy_to_device(device, host, bytes);
    fault_(copies_++, static_cast<std::byte*>(device), bytes);
  }
  void copy_to_host(void* host, const void* device, std::size_t bytes) override {
    real_.copy_to_host(host, device, bytes);
  }
  void copy(void* to, const void* from, std::size_t bytes) override { real_.copy(to, from, bytes); }
  [[nodiscard]] std::unique_ptr<Matmul> matmul(const MatmulProblem& problem) override { return real_.matmul(problem); }
  [[nodiscard]] TokenKernels& token_kernels() override { return real_.token_kernels(); }
  void synchronize() override { real_.synchronize(); }
  [[nodiscard]] Peaks measure_peaks() override { return real_.measure_peaks(); }

 private:
  Device& real_;
  Fault fault_;
  int copies_ = 0;
};

/// Values in the storage of a type, and back.
struct Typed {
  DataType type;
  std::vector<float> f32;
  std::vector<bf16_bits> bf16;

  Typed(DataType which, const std::vector<float>& values) : type(which) {
    if (type == DataType::f32) {
      f32 = values;
    } else {
      for (const float value : values) bf16.push_back(to_bf16(value));
    }
  }
  [[nodiscard]] void* data() { return type == DataType::f32 ? static_cast<void*>(f32.data()) : bf16.data(); }
  [[nodiscard]] double operator[](std::size_t i) const { return type == DataType::f32 ? f32[i] : from_bf16(bf16[i]); }
};

/// Half an ulp of the type, relative, and what f32 arithmetic adds.
inline double roundoff(DataType type) { return type == DataType::bf16 ? 0x1p-8 : 2e-6; }

}  // namespace rackproof::tokens_fixture
