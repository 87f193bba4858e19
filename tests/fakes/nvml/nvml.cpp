// The functions of libnvidia-ml.so.1 that rackproof uses, for the GPUs of tests/fakes/common/fleet.hpp. Names,
// arguments and numbers as NVIDIA's NVML API reference gives them (docs.nvidia.com/deploy/nvml-api). Power, temperature
// and clocks move a little with time and have no meaning beyond that.
#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fakes/common/faults.hpp"
#include "tests/fakes/common/fleet.hpp"

namespace rackproof::fake {
namespace {

enum Result : int {
  success = 0,
  uninitialized = 1,
  invalid_argument = 2,
  not_supported = 3,
  not_found = 6,
  insufficient_size = 7,
  driver_not_loaded = 9,
  gpu_is_lost = 15
};

enum Reason : unsigned long long {
  power_cap = 0x4,
  hardware_slowdown = 0x8,
  software_thermal_slowdown = 0x20,
  hardware_thermal_slowdown = 0x40,
  hardware_power_brake = 0x80
};

/// What a data sheet says of a kind beside what fleet.hpp has. Sources: NVIDIA's data sheets of A100 (400 W, 12
/// NVLinks, PCIe 4), H100 and H200 SXM (700 W, 18 NVLinks, PCIe 5), GH200 (the GPU's share of up to 1000 W), B200 (1000
/// W), GB200 (1200 W), GB300 (1400 W), all PCIe 5 or later.
struct Sheet {
  std::string_view key;
  double watts;
  unsigned nvlinks;
  unsigned pcie_generation;
};
constexpr std::array<Sheet, 7> sheets{{{"A100", 400, 12, 4},
                                       {"H100", 700, 18, 5},
                                       {"H200", 700, 18, 5},
                                       {"GH200", 700, 18, 5},
                                       {"B200", 1000, 18, 5},
                                       {"GB200", 1200, 18, 5},
                                       {"GB300", 1400, 18, 6}}};

unsigned long long reason_named(const std::string& why) {
  if (why == "power") return power_cap;
  if (why == "hardware") return hardware_slowdown;
  if (why == "thermal") return software_thermal_slowdown;
  if (why == "hardware_thermal") return hardware_slowdown | hardware_thermal_slowdown;
  if (why == "power_brake") return hardware_slowdown | hardware_power_brake;
  throw std::runtime_error(
      "RACKPROOF_FAKE_FAULTS: throttle is power, thermal, hardware, hardware_thermal or power_brake");
}

/// What NVML keeps between nvmlInit and nvmlShutdown.
class Library {
 public:
  Library() : fleet_(own_fleet()), start_(std::chrono::steady_clock::now()) {
    for (int i = 0; i < fleet_.count; ++i) gpus_.push_back({i, identity_of(i)});
    for (const Sheet& one : sheets) {
      if (one.key == fleet_.kind.key) sheet_ = one;
    }
    if (const auto fault = find_fault(own_faults(), "throttle")) reasons_ = reason_named(fault->value);
    if (const auto fault = find_fault(own_faults(), "row_remap")) row_remap_ = fault->value;
  }

  struct Gpu {
    int index;
    Identity identity;
  };

  int init() {
    if (!fleet_.driver) return driver_not_loaded;
    const std::lock_guard lock(mutex_);
    ++users_;
    return success;
  }
  int shut_down() {
    const std::lock_guard lock(mutex_);
    if (users_ == 0) return uninitialized;
    --users_;
    return success;
  }
  [[nodiscard]] bool is_open() {
    const std::lock_guard lock(mutex_);
    return users_ > 0;
  }

  [[nodiscard]] const std::vector<Gpu>& gpus() const { return gpus_; }
  [[nodiscard]] const Fleet& fleet() const { return fleet_; }
  [[nodiscard]] const Sheet& sheet() const { return sheet_; }
  [[nodiscard]] unsigned long long reasons() const { return reasons_; }
  /// "pending", "failed"; empty: no row is in question.
  [[nodiscard]] const std::string& row_remap() const { return row_remap_; }
  [[nodiscard]] bool is_gpu(const void* handle) const {
    return std::any_of(gpus_.begin(), gpus_.end(), [=](const Gpu& gpu) { return &gpu == handle; });
  }

  /// s since this process began to look.
  [[nodiscard]] double now() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  // Power swings between 65 and 95 % of the limit, each GPU in a phase of its own, in 7 s; energy is its integral, with
  // what was used before.
  [[nodiscard]] double watts(const Gpu& gpu) const {
    return sheet_.watts * (0.80 + 0.15 * std::sin(swing * now() + gpu.index));
  }
  [[nodiscard]] double joules(const Gpu& gpu) const {
    const double integral = 0.80 * now() + 0.15 / swing * (std::cos(gpu.index) - std::cos(swing * now() + gpu.index));
    return 1e6 + sheet_.watts * integral;
  }
  [[nodiscard]] double degrees(const Gpu& gpu) const { return 55.0 + gpu.index % 3 + 8.0 * std::sin(swing * now()); }

