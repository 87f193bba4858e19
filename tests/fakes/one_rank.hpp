// The collectives of a world of one rank, for tests of a suite on one device.
#pragma once

#include <memory>
#include <string>

#include "common/backends/collective.hpp"
#include "common/backends/device.hpp"

namespace rackproof {

/// A sum over one rank is a copy, which the device makes in its order. What moves data between ranks has none to move.
class OneRank final : public Collective {
 public:
  explicit OneRank(Device& device) : device_(device) {}
  [[nodiscard]] int rank() const override { return 0; }
  [[nodiscard]] int size() const override { return 1; }
  [[nodiscard]] std::string implementation() const override { return "one rank"; }
  void all_reduce(const void* send, void* receive, std::size_t count, DataType type, Reduction) override {
    device_.copy(receive, send, bytes_of(count, type));
  }
  void reduce(const void*, void*, std::size_t, DataType, int, Reduction) override {}
  void reduce_scatter(const void*, void*, std::size_t, DataType, Reduction) override {}
  void all_to_all(const void*, void*, std::size_t, DataType) override {}
  void all_gather(const void*, void*, std::size_t, DataType) override {}
  void broadcast(void*, std::size_t, DataType, int) override {}
  void send_recv(const void*, int, void*, int, std::size_t, DataType) override {}
  void barrier() override {}
  [[nodiscard]] std::unique_ptr<Collective> split(int) override { return nullptr; }

 private:
  Device& device_;
};

}  // namespace rackproof
