// Kernels: what nvcc's stubs call, and the host twins that run in place of the GPU's code.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "tests/fakes/cudart/runtime.hpp"

namespace rackproof::fake {
namespace {

using Twin = void (*)(void**, dim3, dim3, std::size_t);

struct Launch {
  dim3 grid, block;
  std::size_t shared = 0;
  cudaStream_t stream = nullptr;
};

std::vector<Launch>& configurations() {
  thread_local std::vector<Launch> pushed;
  return pushed;
}

struct Pipe {
  std::array<int, 2> ends{};
  Pipe() {
    if (pipe2(ends.data(), O_CLOEXEC) != 0) fail("no pipe to copy the arguments of kernels through");
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    for (const int end : ends) (void)close(end);
  }
};

/// Arguments of a launch, copied: those of the caller are gone when the kernel runs. The runtime knows their number and
/// sizes from the GPU's code; here none is known, so that much is copied from each place as an argument can be expected
/// to take, of as many as can be read. What lies behind the arguments is copied with them and not looked at.
class Arguments {
 public:
  static constexpr std::size_t most = 16;
  static constexpr std::size_t largest = 4096;

  explicit Arguments(void** given) {
    for (std::size_t i = 0; i < most && given != nullptr; ++i) {
      void* from = nullptr;
      if (!read(&from, given + i, sizeof from) || from == nullptr) break;
      if (!read(&bytes_[i], from, largest)) break;
      pointers_[i] = &bytes_[i];
    }
  }
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;
  ~Arguments() = default;
  [[nodiscard]] void** pointers() { return pointers_.data(); }

 private:
  struct alignas(64) Bytes {
    std::array<char, largest> bytes;
  };

  /// Up to so many bytes; false where there is none. The kernel reads them for a pipe, and says where it cannot.
  static bool read(void* to, const void* from, std::size_t bytes) {
    const ssize_t there = write(pipe_end(1), from, bytes);
    return there > 0 && ::read(pipe_end(0), to, static_cast<std::size_t>(there)) == there;
  }
  static int pipe_end(std::size_t end) {
    thread_local const Pipe own;
    return own.ends[end];
  }

  std::array<void*, most> pointers_{};
  std::array<Bytes, most> bytes_;
};

bool fits(const dim3& grid, const dim3& block) {
  const unsigned long long threads = 1ULL * block.x * block.y * block.z;
  return threads >= 1 && threads <= 1024 && block.z <= 64 && grid.x >= 1 && grid.x <= 0x7fffffffU && grid.y >= 1 &&
         grid.y <= 65535 && grid.z >= 1 && grid.z <= 65535;
}

/// Null where nvcc's code registered no such kernel. What it points to stays.
Kernel* kernel_of(const void* stub) {
  const std::lock_guard lock(kernels().mutex);
  const auto found = kernels().all.find(stub);
  return found == kernels().all.end() ? nullptr : &found->second;
}

/// One more that runs, which may be the one that never ends.
void count_kernel() {
  Runtime& all = runtime();
  {
    const std::lock_guard lock(all.mutex);
    if (++all.kernels_run != all.hang_at_kernel) return;
  }
  rackproof_fake_hang();
}

cudaError_t launch(const char* call, const void* stub, const Launch& how, void** given) {
  const Kernel* const kernel = kernel_of(stub);
  if (runtime().no_kernel_image) return cudaErrorNoKernelImageForDevice;
  if (kernel == nullptr || kernel->twin == nullptr) return cudaErrorInvalidDeviceFunction;
  if (!fits(how.grid, how.block)) return cudaErrorInvalidConfiguration;
  if (how.shared > kernel->dynamic_shared_limit) return cudaErrorInvalidValue;
  Runtime& all = runtime();
  const std::lock_guard lock(all.mutex);
  const auto stream = stream_of(call, how.stream);
  if (stream->capture == nullptr && stream->legacy && !all.captures.empty()) return cudaErrorStreamCaptureImplicit;
  if (stream->device != current_device()) return cudaErrorInvalidResourceHandle;
  const auto arguments = std::make_shared<Arguments>(given);
  all.enqueue(stream, [arguments, how, twin = kernel->twin, name = &kernel->name] {
    const auto begin = std::chrono::steady_clock::now();
    count_kernel();
    running(name->c_str());
    twin(arguments->pointers(), how.grid, how.block, how.shared);
    running(nullptr);
    stretch(begin);
  });
  return cudaSuccess;
}

std::size_t largest_shared() { return static_cast<std::size_t>(runtime().fleet.kind.shared_kibibytes) * 1024; }

/// Blocks that a multiprocessor has room for, by threads and shared memory.
int blocks_at_once(int threads, std::size_t shared) {
  const int by_threads = 2048 / std::max(1, threads);
  const int by_shared = static_cast<int>((largest_shared() + 1024) / (shared + 1024));
  return std::min({32, by_threads, by_shared});
}

}  // namespace
}  // namespace rackproof::fake

using namespace rackproof::fake;

