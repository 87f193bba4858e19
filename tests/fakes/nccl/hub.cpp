#include "tests/fakes/nccl/hub.hpp"

#include <fcntl.h>
#include <nccl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <random>

#include "tests/fakes/nccl/arithmetic.hpp"

namespace rackproof::fake_nccl {
namespace {

std::span<const std::byte> bytes_of_text(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string function_of(Operation operation) {
  static constexpr std::array<const char*, 5> names = {"ncclAllReduce", "ncclReduce", "ncclReduceScatter",
                                                       "ncclAllGather", "ncclBroadcast"};
  return names.at(static_cast<std::size_t>(operation));
}

bool reduces(Operation operation) { return operation <= Operation::reduce_scatter; }
bool has_root(Operation operation) { return operation == Operation::reduce || operation == Operation::broadcast; }

/// "ncclAllReduce of 8 f32, reduction 0"
std::string describe(const Header& call) {
  if (call.kind == Kind::split) return "ncclCommSplit";
  std::string text = function_of(call.operation) + " of " + std::to_string(call.count) + " " +
                     name_of(static_cast<ncclDataType_t>(call.type));
  if (reduces(call.operation)) text += ", reduction " + std::to_string(call.reduction);
  if (has_root(call.operation)) text += ", root " + std::to_string(call.root);
  return text;
}

bool same_call(const Header& a, const Header& b) {
  if (a.kind != b.kind) return false;
  if (a.kind == Kind::split) return true;
  if (a.operation != b.operation || a.type != b.type || a.count != b.count || a.offset != b.offset) return false;
  return (!reduces(a.operation) || a.reduction == b.reduction) && (!has_root(a.operation) || a.root == b.root);
}

/// The sum, or what else it is, of block `block` of all contributions, which are of `blocks` blocks each.
std::vector<std::byte> reduce_block(const std::vector<Message>& calls, std::size_t block, std::size_t blocks) {
  const Header& call = calls.front().header;
  const auto type = static_cast<ncclDataType_t>(call.type);
  const auto reduction = static_cast<ncclRedOp_t>(call.reduction);
  const int ranks = static_cast<int>(calls.size());
  const std::size_t bytes = calls.front().payload.size() / blocks;
  std::vector<std::byte> total;
  for (const Message& one : calls) {
    const auto first = one.payload.begin() + static_cast<std::ptrdiff_t>(block * bytes);
    std::vector<std::byte> part(first, first + static_cast<std::ptrdiff_t>(bytes));
    if (reduction == ncclAvg) begin_average(part.data(), call.elements, type, ranks);
    if (total.empty()) {
      total = std::move(part);
    } else {
      accumulate(total.data(), part.data(), call.elements, type, reduction);
    }
  }
  if (reduction == ncclAvg) end_average(total.data(), call.elements, type, ranks);
  return total;
}

}  // namespace

Hub::Hub(std::function<HubAddress()> make_child) : listener_(listen_anywhere()), make_child_(std::move(make_child)) {
  std::random_device random;
  address_ = {port_of(listener_), (std::uint64_t{random()} << 32U) | random()};
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe2 failed");
  wake_ = Socket(ends[0]);
  waker_ = Socket(ends[1]);
  thread_ = std::thread([this] { serve(); });
}

Hub::~Hub() {
  waker_ = Socket();
  thread_.join();
}

void Hub::serve() {
  while (true) {
    std::vector<pollfd> waiting{{wake_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    for (const auto& peer : peers_) {
      const int wanted = POLLIN | (peer->out.empty() ? 0 : POLLOUT);
      waiting.push_back({peer->socket.get(), static_cast<short>(wanted), 0});
    }
    if (::poll(waiting.data(), waiting.size(), -1) < 0) continue;
    if (waiting[0].revents != 0) return;
    const std::size_t known = peers_.size();
    for (std::size_t i = 0; i < known; ++i) {
      Peer& peer = *peers_[i];
      const short events = waiting[i + 2].revents;
      if ((events & POLLOUT) != 0 && !write_to(peer)) lose(peer);
      if ((events & (POLLIN | POLLHUP | POLLERR)) != 0 && !read_from(peer)) lose(peer);
    }
    if (waiting[1].revents != 0) {
      Socket next(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (next) {
        send_at_once(next);
        peers_.push_back(std::make_unique<Peer>());
        peers_.back()->socket = std::move(next);
      }
    }
    std::erase_if(peers_, [this](const std::unique_ptr<Peer>& peer) {
      const bool gone = !peer->socket;
      if (gone && peer->rank >= 0) by_rank_[static_cast<std::size_t>(peer->rank)] = nullptr;
      return gone;
    });
    busy_ = !peers_.empty();
    ended_ = complete_ && peers_.empty();
  }
}

bool Hub::read_from(Peer& peer) {
  std::array<std::byte, 1 << 16> part;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by recv
  while (peer.socket) {
    const ssize_t received = ::recv(peer.socket.get(), part.data(), part.size(), 0);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
    if (received == 0) return false;
    peer.in.insert(peer.in.end(), part.begin(), part.begin() + received);
    take_messages(peer);
  }
  return true;
}

void Hub::take_messages(Peer& peer) {
  std::size_t taken = 0;
  while (peer.in.size() - taken >= sizeof(Header)) {
    Message message;
    std::memcpy(&message.header, peer.in.data() + taken, sizeof(Header));
    const std::size_t length = sizeof(Header) + message.header.payload_bytes;
    if (peer.in.size() - taken < length) break;
    const auto first = peer.in.begin() + static_cast<std::ptrdiff_t>(taken);
    message.payload.assign(first + sizeof(Header), first + static_cast<std::ptrdiff_t>(length));
    taken += length;
    handle(peer, std::move(message));
    if (!peer.socket) return;
  }
  peer.in.erase(peer.in.begin(), peer.in.begin() + static_cast<std::ptrdiff_t>(taken));
}

bool Hub::write_to(Peer& peer) {
  while (!peer.out.empty()) {
    const std::vector<std::byte>& next = peer.out.front();
    const ssize_t sent = ::send(peer.socket.get(), next.data() + peer.sent, next.size() - peer.sent, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
    peer.sent += static_cast<std::size_t>(sent);
    if (peer.sent == next.size()) {
      peer.out.pop_front();
      peer.sent = 0;
    }
  }
  return true;
}

void Hub::tell(Peer& peer, Header header, std::span<const std::byte> payload) {
  if (!peer.socket) return;
  header.payload_bytes = payload.size();
  std::vector<std::byte> message(sizeof header + payload.size());
  std::memcpy(message.data(), &header, sizeof header);
  std::copy(payload.begin(), payload.end(), message.begin() + sizeof header);
  peer.out.push_back(std::move(message));
  // What does not go out now goes when poll() says so; who is gone is seen when reading.
  (void)write_to(peer);
}

void Hub::tell_all(Kind kind, const std::string& text) {
  Header header;
  header.kind = kind;
  for (const auto& peer : peers_) tell(*peer, header, bytes_of_text(text));
}

void Hub::handle(Peer& peer, Message message) {
  switch (message.header.kind) {
    case Kind::hello:
      return greet(peer, message);
    case Kind::collective:
    case Kind::split:
      peer.requests.push_back(std::move(message));
      return run_requests();
    case Kind::send:
    case Kind::taken:
      return pass_on(peer, std::move(message));
    case Kind::farewell:
      return say_farewell(peer);
    default:
      return tell_all(Kind::misuse, "the hub got a message that is not for it");
  }
}

void Hub::refuse(int code, const std::string& why) {
  broken_ = true;
  Header header;
  header.kind = Kind::refused;
  header.code = code;
  for (const auto& peer : peers_) tell(*peer, header, bytes_of_text(why));
}

void Hub::greet(Peer& peer, const Message& message) {
  const Header& hello = message.header;
  if (hello.nonce != address_.nonce) {  // it looked for another
    peer.socket = Socket();
    return;
  }
  const bool first = size_ == 0;
  if (first) size_ = hello.size;
  by_rank_.resize(static_cast<std::size_t>(size_));
  if (hello.size != size_ || hello.rank < 0 || hello.rank >= size_) {
    return refuse(ncclInvalidArgument, "ranks disagree about how many they are: " + std::to_string(size_) + " and " +
                                           std::to_string(hello.size));
  }
  Peer*& place = by_rank_[static_cast<std::size_t>(hello.rank)];
  if (place != nullptr) return refuse(ncclInvalidUsage, "rank " + std::to_string(hello.rank) + " came twice");
  place = &peer;
  peer.rank = hello.rank;
  peer.gpu = message.text();
  for (const Peer* other : by_rank_) {
    if (other == nullptr || other == &peer || other->gpu != peer.gpu) continue;
    return refuse(ncclInvalidUsage, "Duplicate GPU detected : rank " + std::to_string(other->rank) + " and rank " +
                                        std::to_string(peer.rank) + " both on CUDA device " + peer.gpu);
  }
  if (std::find(by_rank_.begin(), by_rank_.end(), nullptr) != by_rank_.end()) return;
  complete_ = true;
  tell_all(Kind::welcome, "");
}

void Hub::pass_on(const Peer& from, Message message) {
  const int to = message.header.peer;
  if (to < 0 || to >= size_ || by_rank_[static_cast<std::size_t>(to)] == nullptr) {
    return tell_all(Kind::lost, "rank " + std::to_string(to) + " has gone");
  }
  message.header.peer = from.rank;
  tell(*by_rank_[static_cast<std::size_t>(to)], message.header, message.payload);
}

void Hub::lose(Peer& peer) {
  peer.socket = Socket();
  if (peer.rank < 0 || peer.left) return;
  peer.left = true;
  by_rank_[static_cast<std::size_t>(peer.rank)] = nullptr;
  broken_ = true;
  tell_all(Kind::lost, "rank " + std::to_string(peer.rank) + ": remote process exited or there was a network error");
}

void Hub::say_farewell(Peer& peer) {
  peer.left = true;
  for (const auto& other : peers_) {
    if (other->left || other->requests.empty()) continue;
    broken_ = true;
    return tell_all(Kind::misuse, "rank " + std::to_string(peer.rank) + " destroyed its communicator while rank " +
                                      std::to_string(other->rank) + " is in " + describe(other->requests[0].header));
  }
}

std::string Hub::disagreement() const {
  const Peer* first = nullptr;
  for (const Peer* peer : by_rank_) {
    if (peer == nullptr || peer->requests.empty()) continue;
    if (first == nullptr) first = peer;
    const Header& expected = first->requests.front().header;
    const Header& found = peer->requests.front().header;
    if (same_call(expected, found)) continue;
    return "rank " + std::to_string(first->rank) + " calls " + describe(expected) + ", but rank " +
           std::to_string(peer->rank) + " " + describe(found);
  }
  return {};
}

void Hub::run_requests() {
  if (broken_) return tell_all(Kind::lost, "a rank of this communicator has gone");
  if (!complete_) return;
  for (std::size_t r = 0; r < by_rank_.size(); ++r) {
    if (by_rank_[r] != nullptr && !by_rank_[r]->left) continue;
    broken_ = true;
    return tell_all(Kind::misuse,
                    "a collective is called after rank " + std::to_string(r) + " destroyed its communicator");
  }
  if (const std::string wrong = disagreement(); !wrong.empty()) {
    broken_ = true;
    return tell_all(Kind::misuse, wrong);
  }
  const auto waits = [](const Peer* peer) { return peer == nullptr || peer->requests.empty(); };
  while (!broken_ && std::none_of(by_rank_.begin(), by_rank_.end(), waits)) {
    std::vector<Message> calls;
    for (Peer* peer : by_rank_) {
      calls.push_back(std::move(peer->requests.front()));
      peer->requests.pop_front();
    }
    if (calls.front().header.kind == Kind::split) {
      run_split(calls);
    } else {
      run_collective(calls);
    }
    if (const std::string wrong = disagreement(); !wrong.empty()) {
      broken_ = true;
      tell_all(Kind::misuse, wrong);
    }
  }
}

void Hub::run_collective(const std::vector<Message>& calls) {
  Header header = calls.front().header;
  header.kind = Kind::result;
  const auto root = static_cast<std::size_t>(header.root);
  std::vector<std::byte> all;
  switch (header.operation) {
    case Operation::all_reduce:
    case Operation::reduce:
      all = reduce_block(calls, 0, 1);
      break;
    case Operation::reduce_scatter:
      for (std::size_t r = 0; r < calls.size(); ++r) {
        const std::vector<std::byte> block = reduce_block(calls, r, calls.size());
        tell(*by_rank_[r], header, block);
      }
      return;
    case Operation::all_gather:
      for (const Message& one : calls) all.insert(all.end(), one.payload.begin(), one.payload.end());
      break;
    case Operation::broadcast:
      all = calls[root].payload;
      break;
  }
  for (std::size_t r = 0; r < calls.size(); ++r) {
    const bool receives = header.operation != Operation::reduce || r == root;
    tell(*by_rank_[r], header, receives ? std::span<const std::byte>(all) : std::span<const std::byte>());
  }
}

void Hub::run_split(const std::vector<Message>& calls) {
  std::map<int, std::vector<std::pair<int, int>>> groups;  // color -> key and rank
  for (std::size_t r = 0; r < calls.size(); ++r) {
    const Header& call = calls[r].header;
    if (call.color >= 0) groups[call.color].emplace_back(call.key, static_cast<int>(r));
  }
  Header answer;
  answer.kind = Kind::child;
  for (std::size_t r = 0; r < calls.size(); ++r) {
    if (calls[r].header.color < 0) tell(*by_rank_[r], answer, {});
  }
  for (auto& [color, members] : groups) {
    std::sort(members.begin(), members.end());
    const HubAddress address = make_child_();
    answer.size = static_cast<std::int32_t>(members.size());
    answer.port = address.port;
    answer.nonce = address.nonce;
    for (std::size_t i = 0; i < members.size(); ++i) {
      answer.rank = static_cast<std::int32_t>(i);
      tell(*by_rank_[static_cast<std::size_t>(members[i].second)], answer, {});
    }
  }
}

}  // namespace rackproof::fake_nccl
