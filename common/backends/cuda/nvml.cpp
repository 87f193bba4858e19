#include "common/backends/cuda/nvml.hpp"

#include <dlfcn.h>

#include <array>
#include <limits>

namespace rackproof::cuda {
namespace {

/// The first of `names` that the library has.
template <typename Function>
void look_up(void* library, Function& function, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (function == nullptr) function = reinterpret_cast<Function>(dlsym(library, name));
  }
}

nvml::Api functions_of(void* library) {
  nvml::Api api;
  look_up(library, api.init, {"nvmlInit_v2"});
  look_up(library, api.shutdown, {"nvmlShutdown"});
  look_up(library, api.error_string, {"nvmlErrorString"});
  look_up(library, api.handle_by_uuid, {"nvmlDeviceGetHandleByUUID"});
  look_up(library, api.handle_by_pci, {"nvmlDeviceGetHandleByPciBusId_v2"});
  look_up(library, api.driver_version, {"nvmlSystemGetDriverVersion"});
  look_up(library, api.serial, {"nvmlDeviceGetSerial"});
  look_up(library, api.power, {"nvmlDeviceGetPowerUsage"});
  look_up(library, api.power_limit, {"nvmlDeviceGetEnforcedPowerLimit"});
  look_up(library, api.energy, {"nvmlDeviceGetTotalEnergyConsumption"});
  look_up(library, api.clock, {"nvmlDeviceGetClockInfo"});
  look_up(library, api.temperature, {"nvmlDeviceGetTemperature"});
  // Drivers before 535 have the older name alone.
  look_up(library, api.reasons,
          {"nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"});
  look_up(library, api.ecc_errors, {"nvmlDeviceGetTotalEccErrors"});
  look_up(library, api.remapped_rows, {"nvmlDeviceGetRemappedRows"});
  look_up(library, api.nvlink_state, {"nvmlDeviceGetNvLinkState"});
  look_up(library, api.nvlink_errors, {"nvmlDeviceGetNvLinkErrorCounter"});
  look_up(library, api.pcie_generation, {"nvmlDeviceGetCurrPcieLinkGeneration"});
  look_up(library, api.pcie_width, {"nvmlDeviceGetCurrPcieLinkWidth"});
  return api;
}

/// What `function` stores behind its last argument; absent where it cannot.
template <typename T, typename Function, typename... Arguments>
std::optional<T> ask(Function function, Arguments... arguments) {
  T value{};
  if (function == nullptr || function(arguments..., &value) != nvml::success) return std::nullopt;
  return value;
}

std::optional<double> scaled(std::optional<unsigned> value, double scale) {
  if (!value) return std::nullopt;
  return scale * static_cast<double>(*value);
}

}  // namespace

std::shared_ptr<const Nvml> Nvml::load() {
  void* library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return nullptr;
  const nvml::Api api = functions_of(library);
  if (api.init == nullptr || api.shutdown == nullptr || api.init() != nvml::success) {
    dlclose(library);
    return nullptr;
  }
  std::shared_ptr<Nvml> nvml(new Nvml(library));  // NOLINT(modernize-make-shared): its constructor is private
  nvml->api_ = api;
  return nvml;
}

Nvml::~Nvml() {
  api_.shutdown();
  dlclose(library_);
}

nvml::Device Nvml::find(const std::string& uuid, const std::string& pci_bus_id) const {
  nvml::Device device = nullptr;
  if (api_.handle_by_uuid != nullptr && api_.handle_by_uuid(uuid.c_str(), &device) == nvml::success) return device;
  if (api_.handle_by_pci != nullptr && api_.handle_by_pci(pci_bus_id.c_str(), &device) == nvml::success) return device;
  return nullptr;
}

std::string Nvml::driver_version() const {
  std::array<char, nvml::version_length> text{};
  const bool known = api_.driver_version != nullptr && api_.driver_version(text.data(), text.size()) == nvml::success;
  text.back() = '\0';
  return known ? text.data() : "";
}

