// One all-reduce a step, over buffers of a device, checked against an exact pattern.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "common/core/data_type.hpp"
#include "common/measure/workload.hpp"
#include "suites/allreduce/buffer_plan.hpp"
#include "suites/allreduce/pattern.hpp"
#include "suites/suite.hpp"

namespace rackproof::allreduce {

class AllReduceWorkload final : public Workload {
 public:
  /// Collective. count: elements of the message.
  AllReduceWorkload(DataType type, std::size_t count, bool in_place, const Context& context);

  void prepare() override;
  void step() override { collective_.all_reduce(send_, receive_, count_, type_); }
  /// Of every step whose output is still there, the last one among them. The digest is that of the last.
  Verification verify() override;
  [[nodiscard]] bool is_collective() const override { return true; }

 private:
  /// Where the contribution to step `step` begins in the pattern.
  [[nodiscard]] std::uint64_t first_index(std::uint64_t step) const noexcept;
  [[nodiscard]] std::uint64_t shift(std::uint64_t step) const noexcept;
  void fill();
  /// Elements [first, first + count) of this rank's contributions to `place`.
  void write_contribution(std::byte* place, std::uint64_t first, std::uint64_t count);

  Device& device_;
  Collective& collective_;
  DataType type_;
  std::size_t size_;  // bytes of an element
  std::size_t count_;
  bool in_place_;
  BufferPlan plan_;
  Pattern pattern_;
  std::vector<std::byte> contributions_;  // one period of them
  std::unique_ptr<Buffer> input_;
  std::unique_ptr<Buffer> output_;  // none in place
  std::uint64_t steps_ = 0;         // prepared so far
  const void* send_ = nullptr;
  void* receive_ = nullptr;
};

}  // namespace rackproof::allreduce
