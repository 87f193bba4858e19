// Where the ranks of one communicator meet: a thread in the process of the rank that made the unique id, to which every
// rank holds one TCP connection. It reduces in the order of ranks, passes messages on, and sees who disagrees and who
// is gone.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/fakes/nccl/wire.hpp"

namespace rackproof::fake_nccl {

/// A group that a hub wants made for ranks that split off; its port and nonce.
struct HubAddress {
  int port = 0;
  std::uint64_t nonce = 0;
};

class Hub {
 public:
  /// Listens from now on. `make_child` makes another hub, which lives as long as this process needs it.
  explicit Hub(std::function<HubAddress()> make_child);
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;
  ~Hub();

  [[nodiscard]] HubAddress address() const { return address_; }
  /// All had come, and all have gone.
  [[nodiscard]] bool has_ended() const { return ended_; }
  /// Somebody is connected.
  [[nodiscard]] bool is_busy() const { return busy_; }

 private:
  struct Peer {
    Socket socket;
    int rank = -1;              ///< -1: it has not said yet
    std::string gpu;            ///< as its hello named it
    std::vector<std::byte> in;  ///< of the message that is coming
    std::deque<std::vector<std::byte>> out;
    std::size_t sent = 0;            ///< of out.front()
    std::deque<Message> requests{};  ///< collectives and splits that wait for the other ranks
    bool left = false;               ///< said farewell, or is gone
  };

  void serve();
  /// False: it is to be closed.
  [[nodiscard]] bool read_from(Peer& peer);
  [[nodiscard]] bool write_to(Peer& peer);
  void take_messages(Peer& peer);
  void handle(Peer& peer, Message message);
  void greet(Peer& peer, const Message& message);
  void refuse(int code, const std::string& why);
  void pass_on(const Peer& from, Message message);
  void lose(Peer& peer);
  void say_farewell(Peer& peer);
  void run_requests();
  [[nodiscard]] std::string disagreement() const;
  void run_collective(const std::vector<Message>& calls);
  void run_split(const std::vector<Message>& calls);
  void tell(Peer& peer, Header header, std::span<const std::byte> payload);
  void tell_all(Kind kind, const std::string& text);

  Socket listener_;
  HubAddress address_;
  std::function<HubAddress()> make_child_;
  std::vector<std::unique_ptr<Peer>> peers_;
  std::vector<Peer*> by_rank_;  ///< complete once all have come
  int size_ = 0;                ///< 0: nobody has come yet
  bool complete_ = false;
  bool broken_ = false;
  std::atomic<bool> ended_{false};
  std::atomic<bool> busy_{false};
  Socket wake_;  ///< read end of a pipe that the destructor closes
  Socket waker_;
  std::thread thread_;
};

}  // namespace rackproof::fake_nccl
