// How the buffers of a case lie in memory, so that each step meets cold ones and the next knows stale ones.
#pragma once

#include <cstdint>

#include "suites/allreduce/operation.hpp"

namespace rackproof::allreduce {

/// What a rank sends lies at the start of a slot of the input, what it receives at that of the output; the steps walk
/// through the slots.
struct BufferPlan {
  std::uint64_t stride = 0;         ///< bytes of a slot of the input, a multiple of 64
  std::uint64_t output_stride = 0;  ///< of the output; in place the same
  std::uint64_t slots = 0;          ///< 1: hot buffers
  std::uint64_t kept = 0;           ///< outputs of the last so many steps are still there when steps end
  /// Step j uses slot j x pace mod slots; the two have no common divisor. Small messages lie a page and a line apart;
  /// in a first walk through the memory every step is at a higher address than the one before.
  std::uint64_t pace = 0;
  std::uint64_t input_bytes = 0;
  std::uint64_t output_bytes = 0;  ///< 0 in place, where the inputs become the outputs

  [[nodiscard]] std::uint64_t slot(std::uint64_t step) const noexcept { return step % slots * pace % slots; }
};

/// Inputs are read at one of this many places, 64 bytes apart, in turn, each time a slot comes round.
inline constexpr std::uint64_t shifts = 16;
inline constexpr std::uint64_t line = 64;  ///< bytes
/// However large the cache.
inline constexpr std::uint64_t most_buffer_bytes = std::uint64_t{1} << 30U;

/// Cold: as many slots as pass at least 2 x cache bytes between two uses of one, but at most most_buffer_bytes and a
/// quarter of the memory (0: unknown), and at least 2. In place the input is restored `kept` steps after it was
/// overwritten; `kept` is left out of what passes before the next use.
[[nodiscard]] BufferPlan plan_buffers(const Footprint& message, bool cold, std::uint64_t cache, std::uint64_t memory);

/// The least that a case takes, in bytes a rank: two slots, and a copy inside the library.
[[nodiscard]] std::uint64_t least_memory(const Footprint& message);

}  // namespace rackproof::allreduce
