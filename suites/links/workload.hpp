// A step of the links suite: two ranks exchange a message, or a device copies memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "common/measure/workload.hpp"
#include "suites/links/session.hpp"
#include "suites/suite.hpp"

namespace rackproof::links {

enum class Direction {
  one_way,   ///< there and back, one after the other: a step is two messages
  both_ways  ///< both at the same time
};
[[nodiscard]] Direction parse_direction(std::string_view text);

/// Each rank meets its partner; ranks without one wait. What arrives is compared with what the partner must have sent,
/// in all slots that the steps used.
class PairWorkload final : public Workload {
 public:
  /// Collective. partner: rank, or -1.
  PairWorkload(std::uint64_t message, Direction direction, int partner, LinksSession& session, const Context& context);

  void prepare() override;
  void step() override;
  void finish() override { context_.device.synchronize(); }
  Verification verify() override;
  [[nodiscard]] bool is_collective() const override { return false; }
  [[nodiscard]] bool takes_part() const override { return partner_ >= 0; }
  [[nodiscard]] int partner() const override { return partner_; }

 private:
  /// Where the message of a step begins in the sender's text, the same for both.
  [[nodiscard]] std::uint64_t position(std::uint64_t step) const noexcept;
  void give(std::uint64_t bytes);
  void take(std::uint64_t bytes);

  const Context& context_;
  const Buffers& buffers_;
  Direction direction_;
  int partner_;
  bool first_;  ///< one_way: this rank begins
  std::uint64_t salt_;
  std::uint64_t steps_ = 0;
  const std::byte* send_ = nullptr;
  std::byte* receive_ = nullptr;
};

enum class CopyKind { device, to_device, to_host };
/// Of the host's side: as the device likes it best (Device::allocate_host), or as any program has it.
enum class HostMemory { pinned, pageable };

/// Copies within the device's memory, or between it and the host's. Every rank at the same time.
class CopyWorkload final : public Workload {
 public:
  CopyWorkload(CopyKind kind, HostMemory memory, std::uint64_t bytes, const Context& context);

  void prepare() override;
  void step() override;
  void finish() override { device_.synchronize(); }
  Verification verify() override;
  [[nodiscard]] bool is_collective() const override { return false; }

 private:
  Device& device_;
  CopyKind kind_;
  std::uint64_t bytes_;
  std::uint64_t seed_;
  int rank_;
  std::unique_ptr<Buffer> from_;     ///< none to_device
  std::unique_ptr<Buffer> to_;       ///< none to_host
  std::unique_ptr<Buffer> pinned_;   ///< the host's side, or one of
  std::vector<std::byte> pageable_;  ///< these two
  std::byte* host_ = nullptr;        ///< which of them it is; null: neither
  std::uint64_t steps_ = 0;
};

}  // namespace rackproof::links
