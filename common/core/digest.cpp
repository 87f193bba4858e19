#include "common/core/digest.hpp"

#include <xxhash.h>

namespace rackproof {

std::uint64_t digest(std::span<const std::byte> bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

}  // namespace rackproof
