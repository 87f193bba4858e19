#include "common/measure/tournament.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <numeric>

#include "common/core/random.hpp"

namespace rackproof {
namespace {

/// "pair" in ASCII: a stream of random numbers of its own.
constexpr std::uint64_t purpose = 0x70616972;

std::size_t at(int i) { return static_cast<std::size_t>(i); }

int round_count(int endpoints) { return endpoints < 2 ? 0 : endpoints - 1 + endpoints % 2; }

/// Round r of the circle method: of the m = round_count others on the circle, i and j meet where i + j = 2 r mod m; the
/// one that would meet itself, r, meets the last endpoint, or, where the number is odd, nobody.
Pairing circle_round(int endpoints, int round) {
  const int circle = round_count(endpoints);
  Pairing partner(at(endpoints), -1);
  for (int i = 0; i < circle; ++i) {
    const int j = ((2 * round - i) % circle + circle) % circle;
    if (i == j) {
      if (endpoints > circle) {
        partner[at(i)] = endpoints - 1;
        partner[at(endpoints - 1)] = i;
      }
      continue;
    }
    partner[at(i)] = j;
  }
  return partner;
}

void meet(Pairing& pairing, int a, int b) {
  pairing[at(a)] = b;
  pairing[at(b)] = a;
}

bool is_wanted(std::span<const std::pair<int, int>> wanted, int a, int b) {
  return std::any_of(wanted.begin(), wanted.end(), [a, b](const auto& pair) {
    return (pair.first == a && pair.second == b) || (pair.first == b && pair.second == a);
  });
}

}  // namespace

std::vector<Pairing> round_robin(int endpoints) {
  std::vector<Pairing> rounds;
  for (int round = 0; round < round_count(endpoints); ++round) rounds.push_back(circle_round(endpoints, round));
  return rounds;
}

std::vector<Pairing> random_matchings(int endpoints, int rounds, std::uint64_t seed) {
  const std::uint64_t stream = random_stream(seed, purpose);
  const std::vector<int> name = shuffled(endpoints, stream);
  std::vector<int> order = shuffled(round_count(endpoints), random_stream(seed, purpose + 1));
  order.resize(std::min(order.size(), at(std::max(rounds, 0))));
  std::vector<Pairing> chosen;
  for (const int round : order) {
    const Pairing plain = circle_round(endpoints, round);
    Pairing renamed(plain.size(), -1);
    for (std::size_t i = 0; i < plain.size(); ++i) {
      if (plain[i] >= 0) renamed[at(name[i])] = name[at(plain[i])];
    }
    chosen.push_back(std::move(renamed));
  }
  return chosen;
}

int planned_round_count(int endpoints) {
  if (endpoints <= largest_round_robin) return round_count(endpoints);
  return 3 * std::bit_width(static_cast<unsigned>(endpoints - 1));  // ceil(log2 n)
}

std::vector<Pairing> planned_rounds(int endpoints, std::uint64_t seed) {
  if (endpoints <= largest_round_robin) return round_robin(endpoints);
  return random_matchings(endpoints, planned_round_count(endpoints), seed);
}

Pairing round_with(int endpoints, std::span<const std::pair<int, int>> wanted, std::uint64_t seed) {
  Pairing pairing = only(endpoints, wanted);
  std::vector<int> idle;
  for (const int i : shuffled(endpoints, random_stream(seed, purpose + 2))) {
    if (pairing[at(i)] >= 0) continue;
    const auto partner = std::find_if(idle.begin(), idle.end(), [&](int j) { return !is_wanted(wanted, i, j); });
    if (partner == idle.end()) {
      idle.push_back(i);
      continue;
    }
    meet(pairing, i, *partner);
    idle.erase(partner);
  }
  return pairing;
}

Pairing only(int endpoints, std::span<const std::pair<int, int>> wanted) {
  Pairing pairing(at(endpoints), -1);
  for (const auto& [a, b] : wanted) {
    if (pairing[at(a)] < 0 && pairing[at(b)] < 0) meet(pairing, a, b);
  }
  return pairing;
}

std::vector<std::pair<int, int>> pairs_of(const Pairing& pairing) {
  std::vector<std::pair<int, int>> pairs;
  for (std::size_t i = 0; i < pairing.size(); ++i) {
    if (pairing[i] > static_cast<int>(i)) pairs.emplace_back(static_cast<int>(i), pairing[i]);
  }
  return pairs;
}

}  // namespace rackproof
