// Memory of the fake GPUs. It lies in one range of addresses of its own, in whole pages with a page that nobody may
// touch after each allocation; what is freed may not be touched any more. Where the processor has protection keys, only
// threads of streams can touch what lives. New memory is full of NaN.
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

#include "tests/fakes/cudart/runtime.hpp"

namespace rackproof::fake {
namespace {

constexpr std::size_t alignment = 256;  // of cudaMalloc
constexpr int poison = 0xff;            // NaN in every floating type, -1 in integers
constexpr int canary = 0xa5;            // around what was asked for

std::size_t page() {
  static const auto bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

std::size_t round_up(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }

/// The addresses of all GPUs' memory.
struct Arena {
  std::uintptr_t begin = 0;
  std::size_t bytes = 0;
  std::uintptr_t next = 0;
  int key = -1;  ///< of memory protection; -1: the processor has none
  [[nodiscard]] bool holds(std::uintptr_t address) const { return address - begin < bytes; }
};

Arena make_arena() {
  Arena arena;
  for (std::size_t bytes = std::size_t{1} << 40U; bytes >= std::size_t{1} << 33U && arena.bytes == 0; bytes /= 2) {
    void* range = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED) continue;
    arena.begin = reinterpret_cast<std::uintptr_t>(range);
    arena.bytes = bytes;
  }
  if (arena.bytes == 0) fail("no addresses for the memory of the GPUs");
  arena.next = arena.begin;
  arena.key = pkey_alloc(0, PKEY_DISABLE_ACCESS);
  return arena;
}

Arena& arena() {
  static auto* const instance = new Arena(make_arena());
  return *instance;
}

const char*& running_now() {
  thread_local const char* what = nullptr;
  return what;
}

struct sigaction& previous_handler() {
  static struct sigaction action = {};
  return action;
}

void explain_bad_access(const void* address, bool by_key) {
  Runtime& all = runtime();
  const std::unique_lock lock(all.mutex, std::try_to_lock);
  std::string message = running_now() == nullptr ? "the host" : running_now();
  message += by_key ? " touches memory of a GPU: " : " touches what is no memory of a GPU: ";
  fail(message + (lock.owns_lock() ? all.describe(address) : text(address)));
}

extern "C" void on_bad_access(int signal, siginfo_t* info, void* /*context*/) {
  if (arena().holds(reinterpret_cast<std::uintptr_t>(info->si_addr))) {
    explain_bad_access(info->si_addr, info->si_code == SEGV_PKUERR);
  }
  // Not ours: as if this handler were not there.
  (void)sigaction(signal, &previous_handler(), nullptr);
}

const char* name(Memory memory) {
  switch (memory) {
    case Memory::device:
      return "device memory";
    case Memory::managed:
      return "managed memory";
    case Memory::pinned:
      return "pinned host memory";
    case Memory::registered:
      return "registered host memory";
  }
  return "memory";
}

std::string describe_in(const Allocation& allocation, std::uintptr_t address, const char* state) {
  std::string line = text(reinterpret_cast<const void*>(address)) + ", ";
  if (address >= allocation.begin + allocation.bytes) {
    line += std::to_string(address - allocation.begin - allocation.bytes) + " bytes behind ";
  } else if (address < allocation.begin) {
    line += std::to_string(allocation.begin - address) + " bytes before ";
  } else if (address > allocation.begin) {
    line += "byte " + std::to_string(address - allocation.begin) + " of ";
  }
  line += std::to_string(allocation.bytes) + " bytes of " + state + name(allocation.memory);
  if (allocation.memory == Memory::device) line += " of GPU " + std::to_string(allocation.device);
  return line;
}

void check_canaries(const std::string& call, const Allocation& allocation) {
  const OpenMemory open;
  const auto check = [&](std::uintptr_t from, std::uintptr_t to) {
    for (std::uintptr_t at = from; at < to; ++at) {
      if (*reinterpret_cast<const unsigned char*>(at) != canary) {
        fail(call + ": something wrote to " + describe_in(allocation, at, ""));
      }
    }
  };
  check(allocation.mapping, allocation.begin);
  check(allocation.begin + allocation.bytes, allocation.mapping + allocation.mapping_bytes);
}

void fill(const Allocation& allocation) {
  const OpenMemory open;
  std::memset(reinterpret_cast<void*>(allocation.mapping), canary, allocation.mapping_bytes);
  std::memset(reinterpret_cast<void*>(allocation.begin), poison, allocation.bytes);
}

}  // namespace

OpenMemory::OpenMemory() : before_(arena().key < 0 ? 0 : pkey_get(arena().key)) { open_memory_for_good(); }
OpenMemory::~OpenMemory() {
  if (arena().key >= 0) (void)pkey_set(arena().key, static_cast<unsigned>(before_));
}
void open_memory_for_good() {
  if (arena().key >= 0) (void)pkey_set(arena().key, 0);
}
void close_memory() {
  if (arena().key >= 0) (void)pkey_set(arena().key, PKEY_DISABLE_ACCESS);
}
void running(const char* what) { running_now() = what; }

void install_fault_handler() {
  (void)arena();
  struct sigaction action = {};
  action.sa_sigaction = on_bad_access;
  action.sa_flags = SA_SIGINFO;
  (void)sigaction(SIGSEGV, &action, &previous_handler());
}

/// Addresses for so many bytes, not used before if there are such.
std::uintptr_t Runtime::place(std::size_t bytes) {
  Arena& all = arena();
  for (int round = 0; round < 2; ++round) {
    std::uintptr_t at = all.next;
    for (auto live = allocations.lower_bound(at); live != allocations.end(); ++live) {
      if (!all.holds(live->second.mapping) || live->second.mapping >= at + bytes) break;
      at = live->second.mapping + live->second.mapping_bytes + page();
    }
    if (at + bytes <= all.begin + all.bytes) {
      all.next = at + bytes;
      return at;
    }
    all.next = all.begin;
  }
  return 0;
}

cudaError_t Runtime::allocate(std::size_t bytes, Memory memory, int device, void** pointer) {
  const bool counts = memory == Memory::device || memory == Memory::managed;
  DeviceState& owner_device = devices[static_cast<std::size_t>(device)];
  Allocation made;
  made.bytes = bytes;
  made.memory = memory;
  made.device = device;
  made.mapping_bytes = round_up(round_up(bytes, alignment), page());
  if (counts) {
    ++allocations_made;
    for (const Fault& fault : faults) {
      if (fault.name != "out_of_memory") continue;
      if (fault.where == "malloc" && fault.at == allocations_made) return cudaErrorMemoryAllocation;
      if (fault.where.empty() && allocations_made == 2) owner_device.capacity = fleet.memory / 8;
    }
    if (owner_device.used + made.mapping_bytes > owner_device.capacity) return cudaErrorMemoryAllocation;
  }
  made.mapping = place(made.mapping_bytes + page());
  if (made.mapping == 0) return cudaErrorMemoryAllocation;
  auto* const mapped = reinterpret_cast<void*>(made.mapping);
  const int rights = PROT_READ | PROT_WRITE;
  const bool closed = memory == Memory::device && arena().key >= 0;
  const int failed = closed ? pkey_mprotect(mapped, made.mapping_bytes, rights, arena().key)
                            : mprotect(mapped, made.mapping_bytes, rights);
  if (failed != 0) return cudaErrorMemoryAllocation;
  // Its end lies at the page that nobody may touch.
  made.begin = made.mapping + made.mapping_bytes - round_up(bytes, alignment);
  fill(made);
  if (counts) owner_device.used += made.mapping_bytes;
  allocations.emplace(made.begin, made);
  *pointer = reinterpret_cast<void*>(made.begin);
  return cudaSuccess;
}

void Runtime::release(const char* call, void* pointer, bool host) {
  const auto found = allocations.find(reinterpret_cast<std::uintptr_t>(pointer));
  if (found == allocations.end()) fail(std::string(call) + " of " + describe(pointer));
  const Allocation gone = found->second;
  if (host != (gone.memory == Memory::pinned) || gone.memory == Memory::registered) {
    fail(std::string(call) + " of " + describe(pointer));
  }
  check_canaries(call, gone);
  (void)mmap(reinterpret_cast<void*>(gone.mapping), gone.mapping_bytes, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  if (!host) devices[static_cast<std::size_t>(gone.device)].used -= gone.mapping_bytes;
  allocations.erase(found);
  constexpr std::size_t remembered = 4096;
  if (freed.size() >= remembered) freed.erase(freed.begin(), freed.begin() + remembered / 2);
  freed.push_back(gone);
}

const Allocation* Runtime::find(const void* pointer) const {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  auto found = allocations.upper_bound(address);
  if (found == allocations.begin()) return nullptr;
  --found;
  return address < found->second.begin + found->second.bytes ? &found->second : nullptr;
}

std::string Runtime::describe(const void* pointer) const {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  if (const Allocation* live = find(pointer); live != nullptr) return describe_in(*live, address, "");
  for (auto gone = freed.rbegin(); gone != freed.rend(); ++gone) {
    if (address - gone->begin < gone->bytes) return describe_in(*gone, address, "freed ");
  }
  for (const auto& [begin, live] : allocations) {
    if (live.memory != Memory::registered && address - live.mapping < live.mapping_bytes + page()) {
      return describe_in(live, address, "");
    }
  }
  if (arena().holds(address)) return text(pointer) + ", where nothing was allocated";
  return text(pointer) + ", which is host memory";
}

const Allocation* Runtime::check_range(const std::string& call, const char* what, const void* pointer,
                                       std::size_t bytes) const {
  if (pointer == nullptr) fail(call + ": " + what + " is null");
  const Allocation* found = find(pointer);
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  if (found == nullptr) {
    if (arena().holds(address)) fail(call + ": " + what + " is " + describe(pointer));
    return nullptr;
  }
  if (address - found->begin + bytes > found->bytes && found->memory != Memory::registered) {
    fail(call + " of " + std::to_string(bytes) + " bytes: " + what + " is " + describe(pointer));
  }
  return found;
}

}  // namespace rackproof::fake

using rackproof::fake::Allocation;
using rackproof::fake::api;
using rackproof::fake::current_device;
using rackproof::fake::fail;
using rackproof::fake::Memory;
using rackproof::fake::Reports;
using rackproof::fake::runtime;

namespace {

bool capture_forbids(const std::unique_lock<std::mutex>& /*held*/) {
  bool forbidden = false;
  for (const auto& capture : runtime().captures) {
    if (capture->mode == cudaStreamCaptureModeRelaxed) continue;
    if (capture->mode == cudaStreamCaptureModeThreadLocal && capture->thread != std::this_thread::get_id()) continue;
    capture->invalid = forbidden = true;
  }
  return forbidden;
}

cudaError_t allocate(void** pointer, std::size_t bytes, Memory memory) {
  if (pointer == nullptr) return cudaErrorInvalidValue;
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  const std::unique_lock lock(runtime().mutex);
  if (capture_forbids(lock)) return cudaErrorStreamCaptureUnsupported;
  return runtime().allocate(bytes, memory, current_device(), pointer);
}

cudaError_t release(const char* call, void* pointer, bool host) {
  if (pointer == nullptr) return cudaSuccess;
  std::unique_lock lock(runtime().mutex);
  if (capture_forbids(lock)) return cudaErrorStreamCaptureUnsupported;
  // The real one waits as well.
  const Allocation* found = runtime().find(pointer);
  if (found != nullptr) runtime().wait_for_device(lock, found->device);
  runtime().release(call, pointer, host);
  return cudaSuccess;
}

cudaMemoryType type_of(const Allocation* allocation) {
  if (allocation == nullptr) return cudaMemoryTypeUnregistered;
  switch (allocation->memory) {
    case Memory::device:
      return cudaMemoryTypeDevice;
    case Memory::managed:
      return cudaMemoryTypeManaged;
    default:
      return cudaMemoryTypeHost;
  }
}

}  // namespace

extern "C" {

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  return api("cudaMalloc", Reports::errors, [&] { return allocate(pointer, bytes, Memory::device); });
}

cudaError_t cudaMallocAsync(void** pointer, std::size_t bytes, cudaStream_t /*stream*/) {
  return api("cudaMallocAsync", Reports::errors, [&] { return allocate(pointer, bytes, Memory::device); });
}

cudaError_t cudaMallocManaged(void** pointer, std::size_t bytes, unsigned /*flags*/) {
  return api("cudaMallocManaged", Reports::errors, [&] { return allocate(pointer, bytes, Memory::managed); });
}

cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  return api("cudaMallocHost", Reports::errors, [&] { return allocate(pointer, bytes, Memory::pinned); });
}

cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned /*flags*/) {
  return api("cudaHostAlloc", Reports::errors, [&] { return allocate(pointer, bytes, Memory::pinned); });
}

cudaError_t cudaFree(void* pointer) {
  return api("cudaFree", Reports::releases, [&] { return release("cudaFree", pointer, false); });
}

cudaError_t cudaFreeAsync(void* pointer, cudaStream_t /*stream*/) {
  return api("cudaFreeAsync", Reports::releases, [&] { return release("cudaFreeAsync", pointer, false); });
}

cudaError_t cudaFreeHost(void* pointer) {
  return api("cudaFreeHost", Reports::releases, [&] { return release("cudaFreeHost", pointer, true); });
}

cudaError_t cudaHostRegister(void* pointer, std::size_t bytes, unsigned /*flags*/) {
  return api("cudaHostRegister", Reports::errors, [&] {
    if (pointer == nullptr || bytes == 0) return cudaErrorInvalidValue;
    const std::lock_guard lock(runtime().mutex);
    if (runtime().find(pointer) != nullptr) return cudaErrorHostMemoryAlreadyRegistered;
    Allocation made;
    made.begin = made.mapping = reinterpret_cast<std::uintptr_t>(pointer);
    made.bytes = made.mapping_bytes = bytes;
    made.memory = Memory::registered;
    made.device = current_device();
    runtime().allocations.emplace(made.begin, made);
    return cudaSuccess;
  });
}

