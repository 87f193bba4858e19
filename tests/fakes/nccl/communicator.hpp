// One rank's end of a communicator: its connection to the hub, and what runs on the streams of its GPU.
#pragma once

#include <nccl.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/fakes/nccl/profiler.hpp"
#include "tests/fakes/nccl/wire.hpp"

namespace rackproof::fake_nccl {

/// Where a hub can be found, and what it must answer to.
struct Meeting {
  std::vector<std::uint32_t> addresses;  ///< tried in this order
  int port = 0;
  std::uint64_t nonce = 0;
};

/// What one call of a collective, ncclSend or ncclRecv asks for.
struct Call {
  enum class What { collective, send, receive };
  What what = What::collective;
  Operation operation = Operation::all_reduce;
  const void* send = nullptr;
  void* receive = nullptr;
  std::size_t count = 0;
  ncclDataType_t type = ncclFloat32;
  ncclRedOp_t reduction = ncclSum;
  int root = 0;
  int peer = 0;
};

/// Every rank's own; what the environment asked for.
struct Planted {
  long hang_at = 0;        ///< of this process's all-reduces, counted from 1; 0: none
  long die_at = 0;         ///< the same
  long freeze_at = 0;      ///< the same
  long hang_at_split = 0;  ///< of its calls of ncclCommSplit
  bool wrong_sum = false;
  std::shared_ptr<std::atomic<long>> all_reduces = std::make_shared<std::atomic<long>>(0);
};

class Communicator : public std::enable_shared_from_this<Communicator> {
 public:
  /// What a rank brings with it.
  struct Self {
    int device = 0;
    std::string gpu;   ///< tells it from all others
    std::string name;  ///< of the communicator; may be empty
    bool blocking = true;
  };
  Communicator(Self self, Planted planted);
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  ~Communicator();

  /// Joins the others at the hub, on a thread; state() is ncclInProgress meanwhile.
  void begin(const Meeting& meeting, int rank, int size);
  /// The same for a communicator that `parent` splits off.
  void begin_split(const std::shared_ptr<Communicator>& parent, int color, int key);
  void wait_until_begun();

  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int size() const { return size_; }
  [[nodiscard]] const Self& self() const { return self_; }
  [[nodiscard]] int device() const { return self_.device; }
  [[nodiscard]] bool is_blocking() const { return self_.blocking; }

  /// As ncclCommGetAsyncError gives it. A non-blocking communicator is in progress at the first look after a call.
  [[nodiscard]] ncclResult_t poll();
  /// ncclSuccess, or why a call is refused.
  [[nodiscard]] ncclResult_t check_ready();

  /// All of them at once on `stream`: collectives in their order, messages side by side.
  [[nodiscard]] ncclResult_t enqueue(std::vector<Call> calls, cudaStream_t stream);
  /// A call was made that NCCL completes on a thread of its own.
  void begin_progress();

  /// Waits for what was enqueued, and says farewell.
  void finalize();
  /// Ends what is in flight.
  void abort();
  [[nodiscard]] bool is_aborted() const { return aborted_; }
  [[nodiscard]] bool has_failed() const { return error_ != ncclSuccess; }

  void* register_buffer(void* buffer, std::size_t bytes);
  [[nodiscard]] bool deregister_buffer(void* handle);
  [[nodiscard]] std::size_t registered_buffers();

 private:
  friend struct Batch;

  void join_hub(const Meeting& meeting);
  void execute(const std::vector<Call>& calls);
  void run(const std::vector<Call>& calls);
  void run_collective(const Call& call);
  void run_piece(const Call& call, std::size_t offset, std::size_t elements);
  void run_messages(const std::vector<Call>& calls);
  void receive(const Call& call);
  /// Takes what comes next from the hub to where it belongs.
  void pump();
  [[nodiscard]] Message wait_for(Kind kind);
  [[nodiscard]] Header split(int color, int key);
  void set_error(ncclResult_t error, const std::string& text);
  void wait_for_abort();
  void check_memory(const Call& call) const;
  /// To those who want to know what it runs with.
  void announce(const Call& call);

  Self self_;
  Planted planted_;
  int rank_ = -1;
  int size_ = 0;
  std::vector<std::uint32_t> addresses_;  ///< the one that answered, for children
  Socket socket_;
  std::thread beginner_;
  std::unique_ptr<Profiler> profiler_;

  std::mutex executing_;  ///< held by what talks to the hub
  std::map<int, std::deque<Message>> inbox_;
  std::map<int, int> taken_;  ///< messages that each peer has received from here, and nobody has asked about
  std::deque<Message> answers_;

  std::mutex mutex_;  ///< of all below
  std::condition_variable changed_;
  int in_flight_ = 0;
  std::map<void*, std::size_t> registered_;
  std::atomic<ncclResult_t> error_{ncclSuccess};
  std::atomic<bool> beginning_{false};
  std::atomic<bool> aborted_{false};
  std::atomic<int> looks_in_progress_{0};
  bool farewell_said_ = false;
};

}  // namespace rackproof::fake_nccl
