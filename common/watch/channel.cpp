#include "common/watch/channel.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/core/error.hpp"

namespace rackproof::watch {
namespace {

struct WireHead {
  std::uint32_t kind;
  std::uint32_t number;
  std::uint64_t flags;
  std::uint64_t length;
};

struct SocketAddress {
  sockaddr_storage bytes{};
  socklen_t length = 0;

  [[nodiscard]] const sockaddr* get() const { return static_cast<const sockaddr*>(static_cast<const void*>(&bytes)); }
};

SocketAddress parse_address(const std::string& text, int port) {
  SocketAddress address;
  sockaddr_in four{};
  sockaddr_in6 six{};
  if (::inet_pton(AF_INET, text.c_str(), &four.sin_addr) == 1) {
    four.sin_family = AF_INET;
    four.sin_port = htons(static_cast<std::uint16_t>(port));
    std::memcpy(&address.bytes, &four, sizeof four);
    address.length = sizeof four;
  } else if (::inet_pton(AF_INET6, text.c_str(), &six.sin6_addr) == 1) {
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(static_cast<std::uint16_t>(port));
    std::memcpy(&address.bytes, &six, sizeof six);
    address.length = sizeof six;
  }
  return address;
}

/// -1 where it does not come about in time.
int connect_to(const SocketAddress& address, double patience) {
  const int descriptor = ::socket(address.bytes.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -1;
  if (::connect(descriptor, address.get(), address.length) == 0) return descriptor;
  pollfd waited{descriptor, POLLOUT, 0};
  int error = 0;
  socklen_t length = sizeof error;
  if (errno == EINPROGRESS && ::poll(&waited, 1, static_cast<int>(patience * 1e3)) == 1 &&
      ::getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0) {
    return descriptor;
  }
  ::close(descriptor);
  return -1;
}

Error socket_error(const char* call, int error) {
  return {ExitCode::infrastructure, "system", error, call,
          fmt::format("the watchdog gets no socket to listen on: {}; raise the limit on open files (ulimit -n)",
                      std::strerror(error))};
}

}  // namespace

Channel::Channel(int descriptor) : descriptor_(descriptor) {
  if (descriptor_ < 0) return;
  const int on = 1;
  ::setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

Channel::Channel(Channel&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), in_(std::move(other.in_)), out_(std::move(other.out_)) {}

Channel& Channel::operator=(Channel&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(in_, other.in_);
  std::swap(out_, other.out_);
  return *this;
}

Channel::~Channel() { close(); }

Channel Channel::connect(const std::vector<std::string>& addresses, int port, double patience) {
  for (const std::string& one : addresses) {
    const SocketAddress address = parse_address(one, port);
    if (address.length == 0) continue;
    if (const int descriptor = connect_to(address, patience); descriptor >= 0) return Channel(descriptor);
  }
  return Channel(-1);
}

void Channel::close() noexcept {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

void Channel::send(const Message& message) {
  if (!is_open()) return;
  const WireHead head{message.kind, message.number, message.flags, message.body.size()};
  std::array<char, sizeof head> bytes{};
  std::memcpy(bytes.data(), &head, sizeof head);
  out_.append(bytes.data(), bytes.size());
  out_ += message.body;
  flush();
}

void Channel::flush() {
  while (is_open() && !out_.empty()) {
    const ssize_t sent = ::send(descriptor_, out_.data(), out_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      out_.erase(0, static_cast<std::size_t>(sent));
    } else if (sent < 0 && errno == EINTR) {
      continue;
    } else if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      // Nobody reads at the other end: it may be stopped. What is told every second is not worth keeping for ever.
      if (out_.size() > most_body) close();
      return;
    } else {
      close();
    }
  }
}

std::vector<Message> Channel::receive() {
  std::array<char, 16384> buffer{};
  bool ended = false;
  while (is_open() && !ended) {
    const ssize_t got = ::recv(descriptor_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got > 0) {
      in_.append(buffer.data(), static_cast<std::size_t>(got));
    } else if (got < 0 && errno == EINTR) {
      continue;
    } else if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      break;
    } else {
      ended = true;
    }
  }
  std::vector<Message> messages;
  WireHead head{};
  std::size_t at = 0;
  while (in_.size() - at >= sizeof head) {
    std::memcpy(&head, in_.data() + at, sizeof head);
    if (head.length > most_body) {
      ended = true;
      break;
    }
    if (in_.size() - at - sizeof head < head.length) break;
    messages.push_back({head.kind, head.number, head.flags, in_.substr(at + sizeof head, head.length)});
    at += sizeof head + head.length;
  }
  in_.erase(0, at);
  if (ended) close();
  return messages;
}

Listener::Listener() {
  // One socket takes both families; where the kernel has no IPv6, IPv4 alone.
  descriptor_ = ::socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  SocketAddress any = parse_address("::", 0);
  if (descriptor_ >= 0) {
    const int off = 0;
    ::setsockopt(descriptor_, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  }
  if (descriptor_ < 0 || ::bind(descriptor_, any.get(), any.length) != 0) {
    if (descriptor_ >= 0) ::close(descriptor_);
    any = parse_address("0.0.0.0", 0);
    descriptor_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor_ < 0) throw socket_error("socket", errno);
    if (::bind(descriptor_, any.get(), any.length) != 0) {
      const int error = errno;
      ::close(descriptor_);
      throw socket_error("bind", error);
    }
  }
  constexpr int backlog = 1024;
  SocketAddress bound;
  bound.length = sizeof bound.bytes;
  if (::listen(descriptor_, backlog) != 0 ||
      ::getsockname(descriptor_, static_cast<sockaddr*>(static_cast<void*>(&bound.bytes)), &bound.length) != 0) {
    const int error = errno;
    ::close(descriptor_);
    throw socket_error("listen", error);
  }
  // The port lies at the same place in both families.
  sockaddr_in four{};
  std::memcpy(&four, &bound.bytes, sizeof four);
  port_ = ntohs(four.sin_port);
}

Listener::~Listener() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Channel Listener::accept() const {
  return Channel(::accept4(descriptor_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

std::vector<std::string> own_addresses() {
  std::vector<std::string> addresses;
  std::vector<std::string> loopback;
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return addresses;
  for (const ifaddrs* one = first; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || (one->ifa_flags & IFF_UP) == 0) continue;
    std::array<char, INET6_ADDRSTRLEN> text{};
    const void* address = nullptr;
    const int family = one->ifa_addr->sa_family;
    sockaddr_in four{};
    sockaddr_in6 six{};
    if (family == AF_INET) {
      std::memcpy(&four, one->ifa_addr, sizeof four);
      address = &four.sin_addr;
    } else if (family == AF_INET6) {
      std::memcpy(&six, one->ifa_addr, sizeof six);
      // Of one link alone: means nothing elsewhere without the interface there.
      if (IN6_IS_ADDR_LINKLOCAL(&six.sin6_addr) != 0) continue;
      address = &six.sin6_addr;
    }
    if (address == nullptr || ::inet_ntop(family, address, text.data(), text.size()) == nullptr) continue;
    ((one->ifa_flags & IFF_LOOPBACK) != 0 ? loopback : addresses).emplace_back(text.data());
  }
  ::freeifaddrs(first);
  addresses.insert(addresses.end(), loopback.begin(), loopback.end());
  return addresses;
}

}  // namespace rackproof::watch
