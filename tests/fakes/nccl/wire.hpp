// What ranks and the hub tell each other: a header of fixed size, and its payload.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace rackproof::fake_nccl {

enum class Kind : std::int32_t {
  hello,       ///< rank -> hub: rank, size, nonce; payload: what tells its GPU from others
  welcome,     ///< hub -> rank: all have come
  refused,     ///< hub -> rank: the group cannot be; payload: why; code: an ncclResult_t
  collective,  ///< rank -> hub: a piece of it; payload: this rank's contribution
  result,      ///< hub -> rank: that piece; payload: what this rank gets
  split,       ///< rank -> hub: color, key
  child,       ///< hub -> rank: rank, size, nonce, port of the group that it now belongs to; size 0: to none
  send,        ///< rank -> hub -> rank: to or from `peer`; payload: elements
  taken,       ///< rank -> hub -> rank: what came from `peer` was received
  farewell,    ///< rank -> hub: it has destroyed its communicator
  lost,        ///< hub -> rank: a peer is gone; payload: which
  misuse       ///< hub -> rank: ranks disagree about what they do; payload: how
};

enum class Operation : std::int32_t { all_reduce, reduce, reduce_scatter, all_gather, broadcast };

struct Header {
  Kind kind = Kind::hello;
  std::int32_t rank = 0;
  std::int32_t size = 0;
  std::int32_t peer = 0;
  Operation operation = Operation::all_reduce;
  std::int32_t type = 0;
  std::int32_t reduction = 0;
  std::int32_t root = 0;
  std::int32_t code = 0;
  std::int32_t color = 0;
  std::int32_t key = 0;
  std::int32_t port = 0;
  std::uint64_t nonce = 0;
  std::uint64_t count = 0;     ///< elements of the whole call, as NCCL counts them
  std::uint64_t offset = 0;    ///< of the piece, in elements
  std::uint64_t elements = 0;  ///< of the piece
  std::uint64_t payload_bytes = 0;
};

struct Message {
  Header header;
  std::vector<std::byte> payload;
  [[nodiscard]] std::string text() const { return {reinterpret_cast<const char*>(payload.data()), payload.size()}; }
};

/// The other end is gone, or this one was shut down.
class Disconnected : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A connected or listening TCP socket.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(other.release()) {}
  Socket& operator=(Socket&& other) noexcept;
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket();
  [[nodiscard]] int get() const noexcept { return descriptor_; }
  [[nodiscard]] explicit operator bool() const noexcept { return descriptor_ >= 0; }
  int release() noexcept;
  /// Whoever waits on it wakes up and finds it Disconnected.
  void shut_down() const noexcept;

 private:
  int descriptor_ = -1;
};

/// On all addresses of this host. Throws std::runtime_error.
[[nodiscard]] Socket listen_anywhere();
[[nodiscard]] int port_of(const Socket& socket);
/// IPv4 addresses of this host in network order, loopback last, at most `limit`.
[[nodiscard]] std::vector<std::uint32_t> addresses_of_this_host(std::size_t limit);
/// Small messages are not held back.
void send_at_once(const Socket& socket);
/// An empty socket where nobody answers within 5 s.
[[nodiscard]] Socket connect_to(std::uint32_t address, int port);

/// Waits until all is sent. Throws Disconnected.
void send_message(const Socket& socket, Header header, std::span<const std::byte> payload);
/// Waits for one. Throws Disconnected.
[[nodiscard]] Message receive_message(const Socket& socket);

}  // namespace rackproof::fake_nccl
