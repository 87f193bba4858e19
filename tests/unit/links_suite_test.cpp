// The links suite's cases, its endpoints and its payload.
#include <gmock/gmock.h>

#include <algorithm>
#include <set>
#include <string>

#include "common/core/error.hpp"
#include "suites/links/payload.hpp"
#include "suites/links/session.hpp"
#include "suites/suite.hpp"

namespace rackproof {

std::unique_ptr<Suite> make_links_suite();

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Options options(Profile profile = Profile::quick) {
  Options made;
  made.profile = profile;
  for (const OptionSpec& option : make_links_suite()->options()) made.values[option.name] = option.default_value;
  return made;
}

/// `nodes` nodes of `local` ranks.
Platform platform(int nodes, int local) {
  Platform made;
  made.topology.nodes = nodes;
  for (int rank = 0; rank < nodes * local; ++rank) {
    made.topology.ranks.push_back({"node-" + std::to_string(rank / local), rank / local, rank % local});
  }
  return made;
}

std::size_t count(const std::vector<Case>& cases, const std::string& part) {
  return static_cast<std::size_t>(std::count_if(
      cases.begin(), cases.end(), [&](const Case& one) { return one.name.find(part) != std::string::npos; }));
}

TEST(LinksSuite, quick_has_a_case_a_round_for_latency_and_for_bandwidth) {
  const auto cases = make_links_suite()->cases(options(), platform(64, 1));
  std::set<std::string> names;
  for (const Case& one : cases) names.insert(one.name);
  EXPECT_EQ(names.size(), cases.size());
  EXPECT_EQ(count(cases, "links/8B/one-way/round-"), 63U);
  EXPECT_EQ(count(cases, "links/1MiB/both-ways/round-"), 63U);
  EXPECT_TRUE(names.contains("links/1MiB/both-ways/round-07"));
  EXPECT_EQ(count(cases, "/again-"), 8U);
  EXPECT_EQ(count(make_links_suite()->cases(options(), platform(512, 1)), "links/8B/one-way/round-"), 27U);
}

TEST(LinksSuite, a_link_may_be_looked_at_more_closely_than_is_usual_and_not_less) {
  for (const char* floor : {"11%", "0%", "5", "close"}) {
    Options wrong = options();
    wrong.values["link-floor"] = floor;
    try {
      (void)make_links_suite()->cases(wrong, platform(4, 1));
      ADD_FAILURE() << floor;
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), ExitCode::usage);
      EXPECT_THAT(error.what(), HasSubstr("--link-floor"));
    }
  }
}

TEST(LinksSuite, on_gpus_all_ranks_meet_and_copies_are_of_pinned_and_pageable_memory) {
  Platform gpus = platform(4, 2);
  EXPECT_EQ(count(make_links_suite()->cases(options(), gpus), "links/8B/one-way/round-"), 12U)
      << "nodes, on hosts: 3 rounds, 4 times";
  EXPECT_EQ(count(make_links_suite()->cases(options(), gpus), "pageable"), 0U);
  gpus.device = "cuda";
  const auto cases = make_links_suite()->cases(options(), gpus);
  EXPECT_EQ(count(cases, "links/8B/one-way/round-"), 7U);
  for (const std::string kind : {"host-to-device", "device-to-host"}) {
    for (const std::string memory : {"pinned", "pageable"}) {
      const std::string name = "links/" + kind + (memory == "pageable" ? "-pageable" : "") + "/128MiB";
      const auto found = std::find_if(cases.begin(), cases.end(), [&](const Case& one) { return one.name == name; });
      ASSERT_NE(found, cases.end()) << name;
      EXPECT_EQ(found->parameters.text("host_memory"), memory);
      EXPECT_EQ(found->parameters.text("copy"), kind);
    }
  }
  Options nodes = options();
  nodes.values["links-between"] = "nodes";
  EXPECT_EQ(count(make_links_suite()->cases(nodes, gpus), "links/8B/one-way/round-"), 12U);
}

TEST(LinksSuite, cases_that_build_on_others_come_behind_them_and_stay_there) {
  int stage = 0;
  for (const Case& one : make_links_suite()->cases(options(), platform(8, 1))) {
    if (!one.pairs) continue;
    const bool again = one.name.find("/again-") != std::string::npos;
    const bool apart = one.name.find("/apart-") != std::string::npos;
    const int own = apart ? 2 : again ? 1 : 0;
    EXPECT_GE(own, stage) << one.name;
    stage = own;
  }
  EXPECT_EQ(stage, 2);
  EXPECT_TRUE(make_links_suite()->keeps_order());
}

TEST(LinksSuite, two_ranks_meet_once_a_size_and_nothing_is_repeated) {
  const auto cases = make_links_suite()->cases(options(), platform(1, 2));
  EXPECT_EQ(count(cases, "/round-"), 2U);
  EXPECT_EQ(count(cases, "/again-") + count(cases, "/apart-"), 0U);
}

TEST(LinksSuite, a_single_rank_skips_with_a_reason) {
  for (const Case& one : make_links_suite()->cases(options(), platform(1, 1))) {
    EXPECT_EQ(one.skip_reason, one.pairs ? "needs at least 2 ranks" : "");
  }
}

