// Who meets whom, and when: pure functions of numbers that all ranks share.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace rackproof {

/// partner[i] of endpoint i, or -1 where it has none. partner[partner[i]] == i.
using Pairing = std::vector<int>;

/// Up to so many endpoints everybody meets everybody.
inline constexpr int largest_round_robin = 64;

/// Every endpoint meets every other once, in n - 1 rounds (n even) or n rounds with one idle in each (n odd), by the
/// circle method (Kirkman, 1847): endpoint n - 1 stays, the others turn.
[[nodiscard]] std::vector<Pairing> round_robin(int endpoints);

/// `rounds` different rounds of the round robin under a random renaming of the endpoints: no pair twice, and every
/// endpoint has `rounds` partners that are spread as those of a random Cayley sum graph, which is an expander with high
/// probability (Alon and Roichman, Random Structures and Algorithms 5, 1994). At most as many as round_robin() has.
[[nodiscard]] std::vector<Pairing> random_matchings(int endpoints, int rounds, std::uint64_t seed);

/// round_robin() for up to largest_round_robin endpoints, 3 ceil(log2 n) random matchings beyond.
[[nodiscard]] std::vector<Pairing> planned_rounds(int endpoints, std::uint64_t seed);
[[nodiscard]] int planned_round_count(int endpoints);

/// One round in which the `wanted` pairs meet, as many of them as have no endpoint in common, the first ones first; the
/// endpoints that are left over meet at random, never as one of the `wanted` pairs (one that cannot be met stays idle),
/// so that the load on the network is that of a planned round.
[[nodiscard]] Pairing round_with(int endpoints, std::span<const std::pair<int, int>> wanted, std::uint64_t seed);

/// Only the `wanted` pairs meet, those that have no endpoint in common; all others stay idle.
[[nodiscard]] Pairing only(int endpoints, std::span<const std::pair<int, int>> wanted);

/// The pairs of a round, each with the smaller number first, in order of it.
[[nodiscard]] std::vector<std::pair<int, int>> pairs_of(const Pairing& pairing);

}  // namespace rackproof
