// The fake libnvidia-ml.so.1, each test in a process of its own: the libraries read their environment once.
// no threads
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>

#include "tests/fakes/common/fleet.hpp"

namespace rackproof {
namespace {

constexpr int success = 0;
constexpr int not_found = 6;
constexpr int uninitialized = 1;
constexpr int driver_not_loaded = 9;
constexpr int gpu_is_lost = 15;

class Nvml {
 public:
  template <typename... Arguments>
  int call(const char* name, Arguments... arguments) const {
    const auto function = reinterpret_cast<int (*)(Arguments...)>(dlsym(library_, name));
    return function == nullptr ? -1 : function(arguments...);
  }
  /// What the call stores behind its last argument; -1 where it fails.
  template <typename T, typename... Arguments>
  double ask(const char* name, Arguments... arguments) const {
    T value{};
    return call(name, arguments..., &value) == success ? static_cast<double>(value) : -1.0;
  }
  [[nodiscard]] const void* gpu(int index) const {
    const void* found = nullptr;
    (void)call("nvmlDeviceGetHandleByUUID", fake::identity_of(index).uuid_text().c_str(), &found);
    return found;
  }

 private:
  void* library_ = dlopen((std::string(RACKPROOF_FAKES) + "/libnvidia-ml.so.1").c_str(), RTLD_NOW | RTLD_LOCAL);
};

/// Runs `body` in a process of its own with that environment; a false answer is its failure.
bool holds_with(const std::string& gpus, const std::string& faults, bool (*body)(const Nvml&)) {
  const pid_t process = fork();
  if (process == 0) {
    setenv("RACKPROOF_FAKE_GPUS", gpus.c_str(), 1);
    setenv("RACKPROOF_FAKE_FAULTS", faults.c_str(), 1);
    setenv("OMPI_COMM_WORLD_RANK", "1", 1);
    _exit(body(Nvml()) ? 0 : 1);
  }
  int status = -1;
  return waitpid(process, &status, 0) == process && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(FakeNvml, gpus_are_known_by_uuid_and_bus_between_init_and_shutdown) {
  EXPECT_TRUE(holds_with("2xH100", "", [](const Nvml& nvml) {
    char serial[30] = "";
    const bool closed = nvml.call("nvmlDeviceGetSerial", nvml.gpu(0), &serial[0], 30U) == uninitialized;
    const bool opened = nvml.call("nvmlInit_v2") == success;
    const void* by_bus = nullptr;
    const std::string bus = "0000" + fake::identity_of(1).pci_text();
    const bool found = nvml.call("nvmlDeviceGetHandleByPciBusId_v2", bus.c_str(), &by_bus) == success;
    const bool told = nvml.call("nvmlDeviceGetSerial", by_bus, &serial[0], 30U) == success;
    const void* none = nullptr;
    const bool unknown = nvml.call("nvmlDeviceGetHandleByUUID", "GPU-0", &none) == not_found;
    return closed && opened && found && by_bus == nvml.gpu(1) && told && fake::identity_of(1).serial == serial &&
           unknown && nvml.call("nvmlShutdown") == success && nvml.call("nvmlShutdown") == uninitialized;
  }));
  EXPECT_TRUE(holds_with("none", "", [](const Nvml& nvml) { return nvml.call("nvmlInit_v2") == driver_not_loaded; }));
}

TEST(FakeNvml, energy_is_the_integral_of_power) {
  EXPECT_TRUE(holds_with("1xH100", "", [](const Nvml& nvml) {
    (void)nvml.call("nvmlInit_v2");
    const void* gpu = nvml.gpu(0);
    const auto joules = [&] { return 1e-3 * nvml.ask<unsigned long long>("nvmlDeviceGetTotalEnergyConsumption", gpu); };
    const auto begin = std::chrono::steady_clock::now();
    const double before = joules();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const double used = joules() - before;
    const double watts = used / std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const double limit = 1e-3 * nvml.ask<unsigned>("nvmlDeviceGetEnforcedPowerLimit", gpu);
    const double now = 1e-3 * nvml.ask<unsigned>("nvmlDeviceGetPowerUsage", gpu);
    return limit == 700 && now > 0.6 * limit && now < limit && watts > 0.6 * limit && watts < limit;
  }));
}

TEST(FakeNvml, throttled_gpu_tells_why_and_is_slower) {
  const auto clock = [](const Nvml& nvml) {
    (void)nvml.call("nvmlInit_v2");
    return nvml.ask<unsigned>("nvmlDeviceGetClockInfo", nvml.gpu(0), 1) < 1980 &&
           nvml.ask<unsigned long long>("nvmlDeviceGetCurrentClocksEventReasons", nvml.gpu(0)) == 0x4;
  };
  EXPECT_TRUE(holds_with("1xH100", "throttle=1:power", clock));
  EXPECT_FALSE(holds_with("1xH100", "throttle=0:power", clock));
}

TEST(FakeNvml, what_the_cuda_runtime_went_through_shows) {
  const auto load = [] {
    void* cuda = dlopen((std::string(RACKPROOF_FAKES) + "/libcudart.so.13").c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (cuda == nullptr) {
      cuda = dlopen((std::string(RACKPROOF_FAKES) + "/libcudart.so.12").c_str(), RTLD_NOW | RTLD_GLOBAL);
    }
    (void)reinterpret_cast<int (*)(int)>(dlsym(cuda, "cudaSetDevice"))(0);
    (void)reinterpret_cast<int (*)(void*)>(dlsym(cuda, "cudaFree"))(nullptr);
  };
  static void (*const break_gpu)() = load;
  EXPECT_TRUE(holds_with("1xH100", "fallen_off_the_bus@call=1", [](const Nvml& nvml) {
    (void)nvml.call("nvmlInit_v2");
    unsigned celsius = 0;
    const bool was_there = nvml.call("nvmlDeviceGetTemperature", nvml.gpu(0), 0, &celsius) == success;
    break_gpu();
    return was_there && nvml.call("nvmlDeviceGetTemperature", nvml.gpu(0), 0, &celsius) == gpu_is_lost;
  }));
  EXPECT_TRUE(holds_with("1xH100", "ecc@call=1", [](const Nvml& nvml) {
    (void)nvml.call("nvmlInit_v2");
    break_gpu();
    return nvml.ask<unsigned long long>("nvmlDeviceGetTotalEccErrors", nvml.gpu(0), 1, 0) == 1;
  }));
}

}  // namespace
}  // namespace rackproof
