// A 64-bit digest of a buffer, to tell devices apart that should have computed the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace rackproof {

/// XXH3-64 of the bytes; `seed` chains several buffers into one digest.
[[nodiscard]] std::uint64_t digest(std::span<const std::byte> bytes, std::uint64_t seed = 0);

}  // namespace rackproof
