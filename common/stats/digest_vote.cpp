#include "common/stats/digest_vote.hpp"

#include <algorithm>
#include <map>

namespace rackproof {

DigestVote vote_on_digests(std::span<const std::uint64_t> digests, std::span<const std::string> kinds) {
  std::map<std::string, std::map<std::uint64_t, std::vector<int>>> votes;
  for (std::size_t rank = 0; rank < digests.size(); ++rank) {
    if (digests[rank] != 0) votes[kinds[rank]][digests[rank]].push_back(static_cast<int>(rank));
  }
  DigestVote result;
  for (const auto& [kind, groups] : votes) {
    if (groups.size() < 2) continue;
    std::size_t total = 0;
    std::size_t largest = 0;
    for (const auto& [value, ranks] : groups) {
      total += ranks.size();
      largest = std::max(largest, ranks.size());
    }
    const bool majority = 2 * largest > total;
    if (!majority) result.decided = false;
    for (const auto& [value, ranks] : groups) {
      if (majority && ranks.size() == largest) continue;
      result.deviating.insert(result.deviating.end(), ranks.begin(), ranks.end());
    }
  }
  std::sort(result.deviating.begin(), result.deviating.end());
  return result;
}

}  // namespace rackproof
