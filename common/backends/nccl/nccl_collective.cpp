#include "common/backends/nccl/nccl_collective.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cmath>
#include <exception>
#include <span>
#include <utility>

namespace rackproof::nccl {
namespace {

ncclDataType_t nccl_type(DataType type) {
  switch (type) {
    case DataType::f64:
      return ncclFloat64;
    case DataType::f32:
    case DataType::tf32:
      return ncclFloat32;
    case DataType::f16:
      return ncclFloat16;
    case DataType::bf16:
      return ncclBfloat16;
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 24, 3)
    case DataType::f8e4m3:
      return ncclFloat8e4m3;
    case DataType::f8e5m2:
      return ncclFloat8e5m2;
#endif
    case DataType::i64:
      return ncclInt64;
    case DataType::u64:
      return ncclUint64;
    case DataType::i32:
      return ncclInt32;
    case DataType::u32:
      return ncclUint32;
    case DataType::i8:
      return ncclInt8;
    case DataType::u8:
      return ncclUint8;
    default:
      break;
  }
  throw Error(ExitCode::internal, "nccl", static_cast<int>(type), "", "a data type that NCCL has no equal for");
}

bool is_f8(DataType type) { return type == DataType::f8e4m3 || type == DataType::f8e5m2; }

/// For what is only moved: a library from before f8 moves its bytes.
ncclDataType_t moved_type(DataType type) { return is_f8(type) ? ncclUint8 : nccl_type(type); }

ncclConfig_t configuration([[maybe_unused]] const char* name) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 1;
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 27, 3)
  config.commName = name;
#endif
  return config;
}

/// Device memory of NCCL's own making, known to one communicator.
class RegisteredBuffer final : public Buffer {
 public:
  RegisteredBuffer(std::shared_ptr<Session> session, ncclComm_t communicator, std::size_t bytes)
      : session_(std::move(session)), communicator_(communicator), bytes_(bytes) {
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 19, 1)
    const Library& library = session_->library;
    session_->watch.check(library.memory_allocate(&data_, bytes), "ncclMemAlloc");
    const ncclResult_t code = library.comm_register(communicator_, data_, bytes, &handle_);
    if (code == ncclSuccess) return;
    (void)library.memory_free(data_);
    session_->watch.check(code, "ncclCommRegister");
#endif
  }
  ~RegisteredBuffer() override {
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 19, 1)
    const Library& library = session_->library;
    // Of a communicator that was aborted nothing is left to deregister, and a GPU that was given up may not answer.
    if (!session_->watch.knows(communicator_) || !session_->device.is_usable()) return;
    const bool freed = library.comm_deregister(communicator_, handle_) == ncclSuccess;
    if (library.memory_free(data_) != ncclSuccess || !freed) spdlog::warn("NCCL could not free registered memory");
#endif
  }
  [[nodiscard]] void* data() const noexcept override { return data_; }
  [[nodiscard]] std::size_t bytes() const noexcept override { return bytes_; }

 private:
  std::shared_ptr<Session> session_;
  ncclComm_t communicator_;
  std::size_t bytes_;
  void* data_ = nullptr;
  [[maybe_unused]] void* handle_ = nullptr;
};

/// Collective.
int agree_on_oldest(const mpi::Communicator& ranks, const cuda::CudaDevice& device) {
  double oldest = 10.0 * device.properties().major + device.properties().minor;
  ranks.all_reduce_min({&oldest, 1});
  return static_cast<int>(std::lround(oldest));
}

/// Collective: it may be missing on one node alone.
std::unique_ptr<const Library> load_on_all(const mpi::Communicator& ranks) {
  std::unique_ptr<const Library> library;
  mpi::agree(ranks, [&] { library = std::make_unique<const Library>(); });
  return library;
}

}  // namespace

Session::Session(const mpi::Communicator& ranks, cuda::CudaDevice& opened, const CollectiveOptions& options)
    : loaded(load_on_all(ranks)),
      library(*loaded),
      device(opened),
      oldest_architecture(agree_on_oldest(ranks, opened)),
      watch(library, opened, ranks, options.hang_timeout) {}

NcclCollective::NcclCollective(const mpi::Communicator& ranks, cuda::CudaDevice& device,
                               const CollectiveOptions& options)
    : NcclCollective(std::make_shared<Session>(ranks, device, options), ranks.duplicate()) {
  connect();
}

