#include "launch/selftest_plan.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>

#include "common/core/error.hpp"

namespace rackproof::selftest {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// Nodes node0, node1, ... with so many ranks each.
Rack rack_of(int nodes, int ranks_a_node) {
  Rack rack;
  for (int node = 0; node < nodes; ++node) {
    for (int local = 0; local < ranks_a_node; ++local) {
      rack.ranks.push_back({"node" + std::to_string(node), "host:" + std::to_string(local), node});
    }
  }
  return rack;
}

const Fault& fault_of(const std::string& key) {
  const auto& all = all_faults();
  return *std::find_if(all.begin(), all.end(), [&](const Fault& one) { return one.key == key; });
}

Trial trial_at(const std::string& key, std::vector<int> ranks, std::vector<int> others = {}) {
  Trial trial;
  trial.fault = &fault_of(key);
  trial.ranks = std::move(ranks);
  trial.other_ranks = std::move(others);
  return trial;
}

Seen seen_with(int exit_code, std::vector<NamedPart> parts) {
  Seen seen;
  seen.exit_code = exit_code;
  seen.parts = std::move(parts);
  return seen;
}

constexpr auto node_part = NamedPart::Kind::node;
constexpr auto device_part = NamedPart::Kind::device;
constexpr auto link_part = NamedPart::Kind::link;

TEST(SelftestPlan, a_key_without_its_amount_stands_for_all_amounts) {
  std::vector<std::string> keys;
  for (const Fault& fault : choose_faults("slow-link,full-disk")) keys.push_back(fault.key);
  EXPECT_THAT(keys, ElementsAre("slow-link-10", "slow-link-30", "slow-link-90", "full-disk"));
  EXPECT_EQ(choose_faults("all").size(), all_faults().size());
  EXPECT_THROW((void)choose_faults("slow-links"), Error);
}

TEST(SelftestPlan, places_are_drawn_anew_for_each_trial_and_the_same_for_the_same_seed) {
  const Rack rack = rack_of(4, 2);
  std::set<std::string> places;
  for (int number = 0; number < 40; ++number) {
    const Trial trial = plan_trial(fault_of("frozen-rank"), rack, number, 7, "");
    EXPECT_EQ(trial.place, plan_trial(fault_of("frozen-rank"), rack, number, 7, "").place);
    EXPECT_THAT(trial.arguments, Contains("freeze=" + trial.place));
    places.insert(trial.place);
  }
  EXPECT_EQ(places.size(), 8U);
}

TEST(SelftestPlan, a_link_has_two_different_ends) {
  const Rack rack = rack_of(4, 2);
  for (int number = 0; number < 40; ++number) {
    const Trial trial = plan_trial(fault_of("slow-link-30"), rack, number, 1, "");
    ASSERT_EQ(trial.ranks.size(), 2U);
    ASSERT_EQ(trial.other_ranks.size(), 2U);
    EXPECT_NE(trial.ranks, trial.other_ranks);
  }
}

TEST(SelftestPlan, links_of_a_virtual_rack_are_slowed_from_outside) {
  Rack rack = rack_of(4, 2);
  rack.from_outside = true;
  const Trial outside = plan_trial(fault_of("slow-link-30"), rack, 0, 1, "");
  ASSERT_EQ(outside.outside.size(), 4U);
  EXPECT_EQ(outside.outside.front(), "slow-link");
  EXPECT_EQ(outside.outside.back(), "70%");
  EXPECT_THAT(outside.arguments, Not(Contains("--plant")));
  EXPECT_THAT(plan_trial(fault_of("dead-node"), rack, 0, 1, "").midway, ElementsAre("kill", HasSubstr("node")));
}

TEST(SelftestPlan, doubles_of_gpus_are_slowed_by_their_own_means) {
  Rack rack = rack_of(4, 2);
  rack.fake = true;
  const Trial trial = plan_trial(fault_of("slow-node-5"), rack, 0, 1, "");
  ASSERT_EQ(trial.environment.size(), 2U);
  EXPECT_EQ(trial.environment[1].first, "RACKPROOF_FAKE_FAULTS");
  EXPECT_THAT(trial.environment[1].second, HasSubstr(":0.95,slow_rank="));
}

TEST(SelftestPlan, what_cannot_be_told_is_not_planted) {
  EXPECT_THAT(why_not(fault_of("slow-node-5"), rack_of(1, 3)), HasSubstr("4 are needed"));
  EXPECT_THAT(why_not(fault_of("other-library"), rack_of(2, 2)), HasSubstr("no majority"));
  for (const Fault& fault : all_faults()) EXPECT_THAT(why_not(fault, rack_of(4, 2)), IsEmpty()) << fault.key;
}

TEST(SelftestJudge, a_healthy_rack_is_accused_by_any_part_at_fault_and_by_any_exit_code) {
  const Rack rack = rack_of(4, 2);
  const Trial trial = trial_at("healthy", {});
  EXPECT_TRUE(judge(trial, rack, seen_with(0, {})).named);
  EXPECT_TRUE(judge(trial, rack, seen_with(0, {{link_part, "node0 <-> node1", true}})).named)
      << "what is open accuses nobody";
  EXPECT_TRUE(judge(trial, rack, seen_with(0, {{device_part, "node0 host:1", false}})).accused);
  EXPECT_TRUE(judge(trial, rack, seen_with(3, {})).accused);
}

TEST(SelftestJudge, a_slow_node_is_its_name_or_all_of_its_devices) {
  const Rack rack = rack_of(4, 2);
  const Trial trial = trial_at("slow-node-5", {2, 3});
  EXPECT_TRUE(judge(trial, rack, seen_with(0, {{node_part, "node1", false}})).named);
  EXPECT_TRUE(
      judge(trial, rack, seen_with(0, {{node_part, "node1", false}, {device_part, "node1 host:0", false}})).named);
  EXPECT_TRUE(
      judge(trial, rack, seen_with(0, {{device_part, "node1 host:0", false}, {device_part, "node1 host:1", false}}))
          .named);
  const Outcome half = judge(trial, rack, seen_with(0, {{device_part, "node1 host:0", false}}));
  EXPECT_TRUE(half.found && !half.named && !half.accused);
  const Outcome more = judge(trial, rack, seen_with(0, {{node_part, "node1", false}, {node_part, "node2", false}}));
  EXPECT_TRUE(more.accused && !more.named);
  EXPECT_FALSE(judge(trial, rack, seen_with(0, {})).found);
  EXPECT_FALSE(judge(trial, rack, seen_with(0, {{node_part, "node1", true}})).named) << "open is not named";
}

TEST(SelftestJudge, a_link_is_named_by_its_nodes_or_by_their_devices_in_any_order) {
  const Rack rack = rack_of(4, 2);
  const Trial trial = trial_at("slow-link-30", {2, 3}, {6, 7});
  EXPECT_TRUE(judge(trial, rack, seen_with(0, {{link_part, "node3 <-> node1", false}})).named);
  EXPECT_TRUE(judge(trial, rack, seen_with(0, {{link_part, "node1 host:0 <-> node3 host:1", false}})).named);
  EXPECT_TRUE(judge(trial, rack, seen_with(0, {{link_part, "node1 host:0 <-> node2 host:1", false}})).accused);
  EXPECT_TRUE(judge(trial, rack, seen_with(0, {{node_part, "node1", false}})).accused) << "a whole node is too much";
}

TEST(SelftestJudge, wrong_results_need_the_exit_code_of_a_failed_check) {
  const Rack rack = rack_of(4, 2);
  const Trial trial = trial_at("flipped-bit", {5});
  EXPECT_TRUE(judge(trial, rack, seen_with(3, {{device_part, "node2 host:1", false}})).named);
  EXPECT_FALSE(judge(trial, rack, seen_with(0, {{device_part, "node2 host:1", false}})).named);
}

TEST(SelftestJudge, the_watchdog_names_who_is_behind_before_the_launcher_does) {
  const Rack rack = rack_of(4, 2);
  const std::string log =
      "srun: error: node1: tasks 2-3: Exited with exit code 75\n"
      "srun: error: node0: task 1: Killed\n"
      "rackproof: the run hangs: for 5.0 s no rank got any further; 1 of 8 ranks behind\n"
      "rackproof:   rank 5 on node2 (host:1, pid 31): stopped (T), in allreduce/f32/1KiB (case 2 of 3), for 5.1 s\n"
      "rackproof:   the furthest: rank 0 on node0 (host:0, pid 7): running (R), in allreduce, for 5.0 s\n";
  EXPECT_THAT(ranks_in_log(log, rack), ElementsAre(5));
  Seen seen;
  seen.exit_code = 75;
  seen.log = log;
  EXPECT_TRUE(judge(trial_at("frozen-rank", {5}), rack, seen).named);
  EXPECT_TRUE(judge(trial_at("frozen-rank", {4}), rack, seen).accused);
  seen.timed_out = true;
  EXPECT_FALSE(judge(trial_at("frozen-rank", {5}), rack, seen).named) << "it had to be killed";
}

TEST(SelftestJudge, who_was_killed_is_taken_from_the_launcher_where_nobody_else_says_so) {
  const Rack rack = rack_of(4, 2);
  EXPECT_THAT(ranks_in_log("srun: error: node2: tasks 4-5: Killed\n", rack), ElementsAre(4, 5));
  EXPECT_THAT(
      ranks_in_log("mpirun noticed that process rank 3 with PID 0 on node x exited on signal 9 (Killed).\n", rack),
      ElementsAre(3));
  EXPECT_THAT(ranks_in_log("rackproof:   rank 99 on node2 (host:1)\n", rack), IsEmpty());
}

TEST(SelftestJudge, a_full_disk_names_the_file_and_keeps_what_had_finished) {
  const Rack rack = rack_of(4, 2);
  Seen seen = seen_with(75, {});
  seen.log = "rackproof: cannot write /d/x.h5.part: File too large\n";
  EXPECT_TRUE(judge(trial_at("full-disk", {}), rack, seen).named);
  seen.parts.reset();
  EXPECT_FALSE(judge(trial_at("full-disk", {}), rack, seen).named);
}

TEST(SelftestJudge, bounds_of_a_share_are_those_of_clopper_and_pearson) {
  EXPECT_NEAR(least_share(20, 20), 0.8609, 1e-4) << "0.05^(1/20)";
  EXPECT_NEAR(most_share(0, 100), 0.0295, 1e-4) << "1 - 0.05^(1/100)";
  EXPECT_EQ(least_share(0, 20), 0.0);
  EXPECT_EQ(most_share(20, 20), 1.0);
}

}  // namespace
}  // namespace rackproof::selftest
