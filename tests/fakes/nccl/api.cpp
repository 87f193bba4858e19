// The functions of libnccl.so.2 as nccl.h declares them.
#include <nccl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "tests/fakes/common/faults.hpp"
#include "tests/fakes/nccl/arithmetic.hpp"
#include "tests/fakes/nccl/communicator.hpp"
#include "tests/fakes/nccl/cuda_double.hpp"
#include "tests/fakes/nccl/debug_log.hpp"
#include "tests/fakes/nccl/hub.hpp"

namespace rackproof::fake_nccl {
namespace {

constexpr std::uint64_t id_magic = 0x6661'6b65'6e63'636cU;
constexpr unsigned config_magic = 0xcafebeef;

/// What is in a ncclUniqueId.
struct Id {
  std::uint64_t magic = id_magic;
  std::uint64_t nonce = 0;
  std::int32_t port = 0;
  std::int32_t count = 0;
  std::array<std::uint32_t, 8> addresses{};
};
static_assert(sizeof(Id) <= sizeof(ncclUniqueId));

Planted read_planted() {
  Planted planted;
  for (const fake::Fault& fault : fake::own_faults()) {
    const bool in_sums = fault.where == "all_reduce";
    if (fault.name == "hang" && in_sums) planted.hang_at = fault.at;
    if (fault.name == "hang" && fault.where == "split") planted.hang_at_split = fault.at;
    if (fault.name == "die" && in_sums) planted.die_at = fault.at;
    if (fault.name == "freeze" && in_sums) planted.freeze_at = fault.at;
    if (fault.name == "wrong_sum") planted.wrong_sum = true;
  }
  return planted;
}

/// What the library keeps for this process.
class Process {
 public:
  Process() = default;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() {
    // The caller gave up what has not returned yet, and may not free what it uses.
    if (calls_inside_ > 0) cuda_double()->forgive_leaks();
    std::size_t leaked = 0;
    for (const auto& [handle, communicator] : communicators_) leaked += communicator->has_failed() ? 0 : 1;
    if (leaked > 0 && cuda_double()->forgives_leaks() == 0) {
      fail("NCCL: " + std::to_string(leaked) + " communicators were never destroyed");
    }
    // Others may be a little behind.
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    for (const auto& hub : hubs_) {
      while (hub->is_busy() && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
      }
    }
  }

  HubAddress make_hub() {
    const std::lock_guard lock(mutex_);
    hubs_.remove_if([](const auto& hub) { return hub->has_ended(); });
    hubs_.push_back(std::make_unique<Hub>([this] { return make_hub(); }));
    return hubs_.back()->address();
  }

  ncclComm_t add(std::shared_ptr<Communicator> communicator) {
    const std::lock_guard lock(mutex_);
    const auto handle = reinterpret_cast<ncclComm_t>(communicator.get());
    communicators_[handle] = std::move(communicator);
    return handle;
  }
  /// Null for a null handle. Any other must be that of a live communicator.
  std::shared_ptr<Communicator> find(ncclComm_t handle) {
    if (handle == nullptr) return nullptr;
    const std::lock_guard lock(mutex_);
    const auto found = communicators_.find(handle);
    if (found == communicators_.end()) fail("NCCL: a communicator is used that was destroyed, or never was");
    return found->second;
  }
  void remove(ncclComm_t handle) {
    const std::lock_guard lock(mutex_);
    communicators_.erase(handle);
  }

  [[nodiscard]] const Planted& planted() const { return planted_; }

  /// A call that waits for other ranks, from here to the end of the block.
  class Inside {
   public:
    explicit Inside(Process& process) : process_(process) { ++process_.calls_inside_; }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;
    ~Inside() { --process_.calls_inside_; }

   private:
    Process& process_;
  };
  /// One more call of ncclCommSplit, which may be the one that never returns.
  void count_split() {
    if (++splits_ == planted_.hang_at_split) cuda_double()->hang();
  }

