// State of the fake CUDA runtime. One mutex guards all of it; one condition variable tells of every change.
#pragma once

#include <cuda_runtime_api.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/fakes/common/fake_cuda.hpp"
#include "tests/fakes/common/faults.hpp"
#include "tests/fakes/common/fleet.hpp"

namespace rackproof::fake {

/// rackproof_fake_fail().
[[noreturn]] void fail(const std::string& message);
/// "0x7f3c00001000".
[[nodiscard]] std::string text(const void* pointer);

/// What a stream does at one step, on its thread.
using Work = std::function<void()>;

/// One recording of an event.
struct Record {
  bool done = false;
  std::chrono::steady_clock::time_point at;
  std::shared_ptr<struct StreamState> stream;  ///< whose step it is; null in a graph
  std::uint64_t ticket = 0;                    ///< done when the stream has completed that many steps
};

/// Steps that were captured, in an order that respects all dependencies: the one in which they were asked for.
struct Steps {
  std::vector<Work> work;
};

/// A capture that goes on.
struct Capture {
  std::shared_ptr<Steps> steps = std::make_shared<Steps>();
  std::shared_ptr<struct StreamState> origin;
  std::set<struct StreamState*> unjoined;  ///< streams that joined through an event, with steps nobody waited for
  std::vector<std::shared_ptr<struct StreamState>> joined;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;
  bool invalid = false;
  unsigned long long id = 0;
};

struct StreamState {
  int device = 0;
  unsigned flags = cudaStreamDefault;
  int priority = 0;
  bool legacy = false;  ///< the stream 0, which waits for all blocking streams and they for it
  unsigned long long id = 0;
  std::deque<Work> queue;
  std::uint64_t enqueued = 0;
  std::uint64_t completed = 0;
  std::uint64_t wanted = 0;              ///< lazy streams work up to here
  std::chrono::nanoseconds own_time{0};  ///< what its steps took, where GPUs have a time of their own
  bool closed = false;
  bool running = false;  ///< has a thread
  std::shared_ptr<Capture> capture;
};

enum class Memory { device, managed, pinned, registered };

struct Allocation {
  std::uintptr_t begin = 0;
  std::size_t bytes = 0;
  Memory memory = Memory::device;
  int device = 0;
  std::uintptr_t mapping = 0;  ///< of whole pages, around it
  std::size_t mapping_bytes = 0;
};

struct DeviceState {
  Identity identity;
  std::size_t capacity = 0;
  std::size_t used = 0;
  cudaError_t dead = cudaSuccess;  ///< what every call returns from now on
  bool dead_was_seen = false;
  std::shared_ptr<StreamState> legacy;
  std::set<int> peers;
};

struct Kernel {
  std::string name;
  void (*twin)(void**, dim3, dim3, std::size_t) = nullptr;
  std::size_t dynamic_shared_limit = 48 * 1024;
};

class Runtime {
 public:
  Runtime();
  std::mutex mutex;
  std::condition_variable changed;
  Fleet fleet;
  std::vector<Fault> faults;
  std::vector<DeviceState> devices;  ///< the visible ones
  std::map<std::uintptr_t, Allocation> allocations;
  std::vector<Allocation> freed;  ///< the latest, to name them
  std::vector<std::shared_ptr<StreamState>> streams;
  std::set<const void*> stream_handles;
  std::set<const void*> event_handles;
  std::set<const void*> graph_handles;
  std::set<const void*> graph_exec_handles;
  std::set<std::shared_ptr<Capture>> captures;
  unsigned long long last_id = 0;
  long calls = 0;  ///< that can report an error of the device
  long allocations_made = 0;
  bool lazy = false;  ///< streams work only when somebody waits for them
  unsigned delay_seed = 0;
  long kernels_run = 0;
  long hang_at_kernel = 0;       ///< the number of the one that never ends; 0: none
  bool hangs = false;            ///< something never ends
  bool forgives_leaks = false;   ///< rackproof_fake_forgive_leaks()
  bool no_kernel_image = false;  ///< kernels are of no GPU of these
  bool not_ready = false;        ///< the fabric
  double slowness = 1.0;         ///< work takes that many times as long
  bool own_times = false;        ///< GPUs have a time of their own, and events tell it
  double own_speed = 1.0;        ///< of this rank's, where a GPU of the kind has 1
  std::mt19937_64 own_noise;     ///< from step to step
  pid_t owner = 0;

