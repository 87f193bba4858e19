#include "tests/fakes/nccl/communicator.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "tests/fakes/nccl/arithmetic.hpp"
#include "tests/fakes/nccl/cuda_double.hpp"
#include "tests/fakes/nccl/debug_log.hpp"

namespace rackproof::fake_nccl {
namespace {

/// Of one piece of a collective; bounds what the hub must keep.
constexpr std::size_t piece_bytes = std::size_t{1} << 20U;

/// A peer, or the hub's process, is gone.
class Lost : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Blocks of the piece on this side of a collective: a rank's own, or one for every rank.
std::size_t blocks_to_send(const Call& call, int ranks) {
  return call.operation == Operation::reduce_scatter ? static_cast<std::size_t>(ranks) : 1;
}
std::size_t blocks_to_receive(const Call& call, int ranks) {
  return call.operation == Operation::all_gather ? static_cast<std::size_t>(ranks) : 1;
}

/// In NCCL's words.
ncclResult_t refuse_for_cuda(cudaError_t code) {
  set_last_error("Cuda failure " + std::to_string(code) + " '" + cuda_double()->error_string(code) + "'");
  return ncclUnhandledCudaError;
}

bool overlap(const std::byte* a, std::size_t a_bytes, const std::byte* b, std::size_t b_bytes) {
  return a < b + b_bytes && b < a + a_bytes;
}

}  // namespace

/// What a stream runs: with the communicator alive, or it is a graph that outlived it.
struct Batch {
  std::weak_ptr<Communicator> communicator;
  std::vector<Call> calls;
  bool counted = false;  ///< among what is in flight: not part of a graph

