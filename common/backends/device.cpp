#include "common/backends/device.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "common/core/error.hpp"
#include "common/core/units.hpp"

namespace rackproof {
namespace {

[[noreturn]] void refuse_scales() {
  throw Error(ExitCode::internal, "device", 0, "matmul", "this plan has no scaled operands");
}

class CallAgain final : public Recording {
 public:
  explicit CallAgain(std::function<void()> work) : work_(std::move(work)) {}
  void replay() override { work_(); }

 private:
  std::function<void()> work_;
};

class HostMemory final : public Buffer {
 public:
  explicit HostMemory(std::size_t bytes)
      : data_(std::aligned_alloc(alignment, (std::max<std::size_t>(bytes, 1) + alignment - 1) / alignment * alignment),
              &std::free),
        bytes_(bytes) {
    if (data_ != nullptr) return;
    throw infrastructure_error(
        fmt::format("the host has no {} of memory left", format_bytes(static_cast<double>(bytes))));
  }
  [[nodiscard]] void* data() const noexcept override { return data_.get(); }
  [[nodiscard]] std::size_t bytes() const noexcept override { return bytes_; }

 private:
  static constexpr std::size_t alignment = 4096;
  std::unique_ptr<void, void (*)(void*)> data_;
  std::size_t bytes_;
};

}  // namespace

std::size_t Matmul::input_bytes() const { refuse_scales(); }
void Matmul::pack_input(const Quantised& /*a*/, void* /*packed*/) { refuse_scales(); }
void Matmul::pack_weights(const Quantised& /*b*/, void* /*packed*/) { refuse_scales(); }
std::unique_ptr<Buffer> Device::allocate_host(std::size_t bytes) { return std::make_unique<HostMemory>(bytes); }

std::unique_ptr<Recording> Device::record(std::function<void()> work) {
  return std::make_unique<CallAgain>(std::move(work));
}

void Device::checksum(const void* /*data*/, std::size_t /*bytes*/, std::uint64_t* /*sum*/) {
  throw Error(ExitCode::internal, "device", 0, "checksum", name() + " makes no checksums");
}

}  // namespace rackproof
