#include "common/measure/companions.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <functional>
#include <numeric>

namespace rackproof {
namespace {

using Finding = CompanionSearch::Finding;
using testing::ElementsAre;
using testing::IsEmpty;

/// Runs a search to its end; returns the number of measurements.
int run(CompanionSearch& search, const std::function<bool(const CandidateSet&)>& is_slow) {
  int measurements = 0;
  while (const auto set = search.next()) {
    EXPECT_TRUE(std::is_sorted(set->begin(), set->end()));
    search.report(is_slow(*set));
    if (++measurements > 2000) break;
  }
  return measurements;
}

bool has(const CandidateSet& set, int candidate) { return std::binary_search(set.begin(), set.end(), candidate); }

TEST(CompanionSearch, what_is_slow_alone_takes_one_measurement) {
  CompanionSearch search(30);
  EXPECT_EQ(search.finding(), Finding::open);
  EXPECT_EQ(run(search, [](const CandidateSet&) { return true; }), 1);
  EXPECT_EQ(search.finding(), Finding::alone);
  EXPECT_THAT(search.companions(), IsEmpty());
}

TEST(CompanionSearch, what_is_not_slow_with_all_takes_two) {
  CompanionSearch search(30);
  EXPECT_EQ(run(search, [](const CandidateSet&) { return false; }), 2);
  EXPECT_EQ(search.finding(), Finding::never);
}

TEST(CompanionSearch, one_culprit_is_found_by_bisection) {
  for (const int culprit : {0, 13, 31}) {
    CompanionSearch search(32);
    const int measurements = run(search, [&](const CandidateSet& set) { return has(set, culprit); });
    EXPECT_EQ(search.finding(), Finding::together);
    EXPECT_THAT(search.companions(), ElementsAre(culprit));
    EXPECT_LE(measurements, 2 + 2 * 5);
  }
}

TEST(CompanionSearch, culprits_that_are_slow_only_together_are_all_found) {
  CompanionSearch search(32);
  const int measurements =
      run(search, [](const CandidateSet& set) { return has(set, 3) && has(set, 17) && has(set, 30); });
  EXPECT_EQ(search.finding(), Finding::together);
  EXPECT_THAT(search.companions(), ElementsAre(3, 17, 30));
  EXPECT_LE(measurements, 100);
}

TEST(CompanionSearch, a_shared_uplink_gives_as_many_companions_as_fill_it) {
  // Candidates 8 to 19 leave the switch by the uplink that the target uses too; it carries three pairs and the target.
  CompanionSearch search(31);
  run(search, [](const CandidateSet& set) {
    return std::count_if(set.begin(), set.end(), [](int i) { return i >= 8 && i < 20; }) >= 3;
  });
  EXPECT_EQ(search.finding(), Finding::together);
  const CandidateSet found = search.companions();
  ASSERT_EQ(found.size(), 3U);
  EXPECT_TRUE(std::all_of(found.begin(), found.end(), [](int i) { return i >= 8 && i < 20; }));
}

TEST(CompanionSearch, a_search_that_is_cut_short_knows_a_set_that_is_slow) {
  CompanionSearch search(32);
  for (int i = 0; i < 4; ++i) search.report(has(*search.next(), 20));
  EXPECT_EQ(search.finding(), Finding::open);
  EXPECT_TRUE(has(search.companions(), 20));
  EXPECT_LE(search.companions().size(), 16U);
}

TEST(CompanionSearch, without_candidates_it_asks_once) {
  CompanionSearch search(0);
  EXPECT_EQ(run(search, [](const CandidateSet&) { return false; }), 1);
  EXPECT_EQ(search.finding(), Finding::never);
}

}  // namespace
}  // namespace rackproof