  // Memory (memory.cpp), all with the mutex held.
  cudaError_t allocate(std::size_t bytes, Memory memory, int device, void** pointer);
  void release(const char* call, void* pointer, bool host);
  [[nodiscard]] const Allocation* find(const void* pointer) const;
  [[nodiscard]] std::string describe(const void* pointer) const;
  /// Fails unless all these bytes are live memory of a GPU, or live pinned, or neither.
  const Allocation* check_range(const std::string& call, const char* what, const void* pointer,
                                std::size_t bytes) const;

  // Streams (streams.cpp).
  std::shared_ptr<StreamState> open_stream(int device, unsigned flags, int priority, bool legacy);
  /// Puts a step into the stream, or into the capture that it takes part in. Lock held.
  void enqueue(const std::shared_ptr<StreamState>& stream, Work work);
  /// Until the stream has completed `ticket` steps. Lock held, released meanwhile.
  void wait_for(std::unique_lock<std::mutex>& lock, const std::shared_ptr<StreamState>& stream, std::uint64_t ticket);
  void wait_for_device(std::unique_lock<std::mutex>& lock, int device);
  [[nodiscard]] bool idle(int device) const;

 private:
  void see_devices();
  void set_own_times(const char* seed);
  void run(const std::shared_ptr<StreamState>& stream);
  std::uintptr_t place(std::size_t bytes);
};

Runtime& runtime();
/// Null where this process has not asked for a GPU.
Runtime* runtime_if_any();

/// By the addresses of their stubs on the host; nvcc's code registers them before main(). Under a mutex of their own.
struct Kernels {
  std::mutex mutex;
  std::map<const void*, Kernel> all;
};
Kernels& kernels();

/// The stream behind the handle; fails where it was destroyed or never made. Lock held.
std::shared_ptr<StreamState> stream_of(const char* call, cudaStream_t stream);

/// Lets the calling thread read and write device memory while it lives.
class OpenMemory {
 public:
  OpenMemory();
  OpenMemory(const OpenMemory&) = delete;
  OpenMemory& operator=(const OpenMemory&) = delete;
  ~OpenMemory();

 private:
  int before_;
};
void open_memory_for_good();
void close_memory();

/// Names what the thread runs, for the message of a bad access.
void running(const char* what);
/// Takes as much longer as slow_rank asks for.
void stretch(std::chrono::steady_clock::time_point since);

int& current_device();

// What calls return (call.cpp).
enum class Reports {
  nothing,  ///< the call cannot tell of a broken device
  errors,   ///< it does
  answers,  ///< it does, but is asked again and again, so that faults do not count it
  releases  ///< it does, but releases what it was given
};
/// What precedes each call: an error that nobody looked at, a driver that is missing, a device that is broken.
cudaError_t enter(const char* call, Reports reports);
/// What the call returns, kept for cudaGetLastError().
cudaError_t leave(const char* call, cudaError_t code);

/// Runs the body of an API function, which returns its cudaError_t.
template <typename Body>
cudaError_t api(const char* call, Reports reports, Body body) {
  const cudaError_t before = enter(call, reports);
  if (before != cudaSuccess && reports != Reports::releases) return leave(call, before);
  const cudaError_t code = body();
  return leave(call, before != cudaSuccess ? before : code);
}

/// Counts a call that can report what is wrong with the device, and plants what is to be wrong from it on. Lock held.
void meet_faults(Runtime& all);
/// Breaks the device.
void kill_device(int device, cudaError_t code);

}  // namespace rackproof::fake

// What the handles point to.
struct CUstream_st {
  std::shared_ptr<rackproof::fake::StreamState> state;
};
struct CUevent_st {
  unsigned flags = 0;
  int device = 0;
  std::shared_ptr<rackproof::fake::Record> record;    ///< null: never recorded
  std::shared_ptr<rackproof::fake::Capture> capture;  ///< where it was recorded in one
  rackproof::fake::StreamState* captured_in = nullptr;
};
struct CUgraph_st {
  std::shared_ptr<rackproof::fake::Steps> steps;
};
struct CUgraphExec_st {
  std::shared_ptr<rackproof::fake::Steps> steps;
  int device = 0;
};
