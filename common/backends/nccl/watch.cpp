#include "common/backends/nccl/watch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <numeric>
#include <utility>

#include "common/core/consequence.hpp"
#include "common/core/units.hpp"

namespace rackproof::nccl {
namespace {

using std::chrono::steady_clock;

/// Between two looks at the communicators while the device is waited for, s.
constexpr double looking_interval = 1e-3;
/// Between two looks at calls that may not return.
constexpr auto calls_interval = std::chrono::milliseconds(200);
/// In which ranks that wait for the same collective tell each other so, s: they met its deadline within as much.
constexpr double telling_time = 4.0;
/// That the others leave the one of them who speaks, to end the job.
constexpr auto leaving_time = std::chrono::seconds(20);
/// Until an abort that does not return is given up: a GPU that is gone answers nothing.
constexpr auto abort_time = std::chrono::seconds(10);
constexpr int telling_tag = 77;
constexpr std::size_t host_length = 64;

double seconds_since(steady_clock::time_point begin) {
  return std::chrono::duration<double>(steady_clock::now() - begin).count();
}

std::vector<std::string> hosts_of(const mpi::Communicator& ranks) {
  std::array<char, host_length> own{};
  const std::string host = mpi::host_name();
  std::copy_n(host.begin(), std::min(host.size(), host_length - 1), own.begin());
  std::vector<char> all(host_length * static_cast<std::size_t>(ranks.size()));
  mpi::check(MPI_Allgather(own.data(), host_length, MPI_CHAR, all.data(), host_length, MPI_CHAR, ranks.handle()),
             "MPI_Allgather");
  std::vector<std::string> hosts;
  for (std::size_t i = 0; i < all.size(); i += host_length) hosts.emplace_back(all.data() + i);
  return hosts;
}

/// The ranks of `ranks` as ranks of the world.
std::vector<int> in_world(const mpi::Communicator& ranks) {
  std::vector<int> own(static_cast<std::size_t>(ranks.size()));
  std::iota(own.begin(), own.end(), 0);
  std::vector<int> world(own.size());
  MPI_Group group = MPI_GROUP_NULL;
  MPI_Group all = MPI_GROUP_NULL;
  mpi::check(MPI_Comm_group(ranks.handle(), &group), "MPI_Comm_group");
  mpi::check(MPI_Comm_group(MPI_COMM_WORLD, &all), "MPI_Comm_group");
  mpi::check(MPI_Group_translate_ranks(group, ranks.size(), own.data(), all, world.data()),
             "MPI_Group_translate_ranks");
  MPI_Group_free(&group);
  MPI_Group_free(&all);
  return world;
}

}  // namespace

Watch::Watch(const Library& library, cuda::CudaDevice& device, const mpi::Communicator& ranks, double timeout)
    : library_(library),
      device_(device),
      world_rank_(in_world(ranks).at(static_cast<std::size_t>(ranks.rank()))),
      timeout_(timeout),
      hosts_(hosts_of(mpi::Communicator::world())) {
  device_.while_waiting([this](double seconds) { look(seconds); });
  thread_ = std::thread([this] { watch_calls(); });
}

Watch::~Watch() {
  device_.while_waiting({});
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Watch::add(ncclComm_t communicator) {
  const std::lock_guard lock(mutex_);
  communicators_.push_back(communicator);
}

bool Watch::remove(ncclComm_t communicator) {
  const std::lock_guard lock(mutex_);
  return std::erase(communicators_, communicator) > 0;
}

bool Watch::knows(ncclComm_t communicator) {
  const std::lock_guard lock(mutex_);
  return std::find(communicators_.begin(), communicators_.end(), communicator) != communicators_.end();
}

Place Watch::place() const {
  Place place = device_.place();
  place.host = mpi::host_name();
  place.rank = world_rank_;
  const std::string serial = device_.serial();
  if (!serial.empty() && place.device.find(serial) == std::string::npos) place.device += ", serial " + serial;
  return place;
}

std::string Watch::name_of(int world_rank) const {
  return fmt::format("rank {} on {}", world_rank, hosts_.at(static_cast<std::size_t>(world_rank)));
}

/// "all_reduce of 1048576 f32 (4 MiB), number 41 of 8 ranks"
std::string Watch::describe() const {
  if (asked_.name == nullptr) return "no collective yet";
  std::string text = fmt::format("{} of {} {} ({})", asked_.name, asked_.count, rackproof::name(asked_.type),
                                 exact_bytes(bytes_of(asked_.count, asked_.type)));
  if (asked_.ranks == nullptr) return text;
  if (asked_.number > 0) return text + fmt::format(", number {} over {} ranks", asked_.number, asked_.ranks->size());
  const std::vector<int> world = in_world(*asked_.ranks);
  const auto partner = [&](const char* which, int rank) {
    return rank < 0 ? "" : fmt::format(" {} {}", which, name_of(world.at(static_cast<std::size_t>(rank))));
  };
  return text + partner("to", asked_.to) + partner("from", asked_.from);
}

void Watch::check(ncclResult_t code, const char* call) {
  if (code == ncclSuccess) return;
  if (aborted_) {
    throw Error(
        ExitCode::infrastructure, "nccl", static_cast<int>(code), call,
        fmt::format("{} did not return within {}, and was ended: a rank that it connects to is missing or cannot "
                    "be reached; {}",
                    call, format_duration(timeout_), describe()),
        place());
  }
  if (code == ncclUnhandledCudaError) {
    // A GPU that is lost tells more of itself than NCCL does.
    const cudaError_t state = cudaStreamQuery(device_.stream());
    if (state != cudaErrorNotReady) device_.require(state, call);
    (void)cudaGetLastError();
  }
  nccl::check(library_, code, call, place());
}

void Watch::in_time(const char* call, std::function<ncclResult_t()> action) {
  std::packaged_task<ncclResult_t()> task([action = std::move(action), index = device_.index()] {
    return cudaSetDevice(index) == cudaSuccess ? action() : ncclUnhandledCudaError;
  });
  std::future<ncclResult_t> result = task.get_future();
  std::thread worker(std::move(task));
  if (result.wait_for(std::chrono::duration<double>(timeout_)) == std::future_status::timeout) {
    worker.detach();
    // It holds the library and may hold the GPU: neither is to be waited for.
    device_.give_up();
    throw Error(
        ExitCode::infrastructure, "nccl", 0, call,
        fmt::format("NCCL did not connect the ranks within {}: one is missing, or its network interfaces cannot "
                    "be reached (NCCL_DEBUG=INFO and NCCL_SOCKET_IFNAME); --hang-timeout allows more",
                    format_duration(timeout_)),
        place());
  }
  worker.join();
  check(result.get(), call);
}

void Watch::abort_all() {
  std::vector<ncclComm_t> doomed;
  {
    const std::lock_guard lock(mutex_);
    doomed.swap(communicators_);
  }
  aborted_ = true;
  if (doomed.empty()) return;
  std::packaged_task<void()> task([doomed, abort = library_.comm_abort, index = device_.index()] {
    (void)cudaSetDevice(index);
    for (const ncclComm_t communicator : doomed) (void)abort(communicator);
  });
  const std::future<void> done = task.get_future();
  std::thread worker(std::move(task));
  if (done.wait_for(abort_time) == std::future_status::timeout) {
    worker.detach();
  } else {
    worker.join();
  }
}

void Watch::look(double seconds) {
  // At the deadline always: the device's own comes right behind it.
  if (seconds <= timeout_ && seconds >= looked_ && seconds < looked_ + looking_interval) return;
  looked_ = seconds;
  if (aborted_) check(ncclRemoteError, asked_.name == nullptr ? "NCCL" : asked_.name);
  ncclResult_t worst = ncclSuccess;
  {
    const std::lock_guard lock(mutex_);
    for (const ncclComm_t communicator : communicators_) {
      ncclResult_t state = ncclSuccess;
      const ncclResult_t code = library_.comm_get_async_error(communicator, &state);
      if (code != ncclSuccess) state = code;
      if (state != ncclSuccess && state != ncclInProgress) worst = state;
    }
  }
  if (worst != ncclSuccess) {
    const std::string what = describe();
    abort_all();
    try {
      nccl::check(library_, worst, "ncclCommGetAsyncError", place());
    } catch (const Error& error) {
      throw Consequence(Error(ExitCode::infrastructure, "nccl", error.code(), error.call(),
                              fmt::format("while waiting for {}: {}", what, error.what()), error.place()));
    }
  }
  if (seconds > timeout_ && may_wait_for_it()) give_up(seconds);
}

/// Tells the others how far this rank is, and hears the same of those who wait too.
std::vector<std::uint64_t> Watch::exchange_numbers() {
  const mpi::Communicator& ranks = *asked_.ranks;
  std::vector<std::uint64_t> numbers(static_cast<std::size_t>(ranks.size()), 0);
  told_ = numbers[static_cast<std::size_t>(ranks.rank())] = asked_.number;
  for (int rank = 0; rank < ranks.size(); ++rank) {
    if (rank == ranks.rank()) continue;
    MPI_Request request = MPI_REQUEST_NULL;
    mpi::check(MPI_Isend(&told_, 1, MPI_UINT64_T, rank, telling_tag, ranks.handle(), &request), "MPI_Isend");
    // Nobody waits for those who never take it.
    mpi::check(MPI_Request_free(&request), "MPI_Request_free");
  }
  const auto began = steady_clock::now();
  while (std::count(numbers.begin(), numbers.end(), 0U) > 0 && seconds_since(began) < telling_time) {
    int there = 0;
    MPI_Status status;
    mpi::check(MPI_Iprobe(MPI_ANY_SOURCE, telling_tag, ranks.handle(), &there, &status), "MPI_Iprobe");
    if (there == 0) continue;
    mpi::check(MPI_Recv(&numbers[static_cast<std::size_t>(status.MPI_SOURCE)], 1, MPI_UINT64_T, status.MPI_SOURCE,
                        telling_tag, ranks.handle(), MPI_STATUS_IGNORE),
               "MPI_Recv");
  }
  return numbers;
}

std::string Watch::who_is_behind() {
  if (asked_.ranks == nullptr || asked_.number == 0 || asked_.ranks->size() < 2) return "";
  const std::vector<std::uint64_t> numbers = exchange_numbers();
  const std::vector<int> world = in_world(*asked_.ranks);
  std::vector<std::string> behind;
  std::vector<std::string> silent;
  constexpr std::size_t most_named = 4;
  std::size_t unnamed = 0;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (numbers[i] >= asked_.number) continue;
    if (behind.size() + silent.size() >= most_named) {
      ++unnamed;
    } else if (numbers[i] == 0) {
      silent.push_back(name_of(world[i]));
    } else {
      behind.push_back(fmt::format("{} (at number {})", name_of(world[i]), numbers[i]));
    }
  }
  std::string text;
  if (!behind.empty()) text += fmt::format("; behind: {}", fmt::join(behind, ", "));
  if (!silent.empty()) text += fmt::format("; no word from {}", fmt::join(silent, ", "));
  if (unnamed > 0) text += fmt::format(" and {} more", unnamed);
  // The first of those who wait speaks for them; the others leave it the time to end the job.
  const auto first = std::find_if(numbers.begin(), numbers.end(), [](std::uint64_t number) { return number > 0; });
  if (first - numbers.begin() != asked_.ranks->rank()) {
    std::this_thread::sleep_for(leaving_time);
  }
  return text.empty() ? "; every rank waits for it" : text;
}

void Watch::give_up(double seconds) {
  const std::string what = describe();
  const std::string behind = who_is_behind();
  abort_all();
  throw Consequence(
      Error(ExitCode::infrastructure, "nccl", 0, "",
            fmt::format("the GPU was not done after {}; what it was last asked for by NCCL is {}{}; check the links of "
                        "what is named (or allow more with --hang-timeout), then run again",
                        format_duration(seconds), what, behind),
            place()));
}

void Watch::watch_calls() {
  std::uint64_t seen = 0;
  auto since = steady_clock::now();
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, calls_interval, [this] { return stopping_; })) {
    const std::uint64_t now = calls_.load(std::memory_order_relaxed);
    if (now != seen || now % 2 == 0) {
      seen = now;
      since = steady_clock::now();
      continue;
    }
    if (seconds_since(since) < timeout_) continue;
    lock.unlock();
    abort_all();
    // The call should come back now, and tell. If not, nobody else can.
    std::this_thread::sleep_for(abort_time);
    lock.lock();
    if (calls_.load(std::memory_order_relaxed) != now) continue;
    const Error error(ExitCode::infrastructure, "nccl", 0, "", "a call to NCCL hangs and cannot be ended", place());
    fmt::print(stderr, "rackproof: {}\n", error.line());
    std::fflush(stderr);
    std::_Exit(static_cast<int>(ExitCode::infrastructure));
  }
}

}  // namespace rackproof::nccl
