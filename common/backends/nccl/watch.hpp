// Ends collectives that fail or hang behind the back of the stream that they run in.
#pragma once

#include <nccl.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/backends/cuda/cuda_device.hpp"
#include "common/backends/nccl/library.hpp"
#include "common/core/data_type.hpp"
#include "common/mpi/communicator.hpp"

namespace rackproof::nccl {

/// What a rank asked for last.
struct Asked {
  const char* name = nullptr;  ///< "all_reduce"; null: nothing yet
  std::size_t count = 0;       ///< elements
  DataType type = DataType::f32;
  const mpi::Communicator* ranks = nullptr;  ///< those who may take part
  std::uint64_t number = 0;                  ///< of the collectives over these ranks, from 1; 0: send_recv
  int to = -1;                               ///< send_recv: whom it is with
  int from = -1;
  std::uint64_t times_idle = 0;  ///< CudaDevice::times_idle() when it was asked for
  bool recorded = false;         ///< it is done at each replay
};

/// Watches all communicators of one device. While the device is waited for (CudaDevice::while_waiting) it asks each for
/// errors that came meanwhile; and a thread of its own sees calls that do not return, which happens where the library
/// connects to ranks that are not there. An error, or `timeout` seconds without an end, aborts all communicators, and
/// Error (infrastructure) tells which collective it was and, as far as MPI still reaches them, which ranks are behind.
/// Where no collective can be what is waited for, the device's own deadline tells.
class Watch {
 public:
  /// Collective over `ranks`; both must outlive this.
  Watch(const Library& library, cuda::CudaDevice& device, const mpi::Communicator& ranks, double timeout);
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch();

  void add(ncclComm_t communicator);
  /// False where it was aborted, and must not be used again.
  [[nodiscard]] bool remove(ncclComm_t communicator);
  [[nodiscard]] bool knows(ncclComm_t communicator);

  /// A call to the library that enqueues, from here to the end of the block.
  class Call {
   public:
    explicit Call(Watch& watch) : watch_(watch) { watch_.calls_.fetch_add(1, std::memory_order_relaxed); }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    ~Call() { watch_.calls_.fetch_add(1, std::memory_order_relaxed); }

   private:
    Watch& watch_;
  };

  void asked(const Asked& what) noexcept {
    asked_ = what;
    asked_.times_idle = device_.times_idle();
    asked_.recorded = device_.is_recording();
  }
  /// What was asked for over these ranks is done; they go.
  void forget(const mpi::Communicator& ranks) noexcept {
    if (asked_.ranks == &ranks) asked_ = {};
  }
  /// Throws Error for what a call returned, with what was asked for in it.
  void check(ncclResult_t code, const char* call);
  /// Calls action() on a thread of its own, for calls that set up communicators and cannot be aborted. Throws Error
  /// where it does not return in time; the thread is then left behind, and so the process should end.
  void in_time(const char* call, std::function<ncclResult_t()> action);

  [[nodiscard]] Place place() const;

 private:
  void look(double seconds);
  /// What was asked for last may not have ended yet.
  [[nodiscard]] bool may_wait_for_it() const noexcept {
    return asked_.name != nullptr && (asked_.recorded || asked_.times_idle == device_.times_idle());
  }
  [[noreturn]] void give_up(double seconds);
  void abort_all();
  void watch_calls();
  [[nodiscard]] std::string describe() const;
  [[nodiscard]] std::string who_is_behind();
  /// By rank of `asked_.ranks`: the number of the collective that it waits for; 0: not heard of.
  [[nodiscard]] std::vector<std::uint64_t> exchange_numbers();
  [[nodiscard]] std::string name_of(int world_rank) const;

  const Library& library_;
  cuda::CudaDevice& device_;
  int world_rank_;
  double timeout_;
  std::vector<std::string> hosts_;  // by world rank
  double looked_ = 0.0;             // s into the wait
  Asked asked_;
  std::uint64_t told_ = 0;  // what other ranks may still be reading
  std::mutex mutex_;        // of what follows
  std::condition_variable changed_;
  std::vector<ncclComm_t> communicators_;
  bool stopping_ = false;
  std::atomic<bool> aborted_ = false;
  std::atomic<std::uint64_t> calls_ = 0;  // odd: inside of one
  std::thread thread_;
};

}  // namespace rackproof::nccl