 private:
  std::mutex mutex_;
  std::map<ncclComm_t, std::shared_ptr<Communicator>> communicators_;
  std::list<std::unique_ptr<Hub>> hubs_;
  Planted planted_ = read_planted();
  std::atomic<int> calls_inside_ = 0;
  std::atomic<long> splits_ = 0;
};

Process& process() {
  static Process one;
  return one;
}

/// What a thread has asked for between ncclGroupStart and ncclGroupEnd.
struct Group {
  struct Part {
    std::shared_ptr<Communicator> communicator;
    cudaStream_t stream;
    std::vector<Call> calls;
  };
  int depth = 0;
  std::vector<Part> parts{};
  std::vector<std::shared_ptr<Communicator>> begun{};
  ncclResult_t error = ncclSuccess;
};

Group& group() {
  thread_local Group one;
  return one;
}

ncclResult_t refuse(ncclResult_t code, const std::string& why) {
  set_last_error(why);
  log_warning(0, why);
  if (group().depth > 0) group().error = code;
  return code;
}

/// Of a call that was enqueued.
ncclResult_t progress_of(Communicator& communicator) {
  communicator.begin_progress();
  return communicator.is_blocking() ? ncclSuccess : ncclInProgress;
}

ncclResult_t issue(ncclComm_t handle, Call call, cudaStream_t stream, const char* function) {
  const auto communicator = process().find(handle);
  if (communicator == nullptr) return refuse(ncclInvalidArgument, std::string(function) + ": comm is NULL");
  if (const ncclResult_t state = communicator->check_ready(); state != ncclSuccess) return refuse(state, last_error());
  if (!is_type(call.type))
    return refuse(ncclInvalidArgument, std::string(function) + " : invalid type " + std::to_string(call.type));
  if (!is_reduction(call.reduction)) {
    return refuse(ncclInvalidArgument,
                  std::string(function) + " : invalid reduction operation " + std::to_string(call.reduction));
  }
  const int named = call.what == Call::What::collective ? call.root : call.peer;
  if (named < 0 || named >= communicator->size()) {
    return refuse(ncclInvalidArgument, std::string(function) + " : invalid rank " + std::to_string(named));
  }
  Group& open = group();
  if (open.depth == 0) {
    const ncclResult_t result = communicator->enqueue({call}, stream);
    if (result != ncclSuccess) return refuse(result, last_error());
    return progress_of(*communicator);
  }
  for (Group::Part& part : open.parts) {
    if (part.communicator == communicator && part.stream == stream) {
      part.calls.push_back(call);
      return ncclSuccess;
    }
  }
  open.parts.push_back({communicator, stream, {call}});
  return ncclSuccess;
}

Call collective(Operation operation, const void* send, void* receive, std::size_t count, ncclDataType_t type) {
  Call call;
  call.operation = operation;
  call.send = send;
  call.receive = receive;
  call.count = count;
  call.type = type;
  return call;
}

Call message(Call::What what, const void* send, void* receive, std::size_t count, ncclDataType_t type, int peer) {
  Call call;
  call.what = what;
  call.send = send;
  call.receive = receive;
  call.count = count;
  call.type = type;
  call.peer = peer;
  return call;
}

std::byte* block(void* buffer, std::size_t i, std::size_t count, ncclDataType_t type) {
  return static_cast<std::byte*>(buffer) + i * count * (is_type(type) ? bytes_of(type) : 0);
}
const std::byte* block(const void* buffer, std::size_t i, std::size_t count, ncclDataType_t type) {
  return static_cast<const std::byte*>(buffer) + i * count * (is_type(type) ? bytes_of(type) : 0);
}

/// 1, 0, or nothing where the configuration is not one.
std::optional<bool> blocking_of(const ncclConfig_t* config, bool inherited) {
  if (config == nullptr) return inherited;
  if (config->magic != config_magic || config->size == 0) return std::nullopt;
  if (config->blocking == NCCL_CONFIG_UNDEF_INT) return inherited;
  if (config->blocking != 0 && config->blocking != 1) return std::nullopt;
  return config->blocking == 1;
}

std::string name_in([[maybe_unused]] const ncclConfig_t* config) {
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 27, 3)
  if (config != nullptr && config->commName != nullptr) return config->commName;
#endif
  return {};
}

/// The GPU of the calling thread, told from all others: "host 0000:18:00.0".
std::string name_gpu(int device) {
  std::array<char, 256> host{};
  (void)gethostname(host.data(), host.size() - 1);
  std::array<char, 32> bus{};
  if (!succeeded(cuda_double()->pci_bus_id(bus.data(), static_cast<int>(bus.size()), device))) return {};
  return std::string(bus.data()) + " of " + host.data();
}

/// Waits for a communicator that is being made, unless it is not to be waited for.
ncclResult_t conclude(const std::shared_ptr<Communicator>& made) {
  if (!made->is_blocking()) return ncclInProgress;
  if (group().depth > 0) {
    group().begun.push_back(made);
    return ncclSuccess;
  }
  made->wait_until_begun();
  if (made->poll() != ncclSuccess) return refuse(made->poll(), last_error());
  return ncclSuccess;
}

ncclResult_t init(ncclComm_t* handle, int size, const ncclUniqueId& id, int rank, const ncclConfig_t* config) {
  if (handle == nullptr) return refuse(ncclInvalidArgument, "CommInitRank: comm is NULL");
  *handle = nullptr;
  if (cuda_double() == nullptr) return refuse(ncclSystemError, "the fake libnccl needs the fake libcudart");
  if (size < 1 || rank < 0 || rank >= size) {
    return refuse(ncclInvalidArgument, "Invalid rank requested : " + std::to_string(rank) + "/" + std::to_string(size));
  }
  Id meeting;
  std::memcpy(&meeting, id.internal, sizeof meeting);
  if (meeting.magic != id_magic) return refuse(ncclInvalidArgument, "CommInitRank: the unique id is none");
  const auto blocking = blocking_of(config, true);
  if (!blocking)
    return refuse(ncclInvalidArgument, "ncclConfig_t argument not initialized via NCCL_CONFIG_INITIALIZER");
  int device = 0;
  if (!succeeded(cuda_double()->get_device(&device))) return refuse(ncclUnhandledCudaError, "cudaGetDevice failed");
  const std::string gpu = name_gpu(device);
  if (gpu.empty()) return refuse(ncclUnhandledCudaError, "cudaDeviceGetPCIBusId failed");
  if (rank == 0) log_version();
  const Process::Inside inside(process());
  const auto made =
      std::make_shared<Communicator>(Communicator::Self{device, gpu, name_in(config), *blocking}, process().planted());
  *handle = process().add(made);
  log_init(device, "ncclCommInitRankConfig comm rank " + std::to_string(rank) + " nranks " + std::to_string(size) +
                       " cudaDev " + std::to_string(device) + " - Init START");
  const auto count = static_cast<std::size_t>(meeting.count);
  made->begin({{meeting.addresses.begin(), meeting.addresses.begin() + count}, meeting.port, meeting.nonce}, rank,
              size);
  return conclude(made);
}

}  // namespace
}  // namespace rackproof::fake_nccl