 private:
  static constexpr double swing = 2.0 * 3.14159265358979 / 7.0;
  std::mutex mutex_;
  int users_ = 0;
  Fleet fleet_;
  Sheet sheet_ = sheets[1];
  std::vector<Gpu> gpus_;
  unsigned long long reasons_ = 0;
  std::string row_remap_;
  std::chrono::steady_clock::time_point start_;
};

Library& library() {
  static Library one;
  return one;
}

/// The cudaError_t that the fake CUDA runtime's GPU is in: 0 where it works, or where there is no such runtime.
int state_of_cuda(const Library::Gpu& gpu) {
  using State = int (*)(int);
  const auto state = reinterpret_cast<State>(dlsym(RTLD_DEFAULT, "rackproof_fake_state"));
  return state == nullptr ? 0 : state(gpu.identity.pci_bus);
}
constexpr int cuda_ecc_uncorrectable = 214;  // cudaErrorECCUncorrectable
constexpr int cuda_unknown = 999;            // cudaErrorUnknown

/// Calls `answer` with the GPU, unless it cannot be asked.
template <typename Answer>
int ask(const void* handle, const void* out, Answer answer) {
  if (!library().is_open()) return uninitialized;
  if (!library().is_gpu(handle) || out == nullptr) return invalid_argument;
  const auto& gpu = *static_cast<const Library::Gpu*>(handle);
  return state_of_cuda(gpu) == cuda_unknown ? gpu_is_lost : answer(gpu);
}

int copy_text(const std::string& text, char* out, unsigned length) {
  if (out == nullptr) return invalid_argument;
  if (text.size() >= length) return insufficient_size;
  std::memcpy(out, text.c_str(), text.size() + 1);
  return success;
}

template <typename Matches>
int find(const void** handle, Matches matches) {
  if (!library().is_open()) return uninitialized;
  if (handle == nullptr) return invalid_argument;
  for (const Library::Gpu& gpu : library().gpus()) {
    if (!matches(gpu)) continue;
    *handle = &gpu;
    return success;
  }
  return not_found;
}

}  // namespace
}  // namespace rackproof::fake

using rackproof::fake::ask;
using rackproof::fake::copy_text;
using rackproof::fake::library;
using rackproof::fake::success;
using Gpu = rackproof::fake::Library::Gpu;

