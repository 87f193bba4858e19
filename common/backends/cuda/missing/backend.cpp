// In place of the CUDA backend, in builds without it.
#include "common/backends/backend.hpp"

#include "common/core/error.hpp"

namespace rackproof {
namespace {

class MissingCudaBackend final : public Backend {
 public:
  [[nodiscard]] std::string name() const override { return "cuda"; }
  [[nodiscard]] int device_priority() const override { return 2; }
  [[nodiscard]] std::unique_ptr<Device> open_device(const DeviceRequest& /*request*/) const override {
    throw usage_error(
        "--device cuda: this build has no CUDA; install the CUDA Toolkit (12.4 or later) and configure with "
        "-DRACKPROOF_CUDA=ON");
  }
};

}  // namespace

std::unique_ptr<Backend> make_cuda_backend();
std::unique_ptr<Backend> make_cuda_backend() { return std::make_unique<MissingCudaBackend>(); }

}  // namespace rackproof
