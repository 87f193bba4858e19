// The host backend: always there, the embedded default, and what other backends are checked against.
#include "common/backends/backend.hpp"

#include "common/backends/host/host_device.hpp"

namespace rackproof {
namespace {

class HostBackend final : public Backend {
 public:
  [[nodiscard]] std::string name() const override { return "host"; }
  /// The lowest: any accelerator is preferred.
  [[nodiscard]] int device_priority() const override { return 1; }
  [[nodiscard]] int devices_present() const override { return 1; }
  [[nodiscard]] std::unique_ptr<Device> open_device(const DeviceRequest& request) const override {
    return std::make_unique<host::HostDevice>(request);
  }
};

}  // namespace

std::unique_ptr<Backend> make_host_backend();
std::unique_ptr<Backend> make_host_backend() { return std::make_unique<HostBackend>(); }

}  // namespace rackproof
