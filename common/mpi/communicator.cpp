#include "common/mpi/communicator.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <new>
#include <numeric>
#include <thread>
#include <utility>

#include "common/core/consequence.hpp"
#include "common/core/error.hpp"
#include "common/mpi/pieces.hpp"

namespace rackproof::mpi {
namespace {

bool is_initialised() {
  int initialised = 0;
  int finalised = 0;
  MPI_Initialized(&initialised);
  MPI_Finalized(&finalised);
  return initialised != 0 && finalised == 0;
}

int world_rank() {
  int rank = -1;
  if (is_initialised()) MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}

void all_reduce(std::span<double> values, MPI_Op operation, MPI_Comm communicator) {
  in_pieces(values.size(), largest_piece, [&](std::size_t offset, int count) {
    check(MPI_Allreduce(MPI_IN_PLACE, values.data() + offset, count, MPI_DOUBLE, operation, communicator),
          "MPI_Allreduce");
  });
}

/// Tells, from here to the end of the block, that this rank is inside of a collective.
class InCall {
 public:
  explicit InCall(ProgressWord* word) noexcept : word_(word) {
    // A collective that is made of others is one.
    if (word_ != nullptr && word_->read().waits()) word_ = nullptr;
    if (word_ != nullptr) word_->begin_call();
  }
  InCall(const InCall&) = delete;
  InCall& operator=(const InCall&) = delete;
  ~InCall() {
    if (word_ != nullptr) word_->end_call();
  }

 private:
  ProgressWord* word_;
};

template <typename T>
void broadcast_pieces(T* data, std::size_t count, MPI_Datatype type, int root, MPI_Comm communicator) {
  in_pieces(count, largest_piece, [&](std::size_t offset, int piece) {
    check(MPI_Bcast(data + offset, piece, type, root, communicator), "MPI_Bcast");
  });
}

}  // namespace

void check(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  if (MPI_Error_string(code, text.data(), &length) != MPI_SUCCESS) length = 0;
  throw Error(ExitCode::infrastructure, "mpi", code, call,
              fmt::format("MPI failed: {}; look at the node and its network, then run again",
                          length > 0 ? std::string(text.data(), static_cast<std::size_t>(length)) : "unknown error"),
              Place{host_name(), world_rank(), ""});
}

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "unknown";
  return name.data();
}