NcclCollective::NcclCollective(std::shared_ptr<Session> session, mpi::Communicator ranks)
    : session_(std::move(session)),
      ranks_(std::move(ranks)),
      choices_(std::make_unique<Choices>()),
      exceptions_(std::uncaught_exceptions()) {}

NcclCollective::~NcclCollective() {
  session_->watch.forget(ranks_);
  if (communicator_ == nullptr || !session_->watch.remove(communicator_)) return;
  // To destroy or abort it may wait for a GPU that was given up; the end of the process frees it and tells the others.
  if (!session_->device.is_usable()) return;
  const Library& library = session_->library;
  // Where an error takes this rank out of the run, the others may never come to the end of theirs.
  const bool in_order = std::uncaught_exceptions() <= exceptions_;
  const ncclResult_t code = in_order ? library.comm_destroy(communicator_) : library.comm_abort(communicator_);
  if (in_order && code != ncclSuccess) spdlog::warn("ncclCommDestroy: {}", library.get_error_string(code));
}

void NcclCollective::adopt(ncclComm_t communicator) {
  session_->watch.add(communicator);
  communicator_ = communicator;
}

void NcclCollective::connect() {
  ncclUniqueId id{};
  mpi::agree(ranks_, [&] {
    if (ranks_.is_root()) session_->watch.check(session_->library.get_unique_id(&id), "ncclGetUniqueId");
  });
  mpi::check(MPI_Bcast(&id, sizeof id, MPI_BYTE, 0, ranks_.handle()), "MPI_Bcast");
  // On the heap: a call that never returns may still write there.
  const auto made = std::make_shared<ncclComm_t>(nullptr);
  const auto init = session_->library.comm_init_rank_config;
  mpi::agree(ranks_, [&] {
    session_->watch.in_time("ncclCommInitRankConfig",
                            [init, made, id, n = size(), r = rank(), name = choices_->communicator_name()] {
                              ncclConfig_t config = configuration(name);
                              return init(made.get(), n, id, r, &config);
                            });
  });
  adopt(*made);
}

std::unique_ptr<Collective> NcclCollective::split(int color) {
  std::unique_ptr<NcclCollective> part(new NcclCollective(session_, ranks_.split(color, rank())));
  const auto split_off = session_->library.comm_split;
  if (split_off == nullptr) {
    part->connect();
    return part;
  }
  const auto made = std::make_shared<ncclComm_t>(nullptr);
  mpi::agree(ranks_, [&] {
    session_->device.synchronize();
    session_->watch.in_time("ncclCommSplit", [split_off, made, from = communicator_, color, key = rank(),
                                              name = part->choices_->communicator_name()] {
      ncclConfig_t config = configuration(name);
      return split_off(from, color, key, made.get(), &config);
    });
  });
  part->adopt(*made);
  return part;
}

ncclRedOp_t NcclCollective::operation(DataType type, Reduction reduction) const {
  if (!can_reduce(type, reduction) || !refuses(type, reduction).empty()) {
    throw Error(ExitCode::internal, "nccl", 0, "",
                fmt::format("{} of {} is not offered", rackproof::name(reduction), rackproof::name(type)));
  }
  switch (reduction) {
    case Reduction::sum:
      return ncclSum;
    case Reduction::min:
      return ncclMin;
    case Reduction::max:
      return ncclMax;
    case Reduction::prod:
      return ncclProd;
  }
  throw Error(ExitCode::internal, "nccl", static_cast<int>(reduction), "", "a reduction that does not exist");
}

std::string NcclCollective::refuses(DataType type, Reduction /*reduction*/) const {
  if (!is_f8(type)) return {};
  constexpr int first_f8_version = NCCL_VERSION(2, 24, 3);
  if (NCCL_VERSION_CODE < first_f8_version) return "this build has an NCCL header that knows no f8 (from 2.24 on)";
  if (session_->library.version() < first_f8_version) {
    return implementation() + " does not reduce f8 (from 2.24 on)";
  }
  // Its kernels for f8 are compiled for these alone.
  if (session_->oldest_architecture < 90) return "NCCL reduces f8 on GPUs of compute capability 9.0 and later";
  return {};
}

