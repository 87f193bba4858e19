// One collective a step, over buffers of a device, checked against contents that are known at every index.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/backends/reduction.hpp"
#include "common/core/data_type.hpp"
#include "common/measure/workload.hpp"
#include "suites/allreduce/arrivals.hpp"
#include "suites/allreduce/buffer_plan.hpp"
#include "suites/allreduce/content.hpp"
#include "suites/allreduce/groups.hpp"
#include "suites/allreduce/operation.hpp"
#include "suites/suite.hpp"

namespace rackproof::allreduce {

enum class Inputs {
  pattern,  ///< whole numbers whose result is exact
  normals   ///< sums that depend on the order of adding
};

/// What one case does.
struct Spec {
  Operation operation = Operation::all_reduce;
  DataType type = DataType::f32;
  Reduction reduction = Reduction::sum;
  std::size_t count = 0;  ///< elements of the message; of operations with blocks a multiple of the ranks
  bool in_place = false;
  Inputs inputs = Inputs::pattern;
  Groups groups;
  Arrivals arrivals = Arrivals::together;
  double spread = 0.0;      ///< s, of the arrivals
  bool streamed = false;    ///< a sample is a row of operations back to back; not in place
  bool registered = false;  ///< messages lie in memory that the library knows (Collective::allocate_registered)
  std::string backend{};    ///< of the collective; empty: the usual one
};

/// The collective of a case over all ranks.
[[nodiscard]] Collective& collective_of(const Spec& spec, const Context& context);

class CollectiveWorkload final : public Workload {
 public:
  /// Roots of broadcast and reduce are rank 0 of each group; send-recv goes to the next rank, the last to the first.
  static constexpr int root = 0;
  /// How often the same sum of normals is taken to see whether its bits are the same.
  static constexpr int repetitions = 8;

  /// Collective.
  CollectiveWorkload(const Spec& spec, const Context& context);

  void prepare() override;
  void step() override;
  void finish() override { device_.synchronize(); }
  [[nodiscard]] double delay() const override;
  [[nodiscard]] std::string implementation() const override { return collective_.choice(); }
  /// Of every step whose output is still there, the last one among them; the digest is that of the last. Of normals:
  /// whether the bits of the sum are the same over repetitions and ranks, in `detail`.
  Verification verify() override;
  [[nodiscard]] bool is_collective() const override { return true; }
  [[nodiscard]] bool is_streamed() const override { return spec_.streamed; }

 private:
  /// Where the contribution to step `step` begins in the content.
  [[nodiscard]] std::uint64_t first_index(std::uint64_t step) const noexcept;
  [[nodiscard]] std::uint64_t shift(std::uint64_t step) const noexcept;
  [[nodiscard]] const std::byte* output(std::uint64_t step) const noexcept;
  [[nodiscard]] bool receives() const noexcept;
  [[nodiscard]] bool results_are_shared() const noexcept;
  void fill();
  void prepare_in_place(std::uint64_t step);
  /// Elements [first, first + count) of this rank's contributions to `place`.
  void write_contribution(std::byte* place, std::uint64_t first, std::uint64_t count);
  /// Calls action(host, begin, bytes) for the pieces of a message on the device.
  template <typename Action>
  void read_pieces(const std::byte* message, std::uint64_t bytes, Action action);
  void check_output(std::uint64_t step);
  /// Elements [begin, begin + count) of what the step received.
  void check_piece(std::uint64_t step, std::uint64_t begin, const std::byte* received, std::uint64_t count);
  [[nodiscard]] std::uint64_t digest_of(std::uint64_t step);
  /// Empty where what this rank sent in the last step is still what it was.
  [[nodiscard]] std::string changed_input();
  /// Collective over the group.
  [[nodiscard]] std::string reproducibility(std::uint64_t first_digest);

  Spec spec_;
  Device& device_;
  std::unique_ptr<Collective> group_;  // none: the world
  Collective& collective_;
  std::size_t size_;   // bytes of an element
  std::size_t block_;  // elements
  Footprint footprint_;
  BufferPlan plan_;
  std::uint64_t advance_;  // slots from one step to the next
  std::uint64_t seed_;
  std::unique_ptr<Content> content_;
  std::vector<std::byte> contributions_;  // one period of them
  std::vector<std::byte> staging_;
  std::unique_ptr<Buffer> input_;
  std::unique_ptr<Buffer> output_;   // none in place
  std::unique_ptr<Buffer> digests_;  // normals: of the repetitions, then of all ranks
  std::uint64_t steps_ = 0;          // prepared so far
  std::uint64_t slot_ = 0;           // of the next step, and
  std::uint64_t shift_ = 0;          // its shift, without a division in a row of operations
  const void* send_ = nullptr;
  void* receive_ = nullptr;
};

}  // namespace rackproof::allreduce