extern "C" {

int nvmlInit_v2() { return library().init(); }
int nvmlShutdown() { return library().shut_down(); }

const char* nvmlErrorString(int code) {
  switch (code) {
    case rackproof::fake::success:
      return "Success";
    case rackproof::fake::uninitialized:
      return "Uninitialized";
    case rackproof::fake::invalid_argument:
      return "Invalid Argument";
    case rackproof::fake::not_supported:
      return "Not Supported";
    case rackproof::fake::not_found:
      return "Not Found";
    case rackproof::fake::insufficient_size:
      return "Insufficient Size";
    case rackproof::fake::driver_not_loaded:
      return "Driver Not Loaded";
    case rackproof::fake::gpu_is_lost:
      return "GPU is lost";
    default:
      return "Unknown Error";
  }
}

int nvmlSystemGetDriverVersion(char* text, unsigned length) {
  return library().is_open() ? copy_text("580.65.06", text, length) : rackproof::fake::uninitialized;
}

int nvmlDeviceGetHandleByUUID(const char* uuid, const void** handle) {
  if (uuid == nullptr) return rackproof::fake::invalid_argument;
  return rackproof::fake::find(handle, [=](const Gpu& gpu) { return gpu.identity.uuid_text() == uuid; });
}

int nvmlDeviceGetHandleByPciBusId_v2(const char* bus_id, const void** handle) {
  if (bus_id == nullptr) return rackproof::fake::invalid_argument;
  unsigned domain = 0;
  unsigned bus = 0;
  if (std::sscanf(bus_id, "%x:%x:", &domain, &bus) != 2) return rackproof::fake::invalid_argument;
  return rackproof::fake::find(
      handle, [=](const Gpu& gpu) { return domain == 0 && static_cast<int>(bus) == (gpu.identity.pci_bus & 0xff); });
}

int nvmlDeviceGetSerial(const void* handle, char* text, unsigned length) {
  return ask(handle, text, [=](const Gpu& gpu) { return copy_text(gpu.identity.serial, text, length); });
}

int nvmlDeviceGetPowerUsage(const void* handle, unsigned* milliwatts) {
  return ask(handle, milliwatts, [=](const Gpu& gpu) {
    *milliwatts = static_cast<unsigned>(1e3 * library().watts(gpu));
    return success;
  });
}

int nvmlDeviceGetEnforcedPowerLimit(const void* handle, unsigned* milliwatts) {
  return ask(handle, milliwatts, [=](const Gpu&) -> int {
    *milliwatts = static_cast<unsigned>(1e3 * library().sheet().watts);
    return success;
  });
}

int nvmlDeviceGetTotalEnergyConsumption(const void* handle, unsigned long long* millijoules) {
  return ask(handle, millijoules, [=](const Gpu& gpu) {
    *millijoules = static_cast<unsigned long long>(1e3 * library().joules(gpu));
    return success;
  });
}

int nvmlDeviceGetClockInfo(const void* handle, int clock, unsigned* megahertz) {
  return ask(handle, megahertz, [=](const Gpu&) -> int {
    if (clock < 0 || clock > 3) return rackproof::fake::invalid_argument;
    const auto& kind = library().fleet().kind;
    const double share = library().reasons() == 0 ? 1.0 : 0.7;  // what held it back shows in the multiprocessors' clock
    *megahertz = static_cast<unsigned>(clock == 2 ? kind.memory_clock_mhz : share * kind.clock_mhz);
    return success;
  });
}

int nvmlDeviceGetTemperature(const void* handle, int sensor, unsigned* celsius) {
  return ask(handle, celsius, [=](const Gpu& gpu) -> int {
    if (sensor != 0) return rackproof::fake::invalid_argument;
    *celsius = static_cast<unsigned>(library().degrees(gpu));
    return success;
  });
}

int nvmlDeviceGetCurrentClocksEventReasons(const void* handle, unsigned long long* reasons) {
  return ask(handle, reasons, [=](const Gpu&) -> int {
    *reasons = library().reasons();
    return success;
  });
}

int nvmlDeviceGetCurrentClocksThrottleReasons(const void* handle, unsigned long long* reasons) {
  return nvmlDeviceGetCurrentClocksEventReasons(handle, reasons);
}

int nvmlDeviceGetTotalEccErrors(const void* handle, int kind, int counter, unsigned long long* errors) {
  return ask(handle, errors, [=](const Gpu& gpu) -> int {
    if (kind < 0 || kind > 1 || counter < 0 || counter > 1) return rackproof::fake::invalid_argument;
    const bool broken = rackproof::fake::state_of_cuda(gpu) == rackproof::fake::cuda_ecc_uncorrectable;
    *errors = kind == 1 && broken ? 1 : 0;
    return success;
  });
}

int nvmlDeviceGetRemappedRows(const void* handle, unsigned* corrected, unsigned* uncorrected, unsigned* pending,
                              unsigned* failed) {
  return ask(handle, corrected, [=](const Gpu& gpu) -> int {
    if (uncorrected == nullptr || pending == nullptr || failed == nullptr) return rackproof::fake::invalid_argument;
    *corrected = 0;
    *uncorrected = 0;
    // A row with an uncorrectable error is replaced at the next reset.
    const bool broken = rackproof::fake::state_of_cuda(gpu) == rackproof::fake::cuda_ecc_uncorrectable;
    *pending = broken || library().row_remap() == "pending" ? 1 : 0;
    *failed = library().row_remap() == "failed" ? 1 : 0;
    return success;
  });
}

int nvmlDeviceGetNvLinkState(const void* handle, unsigned link, int* active) {
  return ask(handle, active, [=](const Gpu&) -> int {
    if (link >= library().sheet().nvlinks) return rackproof::fake::invalid_argument;
    *active = 1;
    return success;
  });
}

int nvmlDeviceGetNvLinkErrorCounter(const void* handle, unsigned link, int counter, unsigned long long* errors) {
  return ask(handle, errors, [=](const Gpu&) -> int {
    if (link >= library().sheet().nvlinks || counter < 0 || counter > 4) return rackproof::fake::invalid_argument;
    *errors = 0;
    return success;
  });
}

int nvmlDeviceGetCurrPcieLinkGeneration(const void* handle, unsigned* generation) {
  return ask(handle, generation, [=](const Gpu&) -> int {
    *generation = library().sheet().pcie_generation;
    return success;
  });
}

int nvmlDeviceGetCurrPcieLinkWidth(const void* handle, unsigned* width) {
  return ask(handle, width, [=](const Gpu&) -> int {
    *width = 16;
    return success;
  });
}

}  // extern "C"