cudaError_t cudaHostUnregister(void* pointer) {
  return api("cudaHostUnregister", Reports::releases, [&] {
    std::unique_lock lock(runtime().mutex);
    runtime().wait_for_device(lock, current_device());
    const auto found = runtime().allocations.find(reinterpret_cast<std::uintptr_t>(pointer));
    if (found == runtime().allocations.end() || found->second.memory != Memory::registered) {
      return cudaErrorHostMemoryNotRegistered;
    }
    runtime().allocations.erase(found);
    return cudaSuccess;
  });
}

cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned /*flags*/) {
  return api("cudaHostGetDevicePointer", Reports::errors, [&] {
    const std::lock_guard lock(runtime().mutex);
    if (device == nullptr || type_of(runtime().find(host)) != cudaMemoryTypeHost) return cudaErrorInvalidValue;
    *device = host;
    return cudaSuccess;
  });
}

cudaError_t cudaHostGetFlags(unsigned* flags, void* host) {
  return api("cudaHostGetFlags", Reports::errors, [&] {
    const std::lock_guard lock(runtime().mutex);
    if (flags == nullptr || type_of(runtime().find(host)) != cudaMemoryTypeHost) return cudaErrorInvalidValue;
    *flags = cudaHostAllocMapped;
    return cudaSuccess;
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  return api("cudaPointerGetAttributes", Reports::errors, [&] {
    if (attributes == nullptr) return cudaErrorInvalidValue;
    const std::lock_guard lock(runtime().mutex);
    const Allocation* found = runtime().find(pointer);
    *attributes = {};
    attributes->type = type_of(found);
    attributes->device = found == nullptr ? -2 : found->device;
    if (found != nullptr) attributes->devicePointer = const_cast<void*>(pointer);
    if (found != nullptr && found->memory != Memory::device) attributes->hostPointer = const_cast<void*>(pointer);
    return cudaSuccess;
  });
}

cudaError_t cudaMemGetInfo(std::size_t* available, std::size_t* total) {
  return api("cudaMemGetInfo", Reports::errors, [&] {
    if (available == nullptr || total == nullptr) return cudaErrorInvalidValue;
    const std::lock_guard lock(runtime().mutex);
    const auto& device = runtime().devices[static_cast<std::size_t>(current_device())];
    *available = device.capacity - std::min(device.capacity, device.used);
    *total = runtime().fleet.memory;
    return cudaSuccess;
  });
}

#if CUDART_VERSION >= 13000
using MemoryPlace = cudaMemLocation;
#define RACKPROOF_FAKE_FLAGS unsigned /*flags*/,
#else
using MemoryPlace = int;
#define RACKPROOF_FAKE_FLAGS
#endif
cudaError_t cudaMemPrefetchAsync(const void* pointer, std::size_t bytes, MemoryPlace /*to*/,
                                 RACKPROOF_FAKE_FLAGS cudaStream_t /*stream*/) {
  return api("cudaMemPrefetchAsync", Reports::errors, [&] {
    const std::lock_guard lock(runtime().mutex);
    const Allocation* found = runtime().check_range("cudaMemPrefetchAsync", "the memory", pointer, bytes);
    return type_of(found) == cudaMemoryTypeManaged ? cudaSuccess : cudaErrorInvalidValue;
  });
}

cudaError_t cudaMemAdvise(const void* pointer, std::size_t bytes, cudaMemoryAdvise /*advice*/, MemoryPlace /*at*/) {
  return api("cudaMemAdvise", Reports::errors, [&] {
    const std::lock_guard lock(runtime().mutex);
    const Allocation* found = runtime().check_range("cudaMemAdvise", "the memory", pointer, bytes);
    return type_of(found) == cudaMemoryTypeManaged ? cudaSuccess : cudaErrorInvalidValue;
  });
}

int rackproof_fake_owns(const void* pointer, std::size_t bytes) {
  const std::lock_guard lock(runtime().mutex);
  const Allocation* found = runtime().find(pointer);
  if (found == nullptr || (found->memory != Memory::device && found->memory != Memory::managed)) return 0;
  const std::size_t offset = reinterpret_cast<std::uintptr_t>(pointer) - found->begin;
  return found->device == current_device() && bytes <= found->bytes - offset ? 1 : 0;
}

void rackproof_fake_open_memory() { rackproof::fake::open_memory_for_good(); }
}