extern "C" {

// What nvcc's generated code calls.
void** __cudaRegisterFatBinary(void* binary) { return new void*(binary); }
void __cudaRegisterFatBinaryEnd(void** /*handle*/) {}
void __cudaUnregisterFatBinary(void** handle) { delete handle; }
char __cudaInitModule(void** /*handle*/) { return 1; }
void __cudaRegisterVar(void** /*handle*/, char* /*host*/, char* /*device*/, const char* /*name*/, int /*external*/,
                       std::size_t /*bytes*/, int /*constant*/, int /*global*/) {}
void __cudaRegisterManagedVar(void** /*handle*/, void** /*host*/, char* /*device*/, const char* /*name*/,
                              int /*external*/, std::size_t /*bytes*/, int /*constant*/, int /*global*/) {}
void __cudaRegisterHostVar(void** /*handle*/, const char* /*name*/, char* /*host*/, std::size_t /*bytes*/) {}
void __cudaRegisterUnifiedTable(void** /*handle*/, void* /*table*/) {}

void __cudaRegisterFunction(void** /*handle*/, const char* host_stub, char* /*device*/, const char* name, int /*limit*/,
                            uint3* /*thread*/, uint3* /*block*/, dim3* /*block_shape*/, dim3* /*grid_shape*/,
                            int* /*warp*/) {
  const std::lock_guard lock(kernels().mutex);
  kernels().all[host_stub].name = std::string("the kernel ") + name;
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, std::size_t shared, struct CUstream_st* stream) {
  configurations().push_back({grid, block, shared, stream});
  return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, std::size_t* shared, void* stream) {
  if (configurations().empty()) return cudaErrorInvalidConfiguration;
  const Launch last = configurations().back();
  configurations().pop_back();
  *grid = last.grid;
  *block = last.block;
  *shared = last.shared;
  *static_cast<cudaStream_t*>(stream) = last.stream;
  return cudaSuccess;
}

cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* host_stub) {
  *kernel = static_cast<cudaKernel_t>(const_cast<void*>(host_stub));
  return cudaSuccess;
}

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, std::size_t shared,
                               cudaStream_t stream) {
  return api("a kernel's launch", Reports::errors, [&] {
    return launch("a kernel's launch", kernel, {grid, block, shared, stream}, arguments);
  });
}

cudaError_t cudaLaunchKernel(const void* host_stub, dim3 grid, dim3 block, void** arguments, std::size_t shared,
                             cudaStream_t stream) {
  return api("cudaLaunchKernel", Reports::errors, [&] {
    return launch("cudaLaunchKernel", host_stub, {grid, block, shared, stream}, arguments);
  });
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* how, const void* host_stub, void** arguments) {
  return api("cudaLaunchKernelExC", Reports::errors, [&] {
    if (how == nullptr) return cudaErrorInvalidValue;
    return launch("cudaLaunchKernelExC", host_stub, {how->gridDim, how->blockDim, how->dynamicSmemBytes, how->stream},
                  arguments);
  });
}

cudaError_t cudaLaunchCooperativeKernel(const void* host_stub, dim3 grid, dim3 block, void** arguments,
                                        std::size_t shared, cudaStream_t stream) {
  return api("cudaLaunchCooperativeKernel", Reports::errors, [&] {
    const int at_once = blocks_at_once(static_cast<int>(block.x * block.y * block.z), shared);
    if (grid.x * grid.y * grid.z > static_cast<unsigned>(at_once * runtime().fleet.kind.multiprocessors)) {
      return cudaErrorCooperativeLaunchTooLarge;
    }
    return launch("cudaLaunchCooperativeKernel", host_stub, {grid, block, shared, stream}, arguments);
  });
}

cudaError_t cudaFuncSetAttribute(const void* host_stub, cudaFuncAttribute attribute, int value) {
  return api("cudaFuncSetAttribute", Reports::errors, [&] {
    Kernel* kernel = kernel_of(host_stub);
    if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
    if (value < 0 || static_cast<std::size_t>(value) > largest_shared()) return cudaErrorInvalidValue;
    kernel->dynamic_shared_limit = static_cast<std::size_t>(value);
    return cudaSuccess;
  });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* host_stub) {
  return api("cudaFuncGetAttributes", Reports::errors, [&] {
    if (runtime().no_kernel_image) return cudaErrorNoKernelImageForDevice;
    const Kernel* kernel = kernel_of(host_stub);
    if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    *attributes = {};
    attributes->maxThreadsPerBlock = 1024;
    attributes->maxDynamicSharedSizeBytes = static_cast<int>(kernel->dynamic_shared_limit);
    attributes->numRegs = 64;
    attributes->binaryVersion = runtime().fleet.kind.major * 10 + runtime().fleet.kind.minor;
    attributes->ptxVersion = attributes->binaryVersion;
    return cudaSuccess;
  });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* host_stub, int threads,
                                                                   std::size_t shared, unsigned /*flags*/) {
  return api("cudaOccupancyMaxActiveBlocksPerMultiprocessor", Reports::errors, [&] {
    if (kernel_of(host_stub) == nullptr) return cudaErrorInvalidDeviceFunction;
    *blocks = blocks_at_once(threads, shared);
    return cudaSuccess;
  });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* host_stub, int threads,
                                                          std::size_t shared) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, host_stub, threads, shared, 0);
}

cudaError_t cudaOccupancyAvailableDynamicSMemPerBlock(std::size_t* shared, const void* host_stub, int blocks,
                                                      int /*threads*/) {
  return api("cudaOccupancyAvailableDynamicSMemPerBlock", Reports::errors, [&] {
    if (kernel_of(host_stub) == nullptr) return cudaErrorInvalidDeviceFunction;
    *shared = largest_shared() / static_cast<std::size_t>(std::max(1, blocks));
    return cudaSuccess;
  });
}

void rackproof_fake_register_kernel(const void* host_stub, Twin twin) {
  const std::lock_guard lock(kernels().mutex);
  Kernel& kernel = kernels().all[host_stub];
  if (kernel.name.empty()) kernel.name = "a kernel";
  kernel.twin = twin;
}
}