using rackproof::fake_nccl::block;
using rackproof::fake_nccl::Call;
using rackproof::fake_nccl::collective;
using rackproof::fake_nccl::Communicator;
using rackproof::fake_nccl::fail;
using rackproof::fake_nccl::group;
using rackproof::fake_nccl::Group;
using rackproof::fake_nccl::issue;
using rackproof::fake_nccl::last_error;
using rackproof::fake_nccl::message;
using rackproof::fake_nccl::Operation;
using rackproof::fake_nccl::process;
using rackproof::fake_nccl::refuse;

extern "C" {

ncclResult_t ncclGetVersion(int* version) {
  if (version == nullptr) return ncclInvalidArgument;
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* unique_id) {
  if (unique_id == nullptr) return refuse(ncclInvalidArgument, "GetUniqueId: out is NULL");
  rackproof::fake_nccl::Id id;
  try {
    const auto address = process().make_hub();
    id.nonce = address.nonce;
    id.port = address.port;
  } catch (const std::exception& error) {
    return refuse(ncclSystemError, error.what());
  }
  const auto addresses = rackproof::fake_nccl::addresses_of_this_host(id.addresses.size());
  std::copy(addresses.begin(), addresses.end(), id.addresses.begin());
  id.count = static_cast<std::int32_t>(addresses.size());
  std::memset(unique_id, 0, sizeof *unique_id);
  std::memcpy(unique_id->internal, &id, sizeof id);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t* config) {
  return rackproof::fake_nccl::init(comm, ranks, id, rank, config);
}

ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank) {
  return rackproof::fake_nccl::init(comm, ranks, id, rank, nullptr);
}

