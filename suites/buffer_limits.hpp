// What the buffers of a case may take, the same on every rank.
#pragma once

#include <cstdint>

#include "suites/suite.hpp"

namespace rackproof {

struct BufferLimits {
  std::uint64_t cache = 0;   ///< bytes: the largest last-level cache of any rank
  std::uint64_t memory = 0;  ///< bytes: the smallest memory that any rank has left
};

/// Collective. With it the buffers of all ranks lie alike.
[[nodiscard]] BufferLimits agree_on_buffer_limits(const Context& context);

}  // namespace rackproof
