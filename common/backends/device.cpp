#include "common/backends/device.hpp"

#include <utility>

#include "common/core/error.hpp"

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

}  // namespace

std::size_t Matmul::input_bytes() const { refuse_scales(); }
void Matmul::pack_input(const Quantised& /*a*/, void* /*packed*/) { refuse_scales(); }
void Matmul::pack_weights(const Quantised& /*b*/, void* /*packed*/) { refuse_scales(); }

std::unique_ptr<Recording> Device::record(std::function<void()> work) {
  return std::make_unique<CallAgain>(std::move(work));
}

}  // namespace rackproof