template <typename Action>
void NcclCollective::enqueue(const char* name, const char* call, std::size_t count, DataType type, Action action) {
  const Asked asked{.name = name, .count = count, .type = type, .ranks = &ranks_, .number = ++asked_};
  session_->watch.asked(asked);
  if (known_.name != name || known_.count != count || known_.type != type) {
    known_ = asked;
    choices_->ask();
  }
  const Watch::Call guard(session_->watch);
  session_->watch.check(action(session_->library), call);
}

void NcclCollective::all_reduce(const void* send, void* receive, std::size_t count, DataType type,
                                Reduction reduction) {
  const ncclRedOp_t what = operation(type, reduction);
  if (count == 0) return;
  enqueue("all_reduce", "ncclAllReduce", count, type, [&](const Library& library) {
    return library.all_reduce(send, receive, count, nccl_type(type), what, communicator_, stream());
  });
}

void NcclCollective::reduce(const void* send, void* receive, std::size_t count, DataType type, int root,
                            Reduction reduction) {
  const ncclRedOp_t what = operation(type, reduction);
  if (count == 0) return;
  enqueue("reduce", "ncclReduce", count, type, [&](const Library& library) {
    return library.reduce(send, rank() == root ? receive : nullptr, count, nccl_type(type), what, root, communicator_,
                          stream());
  });
}

void NcclCollective::reduce_scatter(const void* send, void* receive, std::size_t count, DataType type,
                                    Reduction reduction) {
  const ncclRedOp_t what = operation(type, reduction);
  if (count == 0) return;
  enqueue("reduce_scatter", "ncclReduceScatter", count, type, [&](const Library& library) {
    return library.reduce_scatter(send, receive, count, nccl_type(type), what, communicator_, stream());
  });
}

void NcclCollective::all_gather(const void* send, void* receive, std::size_t count, DataType type) {
  if (count == 0) return;
  enqueue("all_gather", "ncclAllGather", count, type, [&](const Library& library) {
    return library.all_gather(send, receive, count, moved_type(type), communicator_, stream());
  });
}

void NcclCollective::all_to_all(const void* send, void* receive, std::size_t count, DataType type) {
  if (count == 0) return;
  const std::size_t bytes = count * size_of(type);
  enqueue("all_to_all", "ncclGroupEnd", count, type, [&](const Library& library) {
    ncclResult_t worst = library.group_start();
    const auto keep = [&worst](ncclResult_t code) { worst = worst == ncclSuccess ? code : worst; };
    for (int peer = 0; peer < size(); ++peer) {
      const std::size_t at = static_cast<std::size_t>(peer) * bytes;
      keep(library.send(static_cast<const std::byte*>(send) + at, count, moved_type(type), peer, communicator_,
                        stream()));
      keep(library.receive(static_cast<std::byte*>(receive) + at, count, moved_type(type), peer, communicator_,
                           stream()));
    }
    keep(library.group_end());
    return worst;
  });
}

void NcclCollective::broadcast(void* data, std::size_t count, DataType type, int root) {
  if (count == 0) return;
  enqueue("broadcast", "ncclBroadcast", count, type, [&](const Library& library) {
    return library.broadcast(data, data, count, moved_type(type), root, communicator_, stream());
  });
}

void NcclCollective::send_recv(const void* send, int to, void* receive, int from, std::size_t count, DataType type) {
  if (count == 0 || (to == nobody && from == nobody)) return;
  session_->watch.asked(
      {.name = "send_recv", .count = count, .type = type, .ranks = &ranks_, .number = 0, .to = to, .from = from});
  const Watch::Call guard(session_->watch);
  const Library& library = session_->library;
  ncclResult_t worst = library.group_start();
  const auto keep = [&worst](ncclResult_t code) { worst = worst == ncclSuccess ? code : worst; };
  if (to != nobody) keep(library.send(send, count, moved_type(type), to, communicator_, stream()));
  if (from != nobody) keep(library.receive(receive, count, moved_type(type), from, communicator_, stream()));
  keep(library.group_end());
  session_->watch.check(worst, "ncclGroupEnd");
}

void NcclCollective::barrier() {
  session_->device.synchronize();
  ranks_.barrier();
}

std::string NcclCollective::choice() const { return implementation() + ": " + choices_->text(); }

std::unique_ptr<Buffer> NcclCollective::allocate_registered(std::size_t bytes) {
  if (!can_register()) return nullptr;
  return std::make_unique<RegisteredBuffer>(session_, communicator_, bytes);
}

}  // namespace rackproof::nccl
