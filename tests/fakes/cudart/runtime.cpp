#include "tests/fakes/cudart/runtime.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace rackproof::fake {
namespace {

bool mentions(const std::string& entry, int index, const Identity& identity) {
  if (entry.rfind("GPU-", 0) == 0) return identity.uuid_text().rfind(entry, 0) == 0;
  char* end = nullptr;
  const long number = std::strtol(entry.c_str(), &end, 10);
  return end != entry.c_str() && *end == '\0' && number == index;
}

/// Indices of the GPUs that CUDA_VISIBLE_DEVICES leaves, in its order; what follows an entry that is none does not
/// count.
std::vector<int> visible(int count) {
  std::vector<int> indices;
  const char* list = std::getenv("CUDA_VISIBLE_DEVICES");
  if (list == nullptr) {
    for (int i = 0; i < count; ++i) indices.push_back(i);
    return indices;
  }
  for (const std::string& entry : detail::split(list, ',')) {
    int found = -1;
    for (int i = 0; i < count && found < 0; ++i) {
      if (mentions(entry, i, identity_of(i))) found = i;
    }
    if (found < 0) break;
    indices.push_back(found);
  }
  return indices;
}

bool is(const char* name, const char* value) {
  const char* found = std::getenv(name);
  return found != nullptr && std::strcmp(found, value) == 0;
}

}  // namespace

void fail(const std::string& message) { rackproof_fake_fail(message.c_str()); }

std::string text(const void* pointer) {
  char buffer[32];
  (void)std::snprintf(buffer, sizeof buffer, "%p", pointer);
  return buffer;
}

void install_fault_handler();

Runtime::Runtime() : owner(getpid()) {
  try {
    fleet = own_fleet();
    faults = own_faults();
  } catch (const std::exception& error) {
    fail(error.what());
  }
  lazy = is("RACKPROOF_FAKE_STREAMS", "lazy");
  if (const char* seed = std::getenv("RACKPROOF_FAKE_DELAYS"); seed != nullptr) {
    delay_seed = static_cast<unsigned>(std::strtoul(seed, nullptr, 10));
  }
  if (const char* seed = std::getenv("RACKPROOF_FAKE_TIMES"); seed != nullptr) set_own_times(seed);
  hang_at_kernel = find_number(faults, "hang", "kernel");
  no_kernel_image = find_fault(faults, "no_kernel_image").has_value();
  not_ready = find_fault(faults, "system_not_ready").has_value();
  if (const auto slow = find_fault(faults, "slow_rank")) slowness = 1.0 / std::atof(slow->value.c_str());
  see_devices();
  install_fault_handler();
}

/// GPUs of a kind differ by 0.5 % in speed, and a step by 0.5 % from the next (standard deviations).
void Runtime::set_own_times(const char* seed) {
  constexpr double between_devices = 0.005;
  own_times = true;
  own_noise.seed(std::strtoull(seed, nullptr, 10) * 1'000'003U + static_cast<unsigned>(own_rank()));
  own_noise.discard(16);
  own_speed = 1.0 + between_devices * std::normal_distribution<double>()(own_noise);
}

void Runtime::see_devices() {
  for (const int index : visible(fleet.count)) {
    DeviceState device;
    device.identity = identity_of(index);
    device.capacity = fleet.memory;
    devices.push_back(std::move(device));
  }
}

namespace {
std::atomic<Runtime*>& made() {
  static std::atomic<Runtime*> instance{nullptr};
  return instance;
}
}  // namespace

// Never destroyed: threads of streams may still run when the process ends.
Runtime& runtime() {
  static auto* const instance = [] {
    auto* const all = new Runtime;
    made() = all;
    return all;
  }();
  return *instance;
}
Runtime* runtime_if_any() { return made().load(); }

Kernels& kernels() {
  static auto* const instance = new Kernels;
  return *instance;
}

int& current_device() {
  thread_local int device = 0;
  return device;
}

void kill_device(int device, cudaError_t code) {
  Runtime& all = runtime();
  all.devices[static_cast<std::size_t>(device)].dead = code;
  all.changed.notify_all();
}

namespace {

void count_leaks(const char* what, std::size_t count) {
  if (count > 0) fail(std::to_string(count) + " " + what + " at the end of the process");
}

/// MPI ends the process before its time where another rank failed: what it leaves behind then is no leak.
bool is_ended_by_mpi() {
  const auto initialized = reinterpret_cast<int (*)(int*)>(dlsym(RTLD_DEFAULT, "MPI_Initialized"));
  const auto finalized = reinterpret_cast<int (*)(int*)>(dlsym(RTLD_DEFAULT, "MPI_Finalized"));
  int began = 0;
  int ended = 0;
  if (initialized == nullptr || finalized == nullptr) return false;
  (void)initialized(&began);
  (void)finalized(&ended);
  return began != 0 && ended == 0;
}

/// After all destructors of the program: what is still there now was forgotten.
[[gnu::destructor]] void look_for_leaks() {
  if (rackproof_fake_forgives_leaks() != 0) return;
  Runtime& all = runtime();
  const std::unique_lock lock(all.mutex, std::try_to_lock);
  if (!lock.owns_lock()) return;
  for (const auto& [begin, allocation] : all.allocations) {
    fail(all.describe(reinterpret_cast<const void*>(begin)) + " was not released before the end of the process (" +
         std::to_string(all.allocations.size()) + " allocations in all)");
  }
  count_leaks("graphs that can be launched were not destroyed", all.graph_exec_handles.size());
  count_leaks("graphs were not destroyed", all.graph_handles.size());
  count_leaks("events were not destroyed", all.event_handles.size());
  count_leaks("streams were not destroyed", all.stream_handles.size());
}

}  // namespace
}  // namespace rackproof::fake

extern "C" int rackproof_fake_forgives_leaks() {
  if (rackproof::fake::runtime_if_any() == nullptr) return 1;
  rackproof::fake::Runtime& all = *rackproof::fake::runtime_if_any();
  if (all.owner != getpid() || rackproof::fake::is_ended_by_mpi()) return 1;
  const std::unique_lock lock(all.mutex, std::try_to_lock);
  if (!lock.owns_lock() || all.hangs || all.forgives_leaks) return 1;
  for (const auto& device : all.devices) {
    if (device.dead != cudaSuccess) return 1;  // nothing can be released any more
  }
  return 0;
}

extern "C" void rackproof_fake_forgive_leaks() {
  const std::lock_guard lock(rackproof::fake::runtime().mutex);
  rackproof::fake::runtime().forgives_leaks = true;
}

extern "C" void rackproof_fake_hang() {
  {
    const std::lock_guard lock(rackproof::fake::runtime().mutex);
    rackproof::fake::runtime().hangs = true;
  }
  for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
}

extern "C" void rackproof_fake_wait_for_what_hangs() {
  {
    const std::lock_guard lock(rackproof::fake::runtime().mutex);
    if (!rackproof::fake::runtime().hangs) return;
  }
  rackproof_fake_hang();
}

extern "C" void rackproof_fake_fail(const char* message) {
  (void)std::fflush(nullptr);
  const std::string line = std::string("fake cuda: ") + message + "\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
  (void)std::signal(SIGABRT, SIG_DFL);  // MPI would add a page to that line
  std::abort();
}
