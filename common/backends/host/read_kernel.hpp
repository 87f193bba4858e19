// Reads memory and does nothing else, for the peak rate.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/backends/host/isa.hpp"

namespace rackproof::host {

/// Exclusive-or of `count` words, by all threads, each its contiguous part: bytes per second of this is the read
/// bandwidth.
using ReadKernel = std::uint64_t (*)(const std::uint64_t* words, std::size_t count);

/// Throws Error (internal) for an instruction set that this binary does not carry.
[[nodiscard]] ReadKernel read_kernel(Isa isa);

}  // namespace rackproof::host