ncclResult_t ncclCommInitRankScalable(ncclComm_t* comm, int ranks, int rank, int ids, ncclUniqueId* id,
                                      ncclConfig_t* config) {
  if (ids < 1 || id == nullptr) return refuse(ncclInvalidArgument, "CommInitRankScalable: no unique id");
  return rackproof::fake_nccl::init(comm, ranks, id[0], rank, config);
}

ncclResult_t ncclCommSplit(ncclComm_t comm, int color, int key, ncclComm_t* child, ncclConfig_t* config) {
  const auto parent = process().find(comm);
  if (parent == nullptr || child == nullptr) return refuse(ncclInvalidArgument, "CommSplit: comm or newcomm is NULL");
  *child = nullptr;
  if (const ncclResult_t state = parent->check_ready(); state != ncclSuccess) return refuse(state, last_error());
  if (color < 0 && color != NCCL_SPLIT_NOCOLOR) return refuse(ncclInvalidArgument, "CommSplit: invalid color");
  const auto blocking = rackproof::fake_nccl::blocking_of(config, parent->is_blocking());
  if (!blocking)
    return refuse(ncclInvalidArgument, "ncclConfig_t argument not initialized via NCCL_CONFIG_INITIALIZER");
  const rackproof::fake_nccl::Process::Inside inside(process());
  process().count_split();
  Communicator::Self self = parent->self();
  self.name = rackproof::fake_nccl::name_in(config);
  self.blocking = *blocking;
  const auto made = std::make_shared<Communicator>(self, process().planted());
  // Without a color there is none to hand out, but the others wait for this rank's word.
  if (color != NCCL_SPLIT_NOCOLOR) *child = process().add(made);
  made->begin_split(parent, color, key);
  if (color == NCCL_SPLIT_NOCOLOR) {
    made->wait_until_begun();
    return made->poll();
  }
  return rackproof::fake_nccl::conclude(made);
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  const auto communicator = process().find(comm);
  if (communicator == nullptr) return ncclSuccess;
  communicator->finalize();
  return rackproof::fake_nccl::progress_of(*communicator);
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  const auto communicator = process().find(comm);
  if (communicator == nullptr) return ncclSuccess;
  if (const std::size_t left = communicator->registered_buffers(); left > 0) {
    fail("NCCL: " + std::to_string(left) + " registered buffers were never deregistered");
  }
  rackproof::fake_nccl::cuda_double()->wait_for_what_hangs();
  communicator->finalize();
  process().remove(comm);
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  const auto communicator = process().find(comm);
  if (communicator == nullptr) return ncclSuccess;
  communicator->abort();
  // It frees what is on the GPU, which waits for other work. What the caller leaves behind of a run that failed is no
  // leak.
  rackproof::fake_nccl::cuda_double()->forgive_leaks();
  rackproof::fake_nccl::cuda_double()->wait_for_what_hangs();
  process().remove(comm);
  return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  const auto communicator = process().find(comm);
  if (communicator == nullptr || state == nullptr) return refuse(ncclInvalidArgument, "CommGetAsyncError: NULL");
  *state = communicator->poll();
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t code) {
  switch (code) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "unhandled cuda error (run with NCCL_DEBUG=INFO for details)";
    case ncclSystemError:
      return "unhandled system error (run with NCCL_DEBUG=INFO for details)";
    case ncclInternalError:
      return "internal error - please report this issue to the NCCL developers";
    case ncclInvalidArgument:
      return "invalid argument (run with NCCL_DEBUG=WARN for details)";
    case ncclInvalidUsage:
      return "invalid usage (run with NCCL_DEBUG=WARN for details)";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInProgress:
      return "NCCL operation in progress";
    default:
      return "unknown result code";
  }
}