  static void run(void* argument) {
    const auto* batch = static_cast<const Batch*>(argument);
    const auto communicator = batch->communicator.lock();
    if (communicator == nullptr) fail("NCCL: a graph replays a collective of a communicator that was destroyed");
    communicator->execute(batch->calls);
  }
  static void discard(void* argument) {
    const std::unique_ptr<const Batch> batch(static_cast<const Batch*>(argument));
    const auto communicator = batch->communicator.lock();
    if (communicator == nullptr || !batch->counted) return;
    const std::lock_guard lock(communicator->mutex_);
    --communicator->in_flight_;
    communicator->changed_.notify_all();
  }
};

Communicator::Communicator(Self self, Planted planted) : self_(std::move(self)), planted_(std::move(planted)) {}

Communicator::~Communicator() { wait_until_begun(); }

void Communicator::begin(const Meeting& meeting, int rank, int size) {
  rank_ = rank;
  size_ = size;
  beginning_ = true;
  beginner_ = std::thread([this, meeting] {
    join_hub(meeting);
    beginning_ = false;
  });
}

void Communicator::begin_split(const std::shared_ptr<Communicator>& parent, int color, int key) {
  beginning_ = true;
  parent->beginning_ = true;
  beginner_ = std::thread([this, parent, color, key] {
    try {
      const Header child = parent->split(color, key);
      rank_ = child.rank;
      size_ = child.size;
      if (size_ > 0) join_hub({parent->addresses_, child.port, child.nonce});
    } catch (const std::exception& error) {
      set_error(ncclRemoteError, error.what());
      parent->set_error(ncclRemoteError, error.what());
    }
    beginning_ = false;
    parent->beginning_ = false;
  });
}

Header Communicator::split(int color, int key) {
  const std::lock_guard one_at_a_time(executing_);
  Header header;
  header.kind = Kind::split;
  header.rank = rank_;
  header.color = color;
  header.key = key;
  send_message(socket_, header, {});
  return wait_for(Kind::child).header;
}

void Communicator::join_hub(const Meeting& meeting) {
  const std::lock_guard one_at_a_time(executing_);
  try {
    Header hello;
    hello.kind = Kind::hello;
    hello.rank = rank_;
    hello.size = size_;
    hello.nonce = meeting.nonce;
    for (const std::uint32_t address : meeting.addresses) {
      Socket found = connect_to(address, meeting.port);
      if (!found) continue;
      {
        const std::lock_guard lock(mutex_);
        socket_ = std::move(found);
        if (aborted_) return;
      }
      send_message(socket_, hello, std::as_bytes(std::span(self_.gpu)));
      Message answer;
      try {
        answer = receive_message(socket_);
      } catch (const Disconnected&) {
        if (aborted_) return;
        continue;  // somebody else listens there
      }
      addresses_ = {address};
      if (answer.header.kind == Kind::lost) throw Lost(answer.text());
      if (answer.header.kind != Kind::refused) {
        profiler_ = std::make_unique<Profiler>(self_.name, size_, rank_);
        return;
      }
      log_warning(self_.device, answer.text());
      return set_error(static_cast<ncclResult_t>(answer.header.code), answer.text());
    }
    set_error(ncclSystemError, "nobody answers where the unique id says");
  } catch (const std::exception& error) {
    if (!aborted_) set_error(ncclRemoteError, error.what());
  }
}

void Communicator::wait_until_begun() {
  if (beginner_.joinable()) beginner_.join();
}

ncclResult_t Communicator::poll() {
  if (error_ != ncclSuccess) return error_;
  if (beginning_) return ncclInProgress;
  if (looks_in_progress_ > 0) {
    --looks_in_progress_;
    return ncclInProgress;
  }
  return ncclSuccess;
}

void Communicator::begin_progress() {
  if (!self_.blocking) looks_in_progress_ = 1;
}

ncclResult_t Communicator::check_ready() {
  if (error_ != ncclSuccess) return error_;
  if (!beginning_ && looks_in_progress_ == 0) return ncclSuccess;
  set_last_error("Attempt to use communicator before the previous operation returned ncclSuccess");
  log_warning(self_.device, last_error());
  return ncclInvalidArgument;
}

void Communicator::set_error(ncclResult_t error, const std::string& text) {
  const std::lock_guard lock(mutex_);
  set_last_error(text);
  error_ = error;
  changed_.notify_all();
}

void Communicator::check_memory(const Call& call) const {
  const std::size_t bytes = call.count * bytes_of(call.type);
  const auto* cuda = cuda_double();
  const bool collective = call.what == Call::What::collective;
  const bool only_root_sends = collective && call.operation == Operation::broadcast && rank_ != call.root;
  const bool only_root_receives = collective && call.operation == Operation::reduce && rank_ != call.root;
  const bool sends = call.what != Call::What::receive && !only_root_sends;
  const bool receives = call.what != Call::What::send && !only_root_receives;
  const std::size_t sent = bytes * blocks_to_send(call, size_);
  const std::size_t received = bytes * blocks_to_receive(call, size_);
  if (sends && cuda->owns(call.send, sent) == 0) {
    fail("NCCL: rank " + std::to_string(rank_) + " sends " + std::to_string(sent) +
         " bytes that are no live memory of its GPU");
  }
  if (receives && cuda->owns(call.receive, received) == 0) {
    fail("NCCL: rank " + std::to_string(rank_) + " receives into " + std::to_string(received) +
         " bytes that are no live memory of its GPU");
  }
  if (!sends || !receives) return;
  // In place: the blocks that are this rank's lie upon each other.
  const std::size_t own = static_cast<std::size_t>(rank_) * bytes;
  const auto* from = static_cast<const std::byte*>(call.send);
  const auto* to = static_cast<const std::byte*>(call.receive);
  const bool in_place = from + (sent > bytes ? own : 0) == to + (received > bytes ? own : 0);
  if (!in_place && overlap(from, sent, to, received)) fail("NCCL: what is sent and what is received overlap");
}

void Communicator::announce(const Call& call) {
  if (call.what != Call::What::collective) return;
  static constexpr std::array functions = {"AllReduce", "Reduce", "ReduceScatter", "AllGather", "Broadcast"};
  const char* function = functions.at(static_cast<std::size_t>(call.operation));
  const std::size_t bytes = call.count * bytes_of(call.type);
  const Tuning tuning = choose_tuning(bytes);
  if (rank_ == 0) log_tuning(self_.device, function, bytes, tuning);
  profiler_->collective(function, call.count, nccl_name_of(call.type), tuning);
}

ncclResult_t Communicator::enqueue(std::vector<Call> calls, cudaStream_t stream) {
  std::erase_if(calls, [](const Call& call) { return call.count == 0; });
  if (calls.empty()) return ncclSuccess;
  for (const Call& call : calls) {
    check_memory(call);
    announce(call);
  }
  const auto* cuda = cuda_double();
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  if (const cudaError_t code = cuda->is_capturing(stream, &capture); !succeeded(code)) {
    return refuse_for_cuda(code);
  }
  auto batch = std::make_unique<Batch>();
  batch->communicator = weak_from_this();
  batch->calls = std::move(calls);
  batch->counted = capture == cudaStreamCaptureStatusNone;
  if (batch->counted) {
    const std::lock_guard lock(mutex_);
    ++in_flight_;
  }
  // It owns its argument from the start, and discards it where it refuses.
  const int state = cuda->enqueue(stream, &Batch::run, batch.release(), &Batch::discard);
  return state == cudaSuccess ? ncclSuccess : refuse_for_cuda(static_cast<cudaError_t>(state));
}

void Communicator::execute(const std::vector<Call>& calls) {
  const std::lock_guard one_at_a_time(executing_);
  if (aborted_) return;
  if (has_failed()) return wait_for_abort();
  try {
    for (const Call& call : calls) check_memory(call);
    run(calls);
  } catch (const std::exception& error) {
    if (aborted_) return;
    set_error(ncclRemoteError, error.what());
    log_warning(self_.device, error.what());
    wait_for_abort();
  }
}

/// What a GPU does whose peer never answers.
void Communicator::wait_for_abort() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return aborted_.load(); });
}

