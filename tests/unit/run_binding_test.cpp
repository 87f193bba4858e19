#include "launch/run_binding.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rackproof {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

NodeCores two_sockets() { return {8, {{0, {0, 1, 2, 3}}, {1, {4, 5, 6, 7}}}}; }

TEST(CoreRanges, RunsAreWrittenAsFirstAndLast) {
  EXPECT_EQ(core_ranges({}), "");
  EXPECT_EQ(core_ranges({3}), "3");
  EXPECT_EQ(core_ranges({0, 1, 2, 5, 7, 8}), "0-2,5,7-8");
}

TEST(BindingFacts, NameCoresAndTheNumaNodesThatTheyAreOf) {
  const auto facts = binding_facts(
      {{"a", 0, {0, 1}}, {"a", 0, {3, 4}}, {"a", 0, {0, 1, 2, 3, 4, 5, 6, 7}}, {"a", 0, {}}}, {two_sockets()});
  EXPECT_EQ(facts.dump(), R"([{"cores":"0-1","numa_nodes":[0],"bound":true},)"
                          R"({"cores":"3-4","numa_nodes":[0,1],"bound":true},)"
                          R"({"cores":"0-7","numa_nodes":[0,1],"bound":false},{}])");
}

TEST(BindingFacts, OfANodeThatIsUnknownSayNotWhetherARankIsBound) {
  EXPECT_EQ(binding_facts({{"a", 0, {0}}}, {}).dump(), R"([{"cores":"0","numa_nodes":[]}])");
}

TEST(BindingNotice, IsEmptyWhereEachRankHasItsOwnCores) {
  EXPECT_THAT(binding_notice({{"a", 0, {0, 1}}, {"a", 0, {2, 3}}, {"b", 1, {0, 1}}}, {two_sockets(), two_sockets()}),
              IsEmpty());
  EXPECT_THAT(binding_notice({{"a", 0, {0, 1, 2, 3, 4, 5, 6, 7}}}, {two_sockets()}), IsEmpty()) << "a rank alone";
}

TEST(BindingNotice, NamesTheFirstTwoThatShare) {
  EXPECT_THAT(binding_notice({{"a", 0, {0}}, {"a", 0, {1}}, {"b", 1, {0, 1}}, {"b", 1, {1, 2}}, {"b", 1, {3}}},
                             {two_sockets(), two_sockets()}),
              AllOf(HasSubstr("2 of 5 ranks"), HasSubstr("ranks 2 and 3 on b share cores 1-2;")));
}

TEST(BindingNotice, SaysWhereRanksAreNotBoundAtAll) {
  const std::vector<int> all{0, 1, 2, 3, 4, 5, 6, 7};
  EXPECT_THAT(binding_notice({{"a", 0, all}, {"a", 0, all}, {"a", 0, all}}, {two_sockets()}),
              AllOf(HasSubstr("3 of 3 ranks"), HasSubstr("ranks 0 and 1 on a"), HasSubstr("not bound")));
}

TEST(BindingNotice, IsEmptyWhereThereAreMoreRanksThanThreads) {
  EXPECT_THAT(binding_notice({{"a", 0, {0, 1}}, {"a", 0, {0, 1}}, {"a", 0, {0, 1}}}, {{2, {}}}), IsEmpty());
}

TEST(NodeCores, AreReadFromTheInventory) {
  const auto node = node_cores(
      nlohmann::ordered_json::parse(R"({"threads":4,"numa":[{"node":0,"threads":[0,1]},{"node":2,"threads":[2,3]}]})"));
  EXPECT_EQ(node.threads, 4);
  ASSERT_EQ(node.numa.size(), 2U);
  EXPECT_EQ(node.numa[1].number, 2);
  EXPECT_EQ(node.numa[1].cores, (std::vector<int>{2, 3}));
  EXPECT_EQ(node_cores(nlohmann::ordered_json::object()).threads, 0);
}

}  // namespace
}  // namespace rackproof