const char* ncclGetLastError(ncclComm_t /*comm*/) { return rackproof::fake_nccl::last_error(); }

ncclResult_t ncclCommCount(ncclComm_t comm, int* count) {
  const auto communicator = process().find(comm);
  if (communicator == nullptr || count == nullptr) return refuse(ncclInvalidArgument, "CommCount: NULL");
  *count = communicator->size();
  return ncclSuccess;
}

ncclResult_t ncclCommCuDevice(ncclComm_t comm, int* device) {
  const auto communicator = process().find(comm);
  if (communicator == nullptr || device == nullptr) return refuse(ncclInvalidArgument, "CommCuDevice: NULL");
  *device = communicator->device();
  return ncclSuccess;
}

ncclResult_t ncclCommUserRank(ncclComm_t comm, int* rank) {
  const auto communicator = process().find(comm);
  if (communicator == nullptr || rank == nullptr) return refuse(ncclInvalidArgument, "CommUserRank: NULL");
  *rank = communicator->rank();
  return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void* send, void* receive, size_t count, ncclDataType_t type, ncclRedOp_t reduction,
                           ncclComm_t comm, cudaStream_t stream) {
  Call call = collective(Operation::all_reduce, send, receive, count, type);
  call.reduction = reduction;
  return issue(comm, call, stream, "ncclAllReduce");
}

ncclResult_t ncclReduce(const void* send, void* receive, size_t count, ncclDataType_t type, ncclRedOp_t reduction,
                        int root, ncclComm_t comm, cudaStream_t stream) {
  Call call = collective(Operation::reduce, send, receive, count, type);
  call.reduction = reduction;
  call.root = root;
  return issue(comm, call, stream, "ncclReduce");
}

ncclResult_t ncclReduceScatter(const void* send, void* receive, size_t count, ncclDataType_t type,
                               ncclRedOp_t reduction, ncclComm_t comm, cudaStream_t stream) {
  Call call = collective(Operation::reduce_scatter, send, receive, count, type);
  call.reduction = reduction;
  return issue(comm, call, stream, "ncclReduceScatter");
}

ncclResult_t ncclAllGather(const void* send, void* receive, size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  return issue(comm, collective(Operation::all_gather, send, receive, count, type), stream, "ncclAllGather");
}

ncclResult_t ncclBroadcast(const void* send, void* receive, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  Call call = collective(Operation::broadcast, send, receive, count, type);
  call.root = root;
  return issue(comm, call, stream, "ncclBroadcast");
}

ncclResult_t ncclBcast(void* data, size_t count, ncclDataType_t type, int root, ncclComm_t comm, cudaStream_t stream) {
  return ncclBroadcast(data, data, count, type, root, comm, stream);
}

ncclResult_t ncclSend(const void* send, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return issue(comm, message(Call::What::send, send, nullptr, count, type, peer), stream, "ncclSend");
}

ncclResult_t ncclRecv(void* receive, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return issue(comm, message(Call::What::receive, nullptr, receive, count, type, peer), stream, "ncclRecv");
}

ncclResult_t ncclGroupStart() {
  ++group().depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  Group& open = group();
  if (open.depth == 0) return refuse(ncclInvalidUsage, "ncclGroupEnd: not in a group call.");
  if (--open.depth > 0) return ncclSuccess;
  const Group done = std::exchange(open, Group{});
  if (done.error != ncclSuccess) return done.error;
  ncclResult_t result = ncclSuccess;
  for (const auto& made : done.begun) {
    made->wait_until_begun();
    if (made->poll() != ncclSuccess) return refuse(made->poll(), last_error());
  }
  for (const Group::Part& part : done.parts) {
    const ncclResult_t enqueued = part.communicator->enqueue(part.calls, part.stream);
    if (enqueued != ncclSuccess) return refuse(enqueued, last_error());
    if (rackproof::fake_nccl::progress_of(*part.communicator) == ncclInProgress) result = ncclInProgress;
  }
  return result;
}