void Communicator::run(const std::vector<Call>& calls) {
  for (const Call& call : calls) {
    if (call.what == Call::What::collective) run_collective(call);
  }
  run_messages(calls);
}

void Communicator::run_collective(const Call& call) {
  if (call.operation == Operation::all_reduce) {
    const long number = ++*planted_.all_reduces;
    if (number == planted_.die_at) (void)::kill(::getpid(), SIGKILL);
    if (number == planted_.freeze_at) {
      (void)::kill(::getpid(), SIGSTOP);
      std::this_thread::sleep_for(std::chrono::seconds(1));  // until every thread has seen it
    }
    if (number == planted_.hang_at) return wait_for_abort();
  }
  const std::size_t blocks = std::max(blocks_to_send(call, size_), blocks_to_receive(call, size_));
  const std::size_t most = std::max<std::size_t>(1, piece_bytes / (bytes_of(call.type) * blocks));
  for (std::size_t offset = 0; offset < call.count; offset += most) {
    run_piece(call, offset, std::min(most, call.count - offset));
  }
  const bool has_sum = call.operation == Operation::all_reduce || call.operation == Operation::reduce_scatter ||
                       (call.operation == Operation::reduce && rank_ == call.root);
  if (planted_.wrong_sum && has_sum) {
    damage(static_cast<std::byte*>(call.receive) + call.count / 2 * bytes_of(call.type), call.type);
  }
}

