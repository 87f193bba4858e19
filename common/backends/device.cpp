#include "common/backends/device.hpp"

#include <utility>

namespace rackproof {
namespace {

class CallAgain final : public Recording {
 public:
  explicit CallAgain(std::function<void()> work) : work_(std::move(work)) {}
  void replay() override { work_(); }

 private:
  std::function<void()> work_;
};

}  // namespace

std::unique_ptr<Recording> Device::record(std::function<void()> work) {
  return std::make_unique<CallAgain>(std::move(work));
}

}  // namespace rackproof
