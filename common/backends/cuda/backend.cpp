// NVIDIA GPUs: one a rank.
#include "common/backends/backend.hpp"

#include "common/backends/cuda/cuda_device.hpp"

namespace rackproof {
namespace {

class CudaBackend final : public Backend {
 public:
  [[nodiscard]] std::string name() const override { return "cuda"; }
  [[nodiscard]] int device_priority() const override { return 2; }
  [[nodiscard]] int devices_present() const override { return cuda::count_devices(); }
  [[nodiscard]] std::vector<std::map<std::string, std::string>> describe_devices() const override {
    return cuda::describe_devices();
  }
  [[nodiscard]] std::unique_ptr<Device> open_device(const DeviceRequest& request) const override {
    return std::make_unique<cuda::CudaDevice>(request);
  }
};

}  // namespace

std::unique_ptr<Backend> make_cuda_backend();
std::unique_ptr<Backend> make_cuda_backend() { return std::make_unique<CudaBackend>(); }

}  // namespace rackproof
