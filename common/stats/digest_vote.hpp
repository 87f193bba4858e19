// Finds the rank that computed other bits than its peers.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace rackproof {

struct DigestVote {
  /// Ranks whose digest is not that of the majority of their kind. Empty: all agree.
  std::vector<int> deviating;
  /// False where a kind has no majority (two ranks that differ): then all ranks of that kind are in `deviating`,
  /// and the fault is among them.
  bool decided = true;
};

/// digests[r] and kinds[r] belong to rank r; ranks are compared within their kind (device name), because devices of
/// different kinds may round differently. A digest of 0 means that the rank has none and is left out.
[[nodiscard]] DigestVote vote_on_digests(std::span<const std::uint64_t> digests, std::span<const std::string> kinds);

}  // namespace rackproof