Session::Session(int& argc, char**& argv) {
  int initialised = 0;
  MPI_Initialized(&initialised);
  if (initialised != 0) throw Error(ExitCode::internal, "mpi", 0, "MPI_Init_thread", "MPI was initialised twice");
  int provided = MPI_THREAD_SINGLE;
  check(MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
  check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check(MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  if (provided < MPI_THREAD_FUNNELED) {
    MPI_Finalize();  // no destructor runs for an object that was not made
    throw infrastructure_error(
        "this MPI allows no threads beside it (MPI_THREAD_FUNNELED); use a build of it with thread support");
  }
}

Session::~Session() {
  if (!is_initialised()) return;
  const int code = MPI_Finalize();
  if (code != MPI_SUCCESS) {
    try {
      spdlog::warn("MPI_Finalize failed with {}", code);
    } catch (...) {  // a destructor logs if it can, and never throws
    }
  }
}

Communicator::Communicator(MPI_Comm handle, bool owned) : handle_(handle), owned_(owned) {
  try {
    check(MPI_Comm_rank(handle_, &rank_), "MPI_Comm_rank");
    check(MPI_Comm_size(handle_, &size_), "MPI_Comm_size");
  } catch (...) {
    free();
    throw;
  }
}

Communicator Communicator::world() { return {MPI_COMM_WORLD, false}; }
Communicator Communicator::self() { return {MPI_COMM_SELF, false}; }

Communicator::Communicator(Communicator&& other) noexcept
    : handle_(std::exchange(other.handle_, MPI_COMM_NULL)),
      progress_(other.progress_),
      owned_(std::exchange(other.owned_, false)),
      rank_(other.rank_),
      size_(other.size_) {}

Communicator& Communicator::operator=(Communicator&& other) noexcept {
  if (this != &other) {
    free();
    handle_ = std::exchange(other.handle_, MPI_COMM_NULL);
    progress_ = other.progress_;
    owned_ = std::exchange(other.owned_, false);
    rank_ = other.rank_;
    size_ = other.size_;
  }
  return *this;
}

Communicator::~Communicator() { free(); }

void Communicator::free() noexcept {
  // After MPI_Finalize the handle is gone already, and freeing it would end the process.
  if (owned_ && handle_ != MPI_COMM_NULL && is_initialised()) MPI_Comm_free(&handle_);
  handle_ = MPI_COMM_NULL;
  owned_ = false;
}

Communicator Communicator::split(int color, int key) const {
  const InCall call(progress_);
  MPI_Comm made = MPI_COMM_NULL;
  check(MPI_Comm_split(handle_, color, key, &made), "MPI_Comm_split");
  return {made, true};
}

Communicator Communicator::split_node() const {
  const InCall call(progress_);
  MPI_Comm made = MPI_COMM_NULL;
  check(MPI_Comm_split_type(handle_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &made), "MPI_Comm_split_type");
  return {made, true};
}

Communicator Communicator::duplicate() const {
  const InCall call(progress_);
  MPI_Comm made = MPI_COMM_NULL;
  check(MPI_Comm_dup(handle_, &made), "MPI_Comm_dup");
  return {made, true};
}

void Communicator::barrier() const {
  const InCall call(progress_);
  check(MPI_Barrier(handle_), "MPI_Barrier");
}

void Communicator::all_reduce_max(std::span<double> values) const {
  const InCall call(progress_);
  all_reduce(values, MPI_MAX, handle_);
}
void Communicator::all_reduce_min(std::span<double> values) const {
  const InCall call(progress_);
  all_reduce(values, MPI_MIN, handle_);
}

void Communicator::broadcast(std::span<double> values, int root) const {
  const InCall call(progress_);
  broadcast_pieces(values.data(), values.size(), MPI_DOUBLE, root, handle_);
}

void Communicator::broadcast(std::span<std::int64_t> values, int root) const {
  const InCall call(progress_);
  broadcast_pieces(values.data(), values.size(), MPI_INT64_T, root, handle_);
}

void Communicator::broadcast(std::string& text, int root) const {
  const InCall call(progress_);
  auto length = static_cast<std::int64_t>(text.size());
  broadcast({&length, 1}, root);
  text.resize(static_cast<std::size_t>(length));
  broadcast_pieces(text.data(), text.size(), MPI_CHAR, root, handle_);
}

std::vector<std::string> Communicator::gather(const std::string& text, int root) const {
  const InCall call(progress_);
  return gather_texts(text, root, *this, largest_piece);
}

std::vector<std::uint64_t> Communicator::gather(std::uint64_t value, int root) const {
  const InCall call(progress_);
  return gather_rows(std::span<const std::uint64_t>(&value, 1), MPI_UINT64_T, root, *this, largest_piece);
}

std::vector<double> Communicator::gather(double value, int root) const { return gather({&value, 1}, root); }

std::vector<double> Communicator::gather(std::span<const double> values, int root) const {
  const InCall call(progress_);
  return gather_rows(values, MPI_DOUBLE, root, *this, largest_piece);
}

namespace {

/// What `failure` holds as an Error that says where it happened.
Error as_error(const std::exception_ptr& failure) {
  const auto other = [](ExitCode code, const std::string& what) { return Error(code, "internal", 0, "", what); };
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return infrastructure_error("out of memory; use fewer ranks on the node or smaller cases");
  } catch (const std::exception& error) {
    return other(ExitCode::internal, error.what());
  } catch (...) {
    return other(ExitCode::internal, "an exception of unknown type");
  }
}

bool is_consequence(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const Consequence&) {
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace

void agree_on(const Communicator& communicator, std::exception_ptr failure) {
  const InCall call(communicator.progress());
  // The lowest rank that failed by itself, else the lowest that failed; and whether all did.
  const bool failed = failure != nullptr;
  const int size = communicator.size();
  const int own = failed ? communicator.rank() + (is_consequence(failure) ? size : 0) : 2 * size;
  std::array<int, 2> lowest{own, failed ? 1 : 0};
  check(MPI_Allreduce(MPI_IN_PLACE, lowest.data(), 2, MPI_INT, MPI_MIN, communicator.handle()), "MPI_Allreduce");
  if (lowest[0] == 2 * size) return;
  const int teller = lowest[0] % size;
  const bool all_failed = lowest[1] == 1;

  std::array<std::int64_t, 3> numbers{};  // exit code, code, rank
  std::array<std::string, 5> texts;       // domain, call, what, host, device
  if (communicator.rank() == teller) {
    const Error error = as_error(failure);
    Place place = error.place();
    if (!(all_failed && error.exit_code() == ExitCode::usage)) {
      if (place.host.empty()) place.host = host_name();
      if (place.rank < 0) place.rank = world_rank();
    }
    numbers = {static_cast<int>(error.exit_code()), error.code(), place.rank};
    texts = {error.domain(), error.call(), error.what(), place.host, place.device};
  }
  communicator.broadcast(numbers, teller);
  for (std::string& text : texts) communicator.broadcast(text, teller);
  throw AgreedError(Error(static_cast<ExitCode>(numbers[0]), texts[0], static_cast<int>(numbers[1]), texts[1], texts[2],
                          Place{texts[3], static_cast<int>(numbers[2]), texts[4]}));
}

}  // namespace rackproof::mpi
