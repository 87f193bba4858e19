#include "common/stats/digest_vote.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rackproof {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

DigestVote vote(const std::vector<std::uint64_t>& digests, std::vector<std::string> kinds = {}) {
  kinds.resize(digests.size(), "kind");
  return vote_on_digests(digests, kinds);
}

TEST(DigestVote, equal_digests_accuse_nobody) {
  EXPECT_THAT(vote({7, 7, 7}).deviating, IsEmpty());
  EXPECT_TRUE(vote({7, 7, 7}).decided);
  EXPECT_THAT(vote({}).deviating, IsEmpty());
  EXPECT_THAT(vote({9}).deviating, IsEmpty());
}

TEST(DigestVote, the_one_that_deviates_is_named) {
  const DigestVote result = vote({7, 7, 8, 7});
  EXPECT_THAT(result.deviating, ElementsAre(2));
  EXPECT_TRUE(result.decided);
}

TEST(DigestVote, two_that_differ_are_both_suspect_and_undecided) {
  const DigestVote result = vote({7, 8});
  EXPECT_THAT(result.deviating, ElementsAre(0, 1));
  EXPECT_FALSE(result.decided);
}

TEST(DigestVote, a_tie_of_groups_is_undecided) {
  const DigestVote result = vote({7, 7, 8, 8, 9});
  EXPECT_THAT(result.deviating, ElementsAre(0, 1, 2, 3, 4));
  EXPECT_FALSE(result.decided);
}

TEST(DigestVote, devices_are_compared_within_their_kind) {
  EXPECT_THAT(vote({7, 8, 7, 8}, {"a", "b", "a", "b"}).deviating, IsEmpty());
  EXPECT_THAT(vote({7, 8, 7, 8, 9}, {"a", "b", "a", "b", "b"}).deviating, ElementsAre(4));
}

TEST(DigestVote, a_rank_without_a_digest_has_no_vote) {
  EXPECT_THAT(vote({0, 7, 7}).deviating, IsEmpty());
  EXPECT_THAT(vote({0, 7, 0, 8, 7}).deviating, ElementsAre(3));
}

}  // namespace
}  // namespace rackproof