ncclResult_t ncclAlltoAll(const void* send, void* receive, size_t count, ncclDataType_t type, ncclComm_t comm,
                          cudaStream_t stream) {
  const auto communicator = process().find(comm);
  if (communicator == nullptr) return refuse(ncclInvalidArgument, "ncclAlltoAll: comm is NULL");
  (void)ncclGroupStart();
  for (int peer = 0; peer < communicator->size(); ++peer) {
    const auto i = static_cast<std::size_t>(peer);
    (void)ncclSend(block(send, i, count, type), count, type, peer, comm, stream);
    (void)ncclRecv(block(receive, i, count, type), count, type, peer, comm, stream);
  }
  return ncclGroupEnd();
}

ncclResult_t ncclGather(const void* send, void* receive, size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                        cudaStream_t stream) {
  const auto communicator = process().find(comm);
  if (communicator == nullptr) return refuse(ncclInvalidArgument, "ncclGather: comm is NULL");
  (void)ncclGroupStart();
  (void)ncclSend(send, count, type, root, comm, stream);
  for (int peer = 0; communicator->rank() == root && peer < communicator->size(); ++peer) {
    (void)ncclRecv(block(receive, static_cast<std::size_t>(peer), count, type), count, type, peer, comm, stream);
  }
  return ncclGroupEnd();
}

ncclResult_t ncclScatter(const void* send, void* receive, size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                         cudaStream_t stream) {
  const auto communicator = process().find(comm);
  if (communicator == nullptr) return refuse(ncclInvalidArgument, "ncclScatter: comm is NULL");
  (void)ncclGroupStart();
  for (int peer = 0; communicator->rank() == root && peer < communicator->size(); ++peer) {
    (void)ncclSend(block(send, static_cast<std::size_t>(peer), count, type), count, type, peer, comm, stream);
  }
  (void)ncclRecv(receive, count, type, root, comm, stream);
  return ncclGroupEnd();
}

ncclResult_t ncclCommRegister(ncclComm_t comm, void* buffer, size_t bytes, void** handle) {
  const auto communicator = process().find(comm);
  if (communicator == nullptr || handle == nullptr) return refuse(ncclInvalidArgument, "CommRegister: NULL");
  if (rackproof::fake_nccl::cuda_double()->owns(buffer, bytes) == 0) {
    fail("NCCL: what is registered is no live memory of this GPU");
  }
  *handle = communicator->register_buffer(buffer, bytes);
  return ncclSuccess;
}

ncclResult_t ncclCommDeregister(ncclComm_t comm, void* handle) {
  const auto communicator = process().find(comm);
  if (communicator == nullptr) return refuse(ncclInvalidArgument, "CommDeregister: comm is NULL");
  if (!communicator->deregister_buffer(handle)) fail("NCCL: what is deregistered was not registered");
  return ncclSuccess;
}

ncclResult_t ncclMemAlloc(void** data, size_t bytes) {
  const auto* cuda = rackproof::fake_nccl::cuda_double();
  if (data == nullptr || cuda == nullptr) return refuse(ncclInvalidArgument, "MemAlloc: NULL");
  return rackproof::fake_nccl::succeeded(cuda->allocate(data, bytes))
             ? ncclSuccess
             : refuse(ncclUnhandledCudaError, "cudaMalloc failed");
}

ncclResult_t ncclMemFree(void* data) {
  const auto* cuda = rackproof::fake_nccl::cuda_double();
  if (data == nullptr || cuda == nullptr) return refuse(ncclInvalidArgument, "MemFree: NULL");
  return rackproof::fake_nccl::succeeded(cuda->release(data)) ? ncclSuccess
                                                              : refuse(ncclUnhandledCudaError, "cudaFree failed");
}

}  // extern "C"
