// RAII for MPI: the session, communicators, and the few small collectives that the harness itself needs.
// The measured collectives are in common/backends.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <vector>

#include "common/core/error.hpp"
#include "common/core/progress_word.hpp"

namespace rackproof::mpi {

/// An Error that every rank of a communicator throws alike: one of them may tell the user, and all may finalise. Any
/// other Error concerns one rank alone, and only MPI_Abort frees the others.
class AgreedError : public Error {
 public:
  explicit AgreedError(const Error& error) : Error(error) {}
};

/// Throws Error (infrastructure, domain "mpi") unless `code` is MPI_SUCCESS. `call` names the MPI function.
void check(int code, const char* call);

/// The name of the node that this process runs on.
[[nodiscard]] std::string host_name();

/// MPI_Init_thread(FUNNELED) and MPI_Finalize. Errors of MPI are returned, not fatal (MPI_ERRORS_RETURN).
class Session {
 public:
  Session(int& argc, char**& argv);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  /// Finalizes, unless somebody else did. Hangs, as MPI_Finalize does, where other ranks never come here.
  ~Session();
};

/// A communicator; frees it at the end if it made it.
class Communicator {
 public:
  /// Does not own: MPI_COMM_WORLD, MPI_COMM_SELF.
  static Communicator world();
  static Communicator self();

  Communicator(Communicator&& other) noexcept;
  Communicator& operator=(Communicator&& other) noexcept;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  ~Communicator();

  [[nodiscard]] int rank() const noexcept { return rank_; }
  [[nodiscard]] int size() const noexcept { return size_; }
  [[nodiscard]] bool is_root() const noexcept { return rank_ == 0; }
  [[nodiscard]] MPI_Comm handle() const noexcept { return handle_; }

  /// From now on the collectives below, and agree(), tell `word` that this rank is inside of one; it must outlive the
  /// object. Communicators made from this one do not. Null: nobody is told, as at first.
  void report_to(ProgressWord* word) noexcept { progress_ = word; }
  /// Null where nobody is told.
  [[nodiscard]] ProgressWord* progress() const noexcept { return progress_; }

  /// Collective. Ranks of one colour, ordered by key.
  [[nodiscard]] Communicator split(int color, int key) const;
  /// Collective. Ranks that share memory (one node).
  [[nodiscard]] Communicator split_node() const;
  [[nodiscard]] Communicator duplicate() const;

  void barrier() const;
  /// In place, elementwise, the same result on every rank. No NaN: MPI leaves its order open.
  void all_reduce_max(std::span<double> values) const;
  void all_reduce_min(std::span<double> values) const;
  void broadcast(std::span<double> values, int root = 0) const;
  void broadcast(std::span<std::int64_t> values, int root = 0) const;
  void broadcast(std::string& text, int root = 0) const;
  /// Every rank's value, in rank order, on the root; empty elsewhere.
  [[nodiscard]] std::vector<std::string> gather(const std::string& text, int root = 0) const;
  [[nodiscard]] std::vector<std::uint64_t> gather(std::uint64_t value, int root = 0) const;
  [[nodiscard]] std::vector<double> gather(double value, int root = 0) const;
  /// Rank-major rows of values.size() doubles each on the root (all ranks pass the same size); empty elsewhere.
  [[nodiscard]] std::vector<double> gather(std::span<const double> values, int root = 0) const;

 private:
  Communicator(MPI_Comm handle, bool owned);
  void free() noexcept;
  MPI_Comm handle_ = MPI_COMM_NULL;
  ProgressWord* progress_ = nullptr;
  bool owned_ = false;
  int rank_ = 0;
  int size_ = 1;
};

/// Collective over `communicator`: runs `action` on this rank, then agrees. If it threw anywhere, every rank throws
/// one and the same AgreedError: of the lowest rank that failed by itself (consequence.hpp), with host and rank. Use
/// around everything that can fail on one rank alone (allocation, verification, a file on rank 0), never around timed
/// operations.
template <typename Action>
void agree(const Communicator& communicator, Action&& action);

/// Implementation of agree(): `failure` is nullptr on ranks that succeeded. The place stays as it is for a usage
/// error that all ranks found alike: no part of the machine is to blame for it.
void agree_on(const Communicator& communicator, std::exception_ptr failure);

template <typename Action>
void agree(const Communicator& communicator, Action&& action) {
  std::exception_ptr failure;
  try {
    action();
  } catch (...) {
    failure = std::current_exception();
  }
  agree_on(communicator, failure);
}

}  // namespace rackproof::mpi
