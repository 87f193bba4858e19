// Messages between the watchdogs of nodes, over TCP and not over MPI, which may be what hangs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace rackproof::watch {

/// Sent as it is: all nodes of a run have one binary.
struct Message {
  std::uint32_t kind = 0;
  std::uint32_t number = 0;  ///< what it means is the kind's affair
  std::uint64_t flags = 0;
  std::string body;
};

/// One connection. Never waits.
class Channel {
 public:
  explicit Channel(int descriptor);
  Channel(Channel&& other) noexcept;
  Channel& operator=(Channel&& other) noexcept;
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  ~Channel();

  /// Tries the addresses ("192.0.2.7", "2001:db8::1") in turn, each for `patience` s. A channel that is closed where
  /// none answers.
  [[nodiscard]] static Channel connect(const std::vector<std::string>& addresses, int port, double patience);

  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
  [[nodiscard]] bool is_open() const noexcept { return descriptor_ >= 0; }
  void close() noexcept;
  /// Sends what goes, and keeps the rest for flush().
  void send(const Message& message);
  void flush();
  /// What has come. Closes the channel where the other end has, or sends what is no message.
  [[nodiscard]] std::vector<Message> receive();

 private:
  static constexpr std::size_t most_body = std::size_t{1} << 22U;
  int descriptor_;
  std::string in_;
  std::string out_;
};

/// Takes connections on a port that the kernel chooses, on all interfaces.
class Listener {
 public:
  /// Throws Error (infrastructure).
  Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener();
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
  [[nodiscard]] int port() const noexcept { return port_; }
  /// A closed one where nobody waits.
  [[nodiscard]] Channel accept() const;

 private:
  int descriptor_ = -1;
  int port_ = 0;
};

/// Of this host, as other hosts may reach them; loopback last.
[[nodiscard]] std::vector<std::string> own_addresses();

}  // namespace rackproof::watch