std::string NvmlGpu::serial() const {
  std::array<char, nvml::serial_length + 1> text{};
  const auto function = nvml_->api().serial;
  const bool known = function != nullptr && function(device_, text.data(), nvml::serial_length) == nvml::success;
  return known ? text.data() : "";
}

std::optional<double> NvmlGpu::power() const { return scaled(ask<unsigned>(nvml_->api().power, device_), 1e-3); }

std::optional<double> NvmlGpu::power_limit() const {
  return scaled(ask<unsigned>(nvml_->api().power_limit, device_), 1e-3);
}

std::optional<double> NvmlGpu::energy() const {
  const auto millijoules = ask<unsigned long long>(nvml_->api().energy, device_);
  if (!millijoules) return std::nullopt;
  return 1e-3 * static_cast<double>(*millijoules);
}

std::optional<double> NvmlGpu::clock(nvml::Clock clock) const {
  return scaled(ask<unsigned>(nvml_->api().clock, device_, static_cast<int>(clock)), 1e6);
}

std::optional<double> NvmlGpu::temperature() const {
  return scaled(ask<unsigned>(nvml_->api().temperature, device_, static_cast<int>(nvml::temperature_gpu)), 1.0);
}

std::optional<unsigned> NvmlGpu::clock_reasons() const {
  const auto bits = ask<unsigned long long>(nvml_->api().reasons, device_);
  if (!bits) return std::nullopt;
  return static_cast<unsigned>(*bits);
}

std::optional<double> NvmlGpu::ecc_errors(nvml::MemoryError kind) const {
  const auto errors = ask<unsigned long long>(nvml_->api().ecc_errors, device_, static_cast<int>(kind),
                                              static_cast<int>(nvml::ecc_volatile));
  if (!errors) return std::nullopt;
  return static_cast<double>(*errors);
}

std::optional<NvmlGpu::RemappedRows> NvmlGpu::remapped_rows() const {
  const auto function = nvml_->api().remapped_rows;
  RemappedRows rows;
  unsigned pending = 0;
  unsigned failed = 0;
  if (function == nullptr ||
      function(device_, &rows.corrected, &rows.uncorrected, &pending, &failed) != nvml::success) {
    return std::nullopt;
  }
  rows.pending = pending != 0;
  rows.failed = failed != 0;
  return rows;
}

std::optional<NvmlGpu::NvLinks> NvmlGpu::nvlinks() const {
  const nvml::Api& api = nvml_->api();
  NvLinks links;
  bool any = false;
  bool counted = false;
  for (unsigned link = 0; link < nvml::most_nvlinks; ++link) {
    const auto active = ask<int>(api.nvlink_state, device_, link);
    if (!active) break;
    any = true;
    if (*active == 0) continue;
    ++links.active;
    for (const int counter :
         {nvml::nvlink_replay, nvml::nvlink_recovery, nvml::nvlink_crc_flit, nvml::nvlink_crc_data}) {
      const auto errors = ask<unsigned long long>(api.nvlink_errors, device_, link, counter);
      counted = counted || errors;
      links.errors += static_cast<double>(errors.value_or(0));
    }
  }
  if (!any) return std::nullopt;
  // Newer boards count elsewhere: what nobody counted is not 0.
  if (!counted) links.errors = std::numeric_limits<double>::quiet_NaN();
  return links;
}

std::optional<unsigned> NvmlGpu::pcie_generation() const {
  return ask<unsigned>(nvml_->api().pcie_generation, device_);
}

std::optional<unsigned> NvmlGpu::pcie_width() const { return ask<unsigned>(nvml_->api().pcie_width, device_); }

bool NvmlGpu::is_lost() const {
  const auto function = nvml_->api().temperature;
  unsigned ignored = 0;
  if (function == nullptr) return false;
  const int result = function(device_, nvml::temperature_gpu, &ignored);
  return result == nvml::gpu_is_lost || result == nvml::reset_required;
}

}  // namespace rackproof::cuda
