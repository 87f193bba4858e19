#include "common/backends/backend.hpp"

#include <fmt/format.h>

#include "common/core/error.hpp"

namespace rackproof {

std::unique_ptr<Device> Backend::open_device(const DeviceRequest& /*request*/) const {
  throw usage_error(fmt::format("the {} backend has no devices; choose another with --device", name()));
}

int Backend::collective_priority(std::string_view /*device_backend*/) const { return 0; }

std::unique_ptr<Collective> Backend::open_collective(const mpi::Communicator& /*ranks*/, Device& /*device*/) const {
  throw usage_error(fmt::format("the {} backend has no collectives", name()));
}

const Backend& choose_device_backend(const std::vector<std::unique_ptr<Backend>>& backends, std::string_view kind) {
  const Backend* best = nullptr;
  std::string known = "auto";
  for (const auto& backend : backends) {
    if (backend->device_priority() == 0) continue;
    known += ", " + backend->name();
    if (kind == backend->name()) return *backend;
    if (backend->devices_present() > 0 && (best == nullptr || backend->device_priority() > best->device_priority())) {
      best = backend.get();
    }
  }
  if (kind != "auto") {
    throw usage_error(fmt::format("--device: this build has no '{}'; it has {}", printable(kind), known));
  }
  if (best == nullptr) throw usage_error("--device auto: no device found; this build has " + known);
  return *best;
}

const Backend& choose_collective_backend(const std::vector<std::unique_ptr<Backend>>& backends,
                                         std::string_view device_backend) {
  const Backend* best = nullptr;
  for (const auto& backend : backends) {
    const int priority = backend->collective_priority(device_backend);
    if (priority > 0 && (best == nullptr || priority > best->collective_priority(device_backend))) {
      best = backend.get();
    }
  }
  if (best == nullptr) {
    throw usage_error(fmt::format("this build has no collectives for '{}' devices", printable(device_backend)));
  }
  return *best;
}

}  // namespace rackproof
