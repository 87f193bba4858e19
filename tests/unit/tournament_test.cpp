// no threads
#include "common/measure/tournament.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

namespace rackproof {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using Ends = std::pair<int, int>;

void expect_pairing(const Pairing& pairing) {
  for (std::size_t i = 0; i < pairing.size(); ++i) {
    const int partner = pairing[i];
    if (partner < 0) continue;
    ASSERT_LT(partner, static_cast<int>(pairing.size()));
    EXPECT_NE(partner, static_cast<int>(i));
    EXPECT_EQ(pairing[static_cast<std::size_t>(partner)], static_cast<int>(i));
  }
}

TEST(Tournament, everybody_meets_everybody_once) {
  for (const int n : {2, 3, 4, 5, 8, 13, 64}) {
    const auto rounds = round_robin(n);
    EXPECT_THAT(rounds, SizeIs(static_cast<std::size_t>(n - 1 + n % 2)));
    std::set<Ends> met;
    for (const Pairing& round : rounds) {
      expect_pairing(round);
      const auto pairs = pairs_of(round);
      EXPECT_THAT(pairs, SizeIs(static_cast<std::size_t>(n / 2)));
      for (const Ends& pair : pairs) EXPECT_TRUE(met.insert(pair).second) << n;
    }
    EXPECT_EQ(met.size(), static_cast<std::size_t>(n * (n - 1) / 2));
  }
  EXPECT_THAT(round_robin(1), IsEmpty());
  EXPECT_THAT(round_robin(0), IsEmpty());
}

TEST(Tournament, random_matchings_pair_all_with_partners_that_differ) {
  const auto rounds = random_matchings(512, 27, 5);
  EXPECT_THAT(rounds, SizeIs(27));
  std::vector<std::set<int>> partners(512);
  for (const Pairing& round : rounds) {
    expect_pairing(round);
    EXPECT_THAT(pairs_of(round), SizeIs(256));
    for (std::size_t i = 0; i < round.size(); ++i) partners[i].insert(round[i]);
  }
  for (const auto& own : partners) EXPECT_THAT(own, SizeIs(27));
  EXPECT_EQ(random_matchings(512, 27, 5), rounds);
  EXPECT_NE(random_matchings(512, 27, 6), rounds);
}

TEST(Tournament, random_matchings_join_all_endpoints) {
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    std::vector<int> group(100);
    for (int i = 0; i < 100; ++i) group[static_cast<std::size_t>(i)] = i;
    for (const Pairing& round : random_matchings(100, 6, seed)) {
      for (const auto& [a, b] : pairs_of(round)) {
        const int from = group[static_cast<std::size_t>(b)];
        std::replace(group.begin(), group.end(), from, group[static_cast<std::size_t>(a)]);
      }
    }
    EXPECT_EQ(std::set<int>(group.begin(), group.end()).size(), 1U);
  }
}

TEST(Tournament, large_worlds_take_a_logarithmic_number_of_rounds) {
  EXPECT_EQ(planned_round_count(1), 0);
  EXPECT_EQ(planned_round_count(64), 63);
  EXPECT_EQ(planned_round_count(65), 21);
  EXPECT_EQ(planned_round_count(512), 27);
  EXPECT_EQ(planned_round_count(513), 30);
  for (const int n : {2, 7, 64, 65, 512}) {
    EXPECT_THAT(planned_rounds(n, 1), SizeIs(static_cast<std::size_t>(planned_round_count(n))));
  }
}

TEST(Tournament, a_round_with_wanted_pairs_has_them_and_drives_everybody_else) {
  const std::vector<Ends> wanted{{3, 7}, {7, 9}, {1, 2}};
  const Pairing round = round_with(64, wanted, 1);
  expect_pairing(round);
  EXPECT_EQ(round[3], 7);
  EXPECT_EQ(round[1], 2);
  EXPECT_NE(round[9], 7);
  EXPECT_THAT(pairs_of(round), SizeIs(32));
}

TEST(Tournament, a_wanted_pair_that_does_not_fit_is_no_filler) {
  const std::vector<Ends> wanted{{0, 1}, {1, 2}, {2, 3}};
  const Pairing round = round_with(4, wanted, 1);
  EXPECT_THAT(round, ElementsAre(1, 0, 3, 2));
  const std::vector<Ends> star{{0, 1}, {0, 2}, {0, 3}, {2, 3}};
  EXPECT_THAT(round_with(4, star, 1), ElementsAre(1, 0, 3, 2));
}

TEST(Tournament, only_drives_the_wanted_pairs_alone) {
  const std::vector<Ends> wanted{{0, 4}, {4, 5}, {2, 3}};
  EXPECT_THAT(only(6, wanted), ElementsAre(4, -1, 3, 2, 0, -1));
}

}  // namespace
}  // namespace rackproof