void Communicator::run_piece(const Call& call, std::size_t offset, std::size_t elements) {
  const std::size_t size = bytes_of(call.type);
  Header header;
  header.kind = Kind::collective;
  header.rank = rank_;
  header.operation = call.operation;
  header.type = call.type;
  header.reduction = call.reduction;
  header.root = call.root;
  header.count = call.count;
  header.offset = offset;
  header.elements = elements;
  const auto begin = std::chrono::steady_clock::now();
  const bool sends = call.operation != Operation::broadcast || rank_ == call.root;
  const auto* from = static_cast<const std::byte*>(call.send);
  const std::size_t blocks = sends ? blocks_to_send(call, size_) : 0;
  std::vector<std::byte> contribution;
  for (std::size_t b = 0; b < blocks; ++b) {
    const auto* block = from + (b * call.count + offset) * size;
    contribution.insert(contribution.end(), block, block + elements * size);
  }
  // A slow rank comes late.
  cuda_double()->stretch(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  send_message(socket_, header, contribution);
  const Message result = wait_for(Kind::result);
  if (call.operation == Operation::reduce && rank_ != call.root) return;
  auto* to = static_cast<std::byte*>(call.receive);
  for (std::size_t b = 0; b < blocks_to_receive(call, size_); ++b) {
    std::memcpy(to + (b * call.count + offset) * size, result.payload.data() + b * elements * size, elements * size);
  }
}

void Communicator::run_messages(const std::vector<Call>& calls) {
  for (const Call& call : calls) {
    if (call.what != Call::What::send) continue;
    Message message;
    message.header.kind = Kind::send;
    message.header.rank = rank_;
    message.header.peer = call.peer;
    message.header.type = call.type;
    message.header.count = call.count;
    const auto* from = static_cast<const std::byte*>(call.send);
    const std::span bytes(from, call.count * bytes_of(call.type));
    if (call.peer == rank_) {
      message.payload.assign(bytes.begin(), bytes.end());
      inbox_[rank_].push_back(std::move(message));
    } else {
      send_message(socket_, message.header, bytes);
    }
  }
  for (const Call& call : calls) {
    if (call.what == Call::What::receive) receive(call);
  }
  // A send ends when its receiver has it: what only works because NCCL keeps small messages in its own buffers hangs.
  for (const Call& call : calls) {
    if (call.what != Call::What::send) continue;
    while (taken_[call.peer] == 0) pump();
    --taken_[call.peer];
  }
}

void Communicator::receive(const Call& call) {
  std::deque<Message>& from_peer = inbox_[call.peer];
  while (from_peer.empty()) pump();
  const Message message = std::move(from_peer.front());
  from_peer.pop_front();
  const Header& sent = message.header;
  if (sent.count != call.count || sent.type != call.type) {
    fail("NCCL: rank " + std::to_string(call.peer) + " sends " + std::to_string(sent.count) + " " +
         name_of(static_cast<ncclDataType_t>(sent.type)) + ", but rank " + std::to_string(rank_) + " receives " +
         std::to_string(call.count) + " " + name_of(call.type));
  }
  std::memcpy(call.receive, message.payload.data(), message.payload.size());
  if (call.peer == rank_) {
    ++taken_[rank_];
    return;
  }
  Header taken;
  taken.kind = Kind::taken;
  taken.rank = rank_;
  taken.peer = call.peer;
  send_message(socket_, taken, {});
}

void Communicator::pump() {
  Message message = receive_message(socket_);
  const int peer = message.header.peer;
  switch (message.header.kind) {
    case Kind::send:
      inbox_[peer].push_back(std::move(message));
      return;
    case Kind::taken:
      ++taken_[peer];
      return;
    case Kind::lost:
      throw Lost(message.text());
    case Kind::misuse:
      fail("NCCL: " + message.text());
    default:
      answers_.push_back(std::move(message));
  }
}

Message Communicator::wait_for(Kind kind) {
  while (answers_.empty()) pump();
  Message answer = std::move(answers_.front());
  answers_.pop_front();
  if (answer.header.kind != kind) fail("NCCL: the hub answers what was not asked");
  return answer;
}

void Communicator::finalize() {
  wait_until_begun();
  {
    std::unique_lock lock(mutex_);
    const auto ended = [this] { return in_flight_ == 0 || has_failed(); };
    changed_.wait(lock, ended);
    if (in_flight_ > 0) fail("NCCL: a communicator with an error is destroyed while work waits on a stream; abort it");
    if (farewell_said_ || aborted_) return;
    farewell_said_ = true;
  }
  for (const auto& [peer, messages] : inbox_) {
    if (!messages.empty())
      fail("NCCL: rank " + std::to_string(rank_) + " never received what rank " + std::to_string(peer) + " sent");
  }
  if (!socket_ || has_failed()) return;
  Header header;
  header.kind = Kind::farewell;
  header.rank = rank_;
  try {
    send_message(socket_, header, {});
  } catch (const Disconnected& error) {
    log_warning(self_.device, error.what());
  }
}

void Communicator::abort() {
  {
    const std::lock_guard lock(mutex_);
    aborted_ = true;
    socket_.shut_down();
    changed_.notify_all();
  }
  wait_until_begun();
}

void* Communicator::register_buffer(void* buffer, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  registered_[buffer] = bytes;
  return buffer;
}

bool Communicator::deregister_buffer(void* handle) {
  const std::lock_guard lock(mutex_);
  return registered_.erase(handle) == 1;
}

std::size_t Communicator::registered_buffers() {
  const std::lock_guard lock(mutex_);
  return registered_.size();
}

}  // namespace rackproof::fake_nccl
