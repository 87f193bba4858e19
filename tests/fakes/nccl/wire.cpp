#include "tests/fakes/nccl/wire.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

namespace rackproof::fake_nccl {
namespace {

std::string reason(const char* call) { return std::string(call) + ": " + std::strerror(errno); }

void send_all(const Socket& socket, const void* data, std::size_t bytes) {
  const auto* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t sent = ::send(socket.get(), next, bytes, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) throw Disconnected(reason("send"));
    next += sent;
    bytes -= static_cast<std::size_t>(sent);
  }
}

void receive_all(const Socket& socket, void* data, std::size_t bytes) {
  auto* next = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t received = ::recv(socket.get(), next, bytes, 0);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0) throw Disconnected(reason("recv"));
    if (received == 0) throw Disconnected("the connection was closed");
    next += received;
    bytes -= static_cast<std::size_t>(received);
  }
}

}  // namespace

Socket& Socket::operator=(Socket&& other) noexcept {
  if (this != &other) {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = other.release();
  }
  return *this;
}

Socket::~Socket() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

int Socket::release() noexcept {
  const int descriptor = descriptor_;
  descriptor_ = -1;
  return descriptor;
}

void Socket::shut_down() const noexcept {
  if (descriptor_ >= 0) ::shutdown(descriptor_, SHUT_RDWR);
}

Socket listen_anywhere() {
  Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) throw std::runtime_error(reason("socket"));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw std::runtime_error(reason("bind"));
  }
  if (::listen(socket.get(), SOMAXCONN) != 0) throw std::runtime_error(reason("listen"));
  return socket;
}

int port_of(const Socket& socket) {
  sockaddr_in address{};
  socklen_t length = sizeof address;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    throw std::runtime_error(reason("getsockname"));
  }
  return ntohs(address.sin_port);
}

std::vector<std::uint32_t> addresses_of_this_host(std::size_t limit) {
  std::vector<std::uint32_t> addresses;
  ifaddrs* interfaces = nullptr;
  if (::getifaddrs(&interfaces) == 0) {
    const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(interfaces, &::freeifaddrs);
    for (const ifaddrs* one = interfaces; one != nullptr; one = one->ifa_next) {
      if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET) continue;
      if ((one->ifa_flags & IFF_UP) == 0 || (one->ifa_flags & IFF_LOOPBACK) != 0) continue;
      addresses.push_back(reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr.s_addr);
    }
  }
  addresses.resize(std::min(addresses.size(), limit - 1));
  addresses.push_back(htonl(INADDR_LOOPBACK));
  return addresses;
}

void send_at_once(const Socket& socket) {
  const int on = 1;
  (void)setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

Socket connect_to(std::uint32_t address, int port) {
  Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return {};
  sockaddr_in other{};
  other.sin_family = AF_INET;
  other.sin_addr.s_addr = address;
  other.sin_port = htons(static_cast<std::uint16_t>(port));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&other), sizeof other) != 0) {
    if (errno != EINPROGRESS) return {};
    pollfd waiting{socket.get(), POLLOUT, 0};
    if (::poll(&waiting, 1, 5000) != 1) return {};
    int error = 0;
    socklen_t length = sizeof error;
    (void)getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return {};
  }
  const int flags = ::fcntl(socket.get(), F_GETFL);
  (void)::fcntl(socket.get(), F_SETFL, flags & ~O_NONBLOCK);
  send_at_once(socket);
  return socket;
}

void send_message(const Socket& socket, Header header, std::span<const std::byte> payload) {
  header.payload_bytes = payload.size();
  send_all(socket, &header, sizeof header);
  send_all(socket, payload.data(), payload.size());
}

Message receive_message(const Socket& socket) {
  Message message;
  receive_all(socket, &message.header, sizeof message.header);
  message.payload.resize(message.header.payload_bytes);
  receive_all(socket, message.payload.data(), message.payload.size());
  return message;
}

}  // namespace rackproof::fake_nccl
