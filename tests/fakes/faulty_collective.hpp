// Another collective, with a fault before or after what it does, or in place of it.
#pragma once

#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/backends/collective.hpp"

namespace rackproof {

class FaultyCollective : public Collective {
 public:
  using Fault = std::function<void(std::byte* data, std::size_t count, DataType type)>;

  explicit FaultyCollective(std::unique_ptr<Collective> real) : real_(std::move(real)) {}
  Fault before;        ///< changes what this rank sends
  Fault after;         ///< changes what this rank received
  Fault scribble;      ///< writes into the memory that was sent from, which nobody may
  bool skips = false;  ///< does nothing at all

  [[nodiscard]] int rank() const override { return real_->rank(); }
  [[nodiscard]] int size() const override { return real_->size(); }
  [[nodiscard]] const mpi::Communicator* ranks() const override { return real_->ranks(); }
  [[nodiscard]] std::string implementation() const override { return "faulty"; }

  void all_reduce(const void* send, void* receive, std::size_t count, DataType type, Reduction reduction) override {
    spoil(send, count, receive, count, type,
          [&](const void* sent) { real_->all_reduce(sent, receive, count, type, reduction); });
  }
  void reduce(const void* send, void* receive, std::size_t count, DataType type, int root,
              Reduction reduction) override {
    spoil(send, count, receive, rank() == root ? count : 0, type,
          [&](const void* sent) { real_->reduce(sent, receive, count, type, root, reduction); });
  }
  void reduce_scatter(const void* send, void* receive, std::size_t count, DataType type, Reduction reduction) override {
    spoil(send, blocks(count), receive, count, type,
          [&](const void* sent) { real_->reduce_scatter(sent, receive, count, type, reduction); });
  }
  void all_gather(const void* send, void* receive, std::size_t count, DataType type) override {
    spoil(send, count, receive, blocks(count), type,
          [&](const void* sent) { real_->all_gather(sent, receive, count, type); });
  }
  void all_to_all(const void* send, void* receive, std::size_t count, DataType type) override {
    spoil(send, blocks(count), receive, blocks(count), type,
          [&](const void* sent) { real_->all_to_all(sent, receive, count, type); });
  }
  void broadcast(void* data, std::size_t count, DataType type, int root) override {
    if (skips) return;
    if (before && rank() == root) before(static_cast<std::byte*>(data), count, type);
    real_->broadcast(data, count, type, root);
    if (after) after(static_cast<std::byte*>(data), count, type);
  }
  void send_recv(const void* send, int to, void* receive, int from, std::size_t count, DataType type) override {
    spoil(send, to == nobody ? 0 : count, receive, from == nobody ? 0 : count, type,
          [&](const void* sent) { real_->send_recv(sent, to, receive, from, count, type); });
  }
  void barrier() override { real_->barrier(); }
  /// With the same faults.
  [[nodiscard]] std::unique_ptr<Collective> split(int color) override {
    auto part = std::make_unique<FaultyCollective>(real_->split(color));
    part->before = before;
    part->after = after;
    part->scribble = scribble;
    part->skips = skips;
    return part;
  }

 private:
  [[nodiscard]] std::size_t blocks(std::size_t count) const { return count * static_cast<std::size_t>(size()); }

  template <typename Action>
  void spoil(const void* send, std::size_t send_count, void* receive, std::size_t receive_count, DataType type,
             Action action) {
    if (skips) return;
    std::vector<std::byte> sent(send_count * size_of(type));
    if (!sent.empty()) std::memcpy(sent.data(), send, sent.size());
    if (before) before(sent.data(), send_count, type);
    action(sent.data());
    if (scribble) scribble(const_cast<std::byte*>(static_cast<const std::byte*>(send)), send_count, type);
    if (after && receive_count > 0) after(static_cast<std::byte*>(receive), receive_count, type);
  }

  std::unique_ptr<Collective> real_;
};

}  // namespace rackproof
