#include "common/backends/backend.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/core/error.hpp"

namespace rackproof {

std::unique_ptr<Device> Backend::open_device(const DeviceRequest& /*request*/) const {
  throw usage_error(fmt::format("the {} backend has no devices; choose another with --device", name()));
}

int Backend::collective_priority(std::string_view /*device_backend*/) const { return 0; }

std::unique_ptr<Collective> Backend::do_open_collective(const mpi::Communicator& /*ranks*/, Device& /*device*/,
                                                        const CollectiveOptions& /*options*/) const {
  throw usage_error(fmt::format("the {} backend has no collectives", name()));
}

const Backend& choose_device_backend(const std::vector<std::unique_ptr<Backend>>& backends, std::string_view kind) {
  const Backend* best = nullptr;
  std::string known = "auto";
  for (const auto& backend : backends) {
    if (backend->device_priority() == 0) continue;
    known += ", " + backend->name();
    if (kind == backend->name()) return *backend;
    if (kind != "auto") continue;  // nobody asks whether those work that are not wanted
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

std::vector<const Backend*> choose_collective_backends(const std::vector<std::unique_ptr<Backend>>& backends,
                                                       std::string_view device_backend,
                                                       const std::vector<std::string>& names) {
  std::vector<const Backend*> able;
  for (const auto& backend : backends) {
    if (backend->collective_priority(device_backend) > 0) able.push_back(backend.get());
  }
  if (able.empty()) {
    throw usage_error(fmt::format("this build has no collectives for '{}' devices", printable(device_backend)));
  }
  std::stable_sort(able.begin(), able.end(), [&](const Backend* a, const Backend* b) {
    return a->collective_priority(device_backend) > b->collective_priority(device_backend);
  });
  if (names.empty()) return able;
  std::vector<const Backend*> chosen;
  for (const std::string& name : names) {
    const auto found = std::find_if(able.begin(), able.end(), [&](const Backend* one) { return one->name() == name; });
    if (found == able.end()) {
      std::string known;
      for (const Backend* one : able) known += (known.empty() ? "" : ", ") + one->name();
      throw usage_error(fmt::format("--collective-backends: '{}' does not serve {} devices; known are {}",
                                    printable(name), printable(device_backend), known));
    }
    chosen.push_back(*found);
  }
  return chosen;
}

const Backend& choose_collective_backend(const std::vector<std::unique_ptr<Backend>>& backends,
                                         std::string_view device_backend) {
  return *choose_collective_backends(backends, device_backend, {}).front();
}

Collectives::Collectives(std::vector<const Backend*> backends, const mpi::Communicator& ranks, Device& device,
                         CollectiveOptions options, Wrap wrap)
    : backends_(std::move(backends)),
      ranks_(&ranks),
      device_(&device),
      options_(options),
      wrap_(std::move(wrap)),
      opened_(backends_.size()) {}

std::vector<std::string> Collectives::names() const {
  std::vector<std::string> names;
  for (const Backend* backend : backends_) names.push_back(backend->name());
  return names;
}

Collective& Collectives::get(std::string_view name) {
  for (std::size_t i = 0; i < backends_.size(); ++i) {
    if (backends_[i]->name() != name) continue;
    if (!opened_[i]) {
      opened_[i] = backends_[i]->open_collective(*ranks_, *device_, options_);
      if (wrap_) opened_[i] = wrap_(std::move(opened_[i]));
    }
    return *opened_[i];
  }
  throw Error(ExitCode::internal, "backend", 0, "", fmt::format("no collectives of '{}' in this run", printable(name)));
}

}  // namespace rackproof
