// What tests of the token engine share.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "common/backends/backend.hpp"
#include "common/core/bfloat16.hpp"
#include "common/core/random.hpp"

namespace rackproof::tokens_fixture {

/// A world of one rank.
class SoloCollective final : public Collective {
 public:
  [[nodiscard]] int rank() const override { return 0; }
  [[nodiscard]] int size() const override { return 1; }
  [[nodiscard]] std::string implementation() const override { return "one rank"; }
  void all_reduce(const void* send, void* receive, std::size_t count, DataType type) override {
    std::memmove(receive, send, count * size_of(type));
  }
  void all_gather(const void* send, void* receive, std::size_t count, DataType type) override {
    std::memmove(receive, send, count * size_of(type));
  }
  void broadcast(void* /*data*/, std::size_t /*count*/, DataType /*type*/, int /*root*/) override {}
  void barrier() override {}
  [[nodiscard]] std::unique_ptr<Collective> split(int /*color*/) override { return std::make_unique<SoloCollective>(); }
};

inline std::unique_ptr<Device> open_host(int threads = 2) {
  static const auto backends = make_all_backends();
  return choose_device_backend(backends, "host").open_device({.local_rank = 0, .ranks_on_node = 1, .threads = threads});
}

inline std::vector<float> normals(std::size_t count, std::uint64_t stream, float scale = 1.0F) {
  std::vector<float> values(count);
  fill_normal(std::span(values), stream, 0, scale);
  return values;
}

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