TEST(LinksSuite, between_nodes_a_single_node_skips_with_a_reason_and_its_ranks_meet_when_asked) {
  Options chosen = options();
  chosen.values["links-between"] = "nodes";
  for (const int local : {2, 4}) {
    const auto cases = make_links_suite()->cases(chosen, platform(1, local));
    EXPECT_EQ(count(cases, "/round-"), 2U);
    for (const Case& one : cases) {
      const char* const reason = "needs at least 2 nodes; --links-between ranks takes the ranks of one";
      EXPECT_EQ(one.skip_reason, one.pairs ? reason : "") << one.name;
    }
  }
  for (const Case& one : make_links_suite()->cases(chosen, platform(2, 2))) EXPECT_EQ(one.skip_reason, "") << one.name;
  chosen.values["links-between"] = "ranks";
  for (const Case& one : make_links_suite()->cases(chosen, platform(1, 2))) EXPECT_EQ(one.skip_reason, "") << one.name;
}

TEST(LinksSuite, figures_are_those_of_one_message) {
  const auto cases = make_links_suite()->cases(options(Profile::accept), platform(1, 2));
  for (const Case& one : cases) {
    if (!one.pairs || one.work.message_size != 1 << 20) continue;
    // 1 MiB there and back in 1 ms is 0.5 ms and 2 MiB/ms; both ways at once it is 1 MiB/ms each way.
    const bool one_way = one.parameters.text("direction") == "one-way";
    ASSERT_THAT(one.figures, SizeIs(2));
    EXPECT_EQ(one.figures[0].name, "bandwidth");
    EXPECT_DOUBLE_EQ(one.figures[0].amount / 1e-3, (one_way ? 2.0 : 1.0) * 1.048576);
    EXPECT_DOUBLE_EQ(one.figures[1].amount * 1e-3, one_way ? 500.0 : 1000.0);
  }
  EXPECT_EQ(count(cases, "/both-ways/"), 2U);
  EXPECT_EQ(count(cases, "/one-way/"), 3U);
}

TEST(LinksSuite, sizes_are_checked) {
  Options chosen = options();
  for (const char* const wrong : {"", "0B", "12B", "1", "8B,,16B", "many", "8B,8B", "1KiB,1024B"}) {
    chosen.values["link-sizes"] = wrong;
    EXPECT_THROW(static_cast<void>(make_links_suite()->cases(chosen, platform(1, 2))), Error) << wrong;
  }
  chosen.values["link-sizes"] = "64KiB,8B";
  const auto cases = make_links_suite()->cases(chosen, platform(1, 2));
  EXPECT_EQ(count(cases, "links/64KiB/both-ways/"), 1U);
  EXPECT_EQ(count(cases, "links/8B/both-ways/"), 0U);
}

TEST(LinkEndpoints, are_nodes_where_there_are_enough_and_ranks_otherwise) {
  EXPECT_THAT(links::choose_endpoints("auto", platform(4, 2).topology).rank, ElementsAre(0, 2, 4, 6));
  EXPECT_THAT(links::choose_endpoints("auto", platform(4, 2).topology).node_of, IsEmpty());
  EXPECT_THAT(links::choose_endpoints("auto", platform(2, 2).topology).rank, ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(links::choose_endpoints("auto", platform(2, 2).topology).node_of, ElementsAre(0, 0, 1, 1));
  EXPECT_THAT(links::choose_endpoints("nodes", platform(2, 2).topology).rank, ElementsAre(0, 2));
  EXPECT_THAT(links::choose_endpoints("ranks", platform(4, 2).topology).rank, SizeIs(8));
  EXPECT_THROW(static_cast<void>(links::choose_endpoints("gpus", platform(1, 2).topology)), Error);
}

TEST(LinkPayload, ranks_and_places_differ) {
  const auto one = links::text_of(1, 7);
  EXPECT_THAT(one, SizeIs(links::period));
  EXPECT_EQ(one, links::text_of(1, 7));
  EXPECT_NE(one, links::text_of(2, 7));
  EXPECT_NE(one, links::text_of(1, 8));
  EXPECT_FALSE(std::equal(one.begin(), one.begin() + 64, one.begin() + 64));
}

TEST(LinkPayload, what_is_right_passes_across_the_period) {
  const auto text = links::text_of(3, 1);
  links::Checker checker(3, 8, 1);
  std::vector<std::byte> message(text.end() - 64, text.end());
  message.insert(message.end(), text.begin(), text.begin() + 64);
  checker.check(5 * links::period - 64, 0, message.data(), message.size());
  EXPECT_EQ(checker.error(), 0.0);
  EXPECT_EQ(checker.checked(), 16U);
  EXPECT_THAT(checker.report(), IsEmpty());
}

TEST(LinkPayload, what_is_wrong_names_sender_place_and_origin) {
  auto message = links::text_of(3, 1);
  const auto other = links::text_of(5, 1);
  std::copy_n(other.begin() + 800, 8, message.begin() + 800);
  links::Checker checker(3, 8, 1);
  checker.check(0, 0, message.data(), message.size());
  EXPECT_EQ(checker.wrong(), 1U);
  EXPECT_GT(checker.error(), 1.0);
  EXPECT_THAT(checker.report(), HasSubstr("from rank 3 are wrong; the first is at byte 800"));
  EXPECT_THAT(checker.report(), HasSubstr("which is what rank 5 sends"));
}

}  // namespace
}  // namespace rackproof
