// Verdicts on racks in which something is planted.
#include "results/accept.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "common/measure/tournament.hpp"
#include "results/known_runs.hpp"
#include "results/make_limits.hpp"
#include "tests/unit/accept_fixture.hpp"

namespace rackproof::results {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::Rack;
using ::testing::SizeIs;
using ::testing::StartsWith;
using testing::TemporaryFolder;

/// 2 and 1 TFLOP/s, 100 GB/s are what a rack does; limits 10 % below.
constexpr const char* usual_limits = R"(
name = "usual"
description = "for tests"
[[limit]]
name = "bf16"
case = '^gemm/bf16/'
figure = "tflops"
unit = "TFLOP/s"
scope = "device"
min = 1.8
spec = 2.2
source = "made up"
condition = "none"
[[limit]]
name = "all-reduce"
case = '^allreduce/'
figure = "busbw"
unit = "GB/s"
scope = "rack"
min = 90
spec = 110
source = "made up"
condition = "none"
)";

/// The first of them.
constexpr const char* product_limits = R"(
name = "products"
description = "for tests"
[[limit]]
name = "bf16"
case = '^gemm/bf16/'
figure = "tflops"
unit = "TFLOP/s"
scope = "device"
min = 1.8
spec = 2.2
source = "made up"
condition = "none"
)";

class Accept : public ::testing::Test {
 protected:
  /// One file a rack.
  std::vector<ResultFile> write(const std::vector<Rack>& racks, const std::string& name = "attempt") {
    std::vector<ResultFile> files;
    for (std::size_t i = 0; i < racks.size(); ++i) {
      files.emplace_back(testing::write_rack(folder / (name + std::to_string(i) + ".h5"), racks[i]));
    }
    return files;
  }
  Acceptance judge(const std::vector<Rack>& racks, const std::vector<Rack>& baseline = {}) {
    const LimitSet limits = parse_limits(usual_limits, "usual.toml");
    return accept(write(racks), write(baseline, "baseline"), with_limits ? &limits : nullptr, options);
  }
  /// In a test that has judged already.
  Acceptance judge_again(const Rack& rack, const std::vector<Rack>& baseline = {}) {
    const LimitSet limits = parse_limits(usual_limits, "usual.toml");
    return accept(write({rack}, "again" + std::to_string(rack.launch)),
                  write(baseline, "good" + std::to_string(rack.launch)), with_limits ? &limits : nullptr, options);
  }
  static Rack launch(unsigned number) {
    Rack rack;
    rack.launch = number;
    return rack;
  }
  static std::vector<std::string> names(const std::vector<const Part*>& parts) {
    std::vector<std::string> all;
    for (const Part* const part : parts) all.push_back(part->name);
    return all;
  }
  static std::string evidence(const Part& part) {
    std::string all;
    for (const Evidence& one : part.evidence)
      all += std::string(to_string(one.kind)) + ": " + one.case_name + ": " + one.text + "\n";
    return all;
  }
  static const Part& rack_of(const Acceptance& acceptance) { return acceptance.parts.front(); }

  TemporaryFolder folder;
  AcceptOptions options;
  bool with_limits = true;
};

TEST_F(Accept, a_good_rack_passes_in_all_its_parts) {
  Rack rack = launch(1);
  rack.with_links = true;
  const Acceptance acceptance = judge({rack});
  EXPECT_EQ(acceptance.verdict, Verdict::pass) << acceptance_text(acceptance, nullptr);
  EXPECT_EQ(acceptance.devices[Verdict::pass], 16U);
  EXPECT_EQ(acceptance.nodes[Verdict::pass], 4U);
  EXPECT_EQ(acceptance.links[Verdict::pass], 120U);
  EXPECT_THAT(acceptance.at_fault(), IsEmpty());
  EXPECT_EQ(exit_code_of(acceptance.verdict), ExitCode::pass);
}

/// Four nodes with two devices each, which differ by 0.3 %.
Rack few_devices() {
  Rack rack;
  rack.devices_a_node = 2;
  rack.spread = 0.003;
  return rack;
}

TEST_F(Accept, a_node_whose_two_devices_are_a_little_slow_is_named_although_each_alone_is_not) {
  Rack rack = few_devices();
  rack.slow = [](int rank, int) { return rank == 4 || rank == 5 ? 1.031 : 1.0; };
  options.floor = 0.02;
  with_limits = false;
  const Acceptance acceptance = judge({rack});
  ASSERT_THAT(names(acceptance.at_fault()), Contains("node-2")) << acceptance_text(acceptance, nullptr);
  for (const std::string& name : names(acceptance.at_fault())) EXPECT_THAT(name, StartsWith("node-2"));
  EXPECT_THAT(evidence(*acceptance.at_fault().front()), HasSubstr("its 2 devices take"));
  EXPECT_THAT(acceptance_text(acceptance, nullptr), HasSubstr("whole node less than"));
}

TEST_F(Accept, of_a_node_with_one_slow_device_the_device_is_named) {
  Rack rack = few_devices();
  rack.slow = [](int rank, int) { return rank == 4 ? 1.2 : 1.0; };
  options.floor = 0.02;
  with_limits = false;
  EXPECT_THAT(names(judge({rack}).at_fault()), ElementsAre("node-2 cuda:0"));
}

TEST_F(Accept, nodes_that_are_alike_are_not_named) {
  options.floor = 0.02;
  with_limits = false;
  EXPECT_THAT(judge({few_devices()}).at_fault(), IsEmpty());
}

TEST_F(Accept, a_node_with_another_library_is_named) {
  // As three nodes have it, and the fourth.
  options.allow_fake = false;
  Rack rack = few_devices();
  rack.libraries = R"([{"libraries":[{"path":"/lib/libz.so.1","build_id":"aa"}]},)"
                   R"({"libraries":[{"path":"/lib/libz.so.1","build_id":"aa"}]},)"
                   R"({"libraries":[{"path":"/lib/libz.so.1","build_id":"bb"}]},)"
                   R"({"libraries":[{"path":"/lib/libz.so.1","build_id":"aa"}]}])";
  with_limits = false;
  const Acceptance acceptance = judge({rack});
  ASSERT_THAT(names(acceptance.at_fault()), ElementsAre("node-2"));
  EXPECT_THAT(evidence(*acceptance.at_fault().front()), HasSubstr("software: : has libz build bb, where 3 of 4"));
}

TEST_F(Accept, a_clock_that_jumped_is_named_but_condemns_no_device) {
  Rack rack = few_devices();
  rack.status = Status::mistrusted;
  rack.message = "the clock of rank 5 on node-2 (cuda:1, serial SN-105) jumped by 100 ms while this was measured";
  with_limits = false;
  const Acceptance acceptance = judge({rack});
  EXPECT_THAT(acceptance.at_fault(), IsEmpty());
  EXPECT_THAT(names(acceptance.open()), ElementsAre("node-2 cuda:1"));
}

TEST_F(Accept, a_file_with_planted_faults_is_refused_unless_it_is_asked_for) {
  Rack rack = few_devices();
  rack.planted = R"(["slow=node-1:5%"])";
  with_limits = false;
  try {
    (void)judge({rack});
    FAIL() << "it was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::usage);
    EXPECT_THAT(error.line(), HasSubstr("with planted faults (slow=node-1:5%)"));
  }
  options.allow_fake = true;
  rack.launch = 2;
  EXPECT_THAT(judge_again(rack).notices, Contains(HasSubstr("with planted faults: slow=node-1:5%")));
}

TEST_F(Accept, a_slow_device_is_named_with_its_place_and_what_speaks_against_it) {
  Rack rack = launch(1);
  rack.slow = [](int rank, int) { return rank == 9 ? 1.3 : 1.0; };
  const Acceptance acceptance = judge({rack});
  EXPECT_EQ(acceptance.verdict, Verdict::fail);
  ASSERT_THAT(names(acceptance.at_fault()), ElementsAre("node-2 cuda:1"));
  const Part& part = *acceptance.at_fault().front();
  EXPECT_EQ(part.serial, "SN-109");
  EXPECT_EQ(part.place, "node 2, local rank 1, rank 9");
  EXPECT_THAT(evidence(part), AllOf(HasSubstr("limit: gemm/bf16"), HasSubstr("at least 1.800 TFLOP/s wanted"),
                                    HasSubstr("peers: gemm/f32"), HasSubstr("median of 16 devices")));
  EXPECT_NEAR(part.excess, 0.3, 0.05);
  const std::string text = acceptance_text(acceptance, nullptr);
  EXPECT_THAT(text,
              AllOf(HasSubstr("FAIL device node-2 cuda:1"), HasSubstr("serial SN-109"), HasSubstr("parts at fault")));
  const std::string line = fault_lines(acceptance);
  EXPECT_THAT(line, AllOf(StartsWith("FAIL\tdevice\tnode-2\tnode-2 cuda:1\t"), HasSubstr("gemm/"), EndsWith("\n")));
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  EXPECT_EQ(exit_code_of(acceptance.verdict), ExitCode::fail);
}

TEST_F(Accept, peers_find_a_device_that_no_limit_is_for) {
  Rack rack = launch(1);
  rack.slow = [](int rank, int which) { return rank == 3 && which == 1 ? 1.2 : 1.0; };
  const Acceptance acceptance = judge({rack});
  ASSERT_THAT(names(acceptance.at_fault()), ElementsAre("node-0 cuda:3"));
  EXPECT_THAT(evidence(*acceptance.at_fault().front()), AllOf(HasSubstr("peers: gemm/f32"), Not(HasSubstr("limit:"))));
}

TEST_F(Accept, what_is_less_slow_than_the_floor_is_no_fault_of_peers) {
  Rack rack = launch(1);
  rack.spread = 0.0005;
  rack.slow = [](int rank, int) { return rank == 3 ? 1.04 : 1.0; };
  EXPECT_EQ(judge({rack}).verdict, Verdict::pass);
  options.floor = 0.02;
  rack.launch = 2;
  EXPECT_THAT(names(judge_again(rack).at_fault()), ElementsAre("node-0 cuda:3"));
}

TEST_F(Accept, a_slow_node_is_named_and_not_only_its_devices) {
  Rack rack = launch(1);
  rack.nodes = 6;
  rack.slow = [](int rank, int) { return rank / 4 == 2 ? 1.25 : 1.0; };
  const Acceptance acceptance = judge({rack});
  EXPECT_THAT(names(acceptance.at_fault()), ::testing::UnorderedElementsAre("node-2", "node-2 cuda:0", "node-2 cuda:1",
                                                                            "node-2 cuda:2", "node-2 cuda:3"));
  EXPECT_EQ(acceptance.nodes[Verdict::fail], 1U);
}

TEST_F(Accept, a_slow_link_is_named_by_both_its_ends) {
  Rack rack = launch(1);
  rack.with_links = true;
  rack.slow_pair = [](int a, int b) { return std::minmax(a, b) == std::minmax(1, 6) ? 1.5 : 1.0; };
  const Acceptance acceptance = judge({rack});
  EXPECT_EQ(acceptance.verdict, Verdict::fail);
  ASSERT_THAT(names(acceptance.at_fault()), ElementsAre("node-0 cuda:1 <-> node-1 cuda:2"));
  const Part& part = *acceptance.at_fault().front();
  EXPECT_EQ(part.kind, Part::Kind::link);
  EXPECT_THAT(part.place, AllOf(HasSubstr("serial SN-101"), HasSubstr("serial SN-106")));
  EXPECT_THAT(evidence(part), HasSubstr("longer than the other pairs let expect"));
}

/// Says that rank 9 takes 30 % longer than the file does, and that no link was measured.
class OtherRuns : public KnownRuns {
 public:
  [[nodiscard]] const ResultFile* file(const std::filesystem::path& /*path*/) const override { return nullptr; }
  [[nodiscard]] const CaseMedians* medians(const ResultFile& file, std::size_t suite,
                                           std::size_t which) const override {
    if (which != 1) return nullptr;
    known_ = results::medians(file, suite, which);
    known_.rank_time[9] *= 1.3;
    return &known_;
  }
  [[nodiscard]] const std::vector<LinkSeries>* links(const ResultFile& /*file*/, std::size_t /*suite*/) const override {
    return &none_;
  }

 private:
  mutable CaseMedians known_{};
  std::vector<LinkSeries> none_;
};

TEST_F(Accept, what_is_known_of_a_file_is_not_read_again) {
  const OtherRuns known;
  options.known = &known;
  Rack rack = launch(1);
  rack.with_links = true;
  const Acceptance acceptance = judge({rack});
  ASSERT_THAT(names(acceptance.at_fault()), ElementsAre("node-2 cuda:1"));
  EXPECT_THAT(evidence(*acceptance.at_fault().front()),
              AllOf(HasSubstr("peers: gemm/f32"), Not(HasSubstr("gemm/bf16"))));
  EXPECT_EQ(acceptance.links.all(), 0U);
}

LimitSet link_limits() {
  return parse_limits(R"(
name = "links"
description = "for tests"
[[limit]]
name = "pairs"
case = '^links/1MiB/both-ways/'
figure = "bandwidth"
unit = "GB/s"
scope = "link"
min = 40
spec = 50
source = "made up"
condition = "none"
)",
                      "links.toml");
}

/// Every pair has met, three times.
Rack few_meetings() {
  Rack rack;
  rack.launch = 1;
  rack.with_links = true;
  rack.samples = 3;
  return rack;
}

TEST_F(Accept, a_limit_on_links_judges_pairs_of_a_few_samples_by_the_spread_of_all) {
  const LimitSet limits = link_limits();
  const Acceptance good = accept(write({few_meetings()}), {}, &limits, options);
  EXPECT_EQ(good.limit_reports.front().verdict, Verdict::pass) << acceptance_text(good, &limits);
  EXPECT_EQ(good.limit_reports.front().judged, 120U);
  EXPECT_EQ(good.links[Verdict::pass], 120U);
  EXPECT_EQ(good.verdict, Verdict::pass);
  EXPECT_GT(good.limit_reports.front().false_alarm, 0.0) << "a slow pair could be found";
}

TEST_F(Accept, a_slow_pair_of_a_few_samples_fails_its_limit) {
  Rack rack = few_meetings();
  rack.slow_pair = [](int a, int b) { return std::minmax(a, b) == std::minmax(2, 7) ? 1.4 : 1.0; };
  const LimitSet limits = link_limits();
  const Acceptance bad = accept(write({rack}), {}, &limits, options);
  EXPECT_EQ(bad.limit_reports.front().failed, 1U);
  ASSERT_THAT(names(bad.at_fault()), ElementsAre("node-0 cuda:2 <-> node-1 cuda:3"));
  EXPECT_THAT(evidence(*bad.at_fault().front()), HasSubstr("with the spread of all pairs; limit 'pairs'"));
}

TEST_F(Accept, a_limit_on_links_judges_every_pair) {
  Rack rack = launch(1);
  rack.with_links = true;
  rack.slow_pair = [](int a, int b) { return std::minmax(a, b) == std::minmax(2, 3) ? 1.4 : 1.0; };
  const LimitSet limits = link_limits();
  const Acceptance acceptance = accept(write({rack}), {}, &limits, options);
  EXPECT_EQ(acceptance.limit_reports.front().failed, 1U);
  EXPECT_EQ(acceptance.limit_reports.front().judged, 120U);
  EXPECT_THAT(names(acceptance.at_fault()), ElementsAre("node-0 cuda:2 <-> node-0 cuda:3"));
}

TEST_F(Accept, a_device_with_other_bits_than_its_peers_is_named) {
  Rack rack = launch(1);
  rack.digest = [](int rank) { return rank == 5 ? 0xbadULL : 0xabcULL; };
  rack.status = Status::failed;
  rack.message = "rank 5 on node-1 (cuda:1) computed other bits than its peers";
  const Acceptance acceptance = judge({rack});
  ASSERT_THAT(names(acceptance.at_fault()), ElementsAre("node-1 cuda:1"));
  EXPECT_THAT(evidence(*acceptance.at_fault().front()),
              AllOf(HasSubstr("digest: gemm/bf16"), HasSubstr("silent data corruption")));
}

TEST_F(Accept, of_two_devices_with_different_bits_none_is_called_the_culprit) {
  Rack rack = launch(1);
  rack.nodes = 1;
  rack.devices_a_node = 2;
  rack.digest = [](int rank) { return rank == 1 ? 0xbadULL : 0xabcULL; };
  rack.status = Status::failed;
  const Acceptance acceptance = judge({rack});
  EXPECT_EQ(acceptance.verdict, Verdict::fail);
  EXPECT_THAT(acceptance.at_fault(), IsEmpty());
  EXPECT_THAT(acceptance.open(), SizeIs(2));
  EXPECT_THAT(evidence(rack_of(acceptance)), HasSubstr("no majority"));
}

TEST_F(Accept, a_device_whose_result_is_wrong_fails_whatever_its_speed) {
  Rack rack = launch(1);
  rack.error = [](int rank) { return rank == 2 ? 40.0 : 0.1; };
  rack.status = Status::failed;
  rack.message = "rank 2 on node-0 (cuda:2): row 3 of C is wrong";
  const Acceptance acceptance = judge({rack});
  ASSERT_THAT(names(acceptance.at_fault()), ElementsAre("node-0 cuda:2"));
  EXPECT_THAT(evidence(*acceptance.at_fault().front()), HasSubstr("verification: gemm/bf16/m8n8k8: wrong result: 40"));
}

TEST_F(Accept, a_case_that_broke_off_names_its_rank_and_its_limit_is_open) {
  Rack rack = launch(1);
  rack.status = Status::error;
  rack.message =
      "an illegal memory access was encountered (cudaStreamSynchronize: 700) [host node-3, rank 12, device cuda:0]";
  const Acceptance acceptance = judge({rack});
  ASSERT_THAT(names(acceptance.at_fault()), ElementsAre("node-3 cuda:0"));
  EXPECT_THAT(evidence(*acceptance.at_fault().front()), HasSubstr("illegal memory access"));
  EXPECT_EQ(acceptance.limit_reports[0].verdict, Verdict::inconclusive);
  EXPECT_EQ(acceptance.limit_reports[1].verdict, Verdict::pass);
}

TEST_F(Accept, a_slow_all_reduce_fails_the_rack_and_no_device) {
  Rack rack = launch(1);
  rack.slow_job = 1.3;
  const Acceptance acceptance = judge({rack});
  EXPECT_EQ(acceptance.verdict, Verdict::fail);
  EXPECT_THAT(acceptance.at_fault(), IsEmpty());
  EXPECT_THAT(evidence(rack_of(acceptance)), ::testing::ContainsRegex("busbw 7[67]"));
}

TEST_F(Accept, attempts_that_disagree_are_intermittent_and_all_of_them_count) {
  Rack bad = launch(1);
  bad.slow = [](int rank, int) { return rank == 9 ? 1.3 : 1.0; };
  const Acceptance acceptance = judge({launch(2), bad, launch(3)});
  EXPECT_EQ(acceptance.verdict, Verdict::intermittent);
  EXPECT_EQ(exit_code_of(acceptance.verdict), ExitCode::fail);
  ASSERT_THAT(names(acceptance.at_fault()), ElementsAre("node-2 cuda:1"));
  EXPECT_THAT(acceptance.at_fault().front()->attempts, ElementsAre(Verdict::pass, Verdict::fail, Verdict::pass));
  EXPECT_EQ(acceptance.devices[Verdict::pass], 15U);
  EXPECT_THAT(acceptance_text(acceptance, nullptr), HasSubstr("attempts: PASS, FAIL, PASS"));
}

TEST_F(Accept, a_device_that_fails_in_every_attempt_fails) {
  Rack one = launch(1);
  one.slow = [](int rank, int) { return rank == 9 ? 1.3 : 1.0; };
  Rack two = one;
  two.launch = 2;
  EXPECT_EQ(judge({one, two}).at_fault().front()->verdict, Verdict::fail);
}

TEST_F(Accept, too_near_to_the_limit_or_too_few_samples_is_inconclusive) {
  Rack near = launch(1);
  near.spread = 0.02;
  near.slow_job = 1.0 / 0.9;
  const Acceptance acceptance = judge({near});
  EXPECT_EQ(acceptance.verdict, Verdict::inconclusive);
  EXPECT_EQ(exit_code_of(acceptance.verdict), ExitCode::inconclusive);
  EXPECT_THAT(evidence(rack_of(acceptance)), HasSubstr("too near to tell"));

  Rack few = launch(2);
  few.samples = 4;
  const Acceptance short_of = judge_again(few);
  EXPECT_EQ(short_of.verdict, Verdict::inconclusive);
  EXPECT_THAT(evidence(rack_of(short_of)), HasSubstr("too few samples"));
}

TEST_F(Accept, without_limits_and_baseline_no_rack_passes) {
  with_limits = false;
  const Acceptance acceptance = judge({launch(1)});
  EXPECT_EQ(acceptance.verdict, Verdict::inconclusive);
  EXPECT_EQ(acceptance.devices[Verdict::pass], 16U) << "they are alike";
  EXPECT_THAT(evidence(rack_of(acceptance)), HasSubstr("no limit and no baseline"));
}

TEST_F(Accept, a_mistrusted_case_is_no_pass) {
  Rack rack = launch(1);
  rack.status = Status::mistrusted;
  const Acceptance acceptance = judge({rack});
  EXPECT_EQ(acceptance.verdict, Verdict::inconclusive);
  EXPECT_EQ(acceptance.limit_reports[0].open, 16U);
}

TEST_F(Accept, a_case_that_was_not_run_is_no_pass) {
  Rack rack = launch(1);
  rack.status = Status::skipped;
  rack.message = "needs more memory";
  const Acceptance acceptance = judge({rack});
  EXPECT_EQ(acceptance.verdict, Verdict::inconclusive);
  EXPECT_THAT(evidence(rack_of(acceptance)), HasSubstr("limit 'bf16' was not judged: needs more memory"));
}

TEST_F(Accept, a_baseline_finds_a_device_that_has_become_slower) {
  with_limits = false;
  // Alone of its peers it would not stand out: one device has always been slow.
  const auto five_devices = [](unsigned number, double fifth) {
    Rack rack = launch(number);
    rack.nodes = 1;
    rack.devices_a_node = 5;
    rack.slow = [fifth](int rank, int) { return rank == 4 ? fifth : rank == 0 ? 1.2 : 1.0; };
    return rack;
  };
  options.floor = 0.08;
  const Acceptance acceptance =
      judge({five_devices(9, 1.15)}, {five_devices(1, 1.0), five_devices(2, 1.0), five_devices(3, 1.0)});
  ASSERT_THAT(names(acceptance.at_fault()), Contains("node-0 cuda:4"));
  EXPECT_THAT(names(acceptance.at_fault()), Not(Contains("node-0 cuda:0")));
  EXPECT_THAT(evidence(*acceptance.at_fault().front()), HasSubstr("baseline: gemm/"));
}

TEST_F(Accept, a_rack_that_is_slower_as_a_whole_is_found_by_its_baseline) {
  with_limits = false;
  Rack now = launch(9);
  now.slow = [](int, int) { return 1.2; };
  const Acceptance acceptance = judge({now}, {launch(1), launch(2)});
  EXPECT_EQ(acceptance.devices[Verdict::fail], 16U);
  EXPECT_EQ(judge_again(launch(8), {launch(3), launch(4)}).verdict, Verdict::pass);
}

TEST_F(Accept, a_baseline_of_a_sister_rack_compares_kinds_of_devices) {
  with_limits = false;
  Rack now = launch(9);
  now.slow = [](int, int) { return 1.2; };
  std::vector<Rack> sister{launch(1), launch(2)};
  for (Rack& rack : sister) rack.first_serial = "OTHER-";
  const Acceptance acceptance = judge({now}, sister);
  EXPECT_EQ(acceptance.devices[Verdict::fail], 16U);
}

TEST_F(Accept, attempts_of_different_racks_are_told_and_do_not_pass) {
  Rack other = launch(2);
  other.first_serial = "OTHER-";
  const Acceptance acceptance = judge({launch(1), other});
  EXPECT_THAT(acceptance.notices, Contains(HasSubstr("different racks")));
  EXPECT_EQ(acceptance.verdict, Verdict::inconclusive);
}

TEST_F(Accept, a_device_is_followed_by_its_serial_number_to_another_place) {
  Rack first = launch(1);
  first.nodes = 1;
  first.slow = [](int rank, int) { return rank == 1 ? 1.3 : 1.0; };
  Rack second = first;
  second.launch = 2;
  second.nodes = 2;
  second.devices_a_node = 2;
  const Acceptance acceptance = judge({first, second});
  ASSERT_THAT(names(acceptance.at_fault()), ElementsAre("node-0 cuda:1"));
  EXPECT_THAT(acceptance.notices, Contains(HasSubstr("serial SN-102 was at node-0 cuda:2 and is at node-1 cuda:0")));
}

TEST_F(Accept, refuses_fakes_and_a_launch_that_is_given_twice) {
  Rack fake = launch(1);
  fake.fake = true;
  EXPECT_THAT(testing::error_of(ExitCode::usage, [&] { (void)judge({fake}); }), HasSubstr("--allow-fake"));
  options.allow_fake = true;
  EXPECT_EQ(judge_again(fake).verdict, Verdict::pass);
  EXPECT_THAT(testing::error_of(ExitCode::usage, [&] { (void)judge_again(launch(3), {launch(3)}); }),
              HasSubstr("same run"));
}

TEST_F(Accept, says_how_good_each_limit_is) {
  const Acceptance acceptance = judge({launch(1)});
  const LimitReport& report = acceptance.limit_reports[0];
  EXPECT_EQ(report.judged, 16U);
  EXPECT_NEAR(report.typical, 2.0, 0.05);
  EXPECT_LT(report.worst, report.typical);
  EXPECT_NEAR(report.headroom, 2.0 / 1.8 - 1.0, 0.03);
  EXPECT_GT(report.detectable, 0.0);
  EXPECT_LT(report.detectable, 0.05);
  EXPECT_GT(report.false_alarm, 0.0);
  EXPECT_LE(report.false_alarm, 0.025);
  const LimitSet limits = parse_limits(usual_limits, "usual.toml");
  EXPECT_THAT(acceptance_text(acceptance, &limits), AllOf(HasSubstr("made up (none)"), HasSubstr("false alarm")));
}

TEST_F(Accept, a_run_that_stopped_by_its_limits_is_judged_by_its_own_test) {
  Rack rack = launch(1);
  rack.samples = 20;
  rack.stop_reason = StopReason::certain;
  rack.configuration = R"({"sequential_test": )" + to_json(sequential_plan(16)) + "}";
  rack.spread = 0.001;
  const Acceptance acceptance = judge({rack});
  EXPECT_EQ(acceptance.verdict, Verdict::pass) << acceptance_text(acceptance, nullptr);
  EXPECT_EQ(acceptance.limit_reports[0].settled_early, 16U);
  EXPECT_EQ(acceptance.limit_reports[1].settled_early, 1U);
}

TEST_F(Accept, limits_made_of_good_launches_pass_these_and_find_a_slow_device) {
  const std::vector<ResultFile> good = write({launch(1), launch(2)}, "good");
  const std::string text = make_limits(good, "made", 0.1);
  const LimitSet limits = parse_limits(text, "made.toml");
  EXPECT_THAT(limits.limits, SizeIs(3)) << text;
  EXPECT_EQ(accept(good, {}, &limits, options).verdict, Verdict::pass);
  Rack bad = launch(3);
  bad.slow = [](int rank, int) { return rank == 9 ? 1.3 : 1.0; };
  EXPECT_THAT(names(accept(write({bad}), {}, &limits, options).at_fault()), ElementsAre("node-2 cuda:1"));
}

TEST_F(Accept, a_device_that_is_not_in_every_attempt_is_open_and_so_is_its_node) {
  Rack whole = launch(1);
  whole.nodes = 2;
  Rack less = launch(2);
  less.nodes = 1;
  const Acceptance acceptance = judge({whole, less});
  EXPECT_EQ(acceptance.verdict, Verdict::inconclusive);
  EXPECT_THAT(names(acceptance.open()),
              ElementsAre("node-1 cuda:0", "node-1 cuda:1", "node-1 cuda:2", "node-1 cuda:3"));
  EXPECT_EQ(acceptance.devices[Verdict::pass], 4U);
  EXPECT_EQ(acceptance.nodes[Verdict::pass], 1U);
  EXPECT_EQ(acceptance.nodes[Verdict::inconclusive], 1U);
  EXPECT_THAT(acceptance_text(acceptance, nullptr),
              AllOf(HasSubstr("attempts: PASS, not there"), HasSubstr("it is in 1 of the 2 attempts")));
  whole.launch = 3;
  less.launch = 4;
  const LimitSet limits = parse_limits(usual_limits, "usual.toml");
  EXPECT_EQ(accept(write({less, whole}, "other"), {}, &limits, options).verdict, Verdict::inconclusive);
}

TEST_F(Accept, a_case_that_is_not_in_every_attempt_is_no_pass) {
  Rack less = launch(2);
  less.with_all_reduce = false;
  const LimitSet limits = parse_limits(product_limits, "products.toml");
  const Acceptance acceptance = accept(write({launch(1), less}), {}, &limits, options);
  EXPECT_EQ(acceptance.verdict, Verdict::inconclusive);
  EXPECT_EQ(acceptance.attempts[0].verdict, Verdict::pass);
  EXPECT_EQ(acceptance.attempts[1].verdict, Verdict::inconclusive);
  EXPECT_THAT(evidence(rack_of(acceptance)),
              HasSubstr("cases of another attempt are not there: the case of suite 'allreduce'"));
}

TEST_F(Accept, what_only_the_baseline_has_is_named_and_no_pass) {
  with_limits = false;
  std::vector<Rack> good{launch(1), launch(2)};
  EXPECT_EQ(judge({launch(9)}, good).verdict, Verdict::pass);
  Rack less = launch(8);
  less.nodes = 3;
  less.with_all_reduce = false;
  for (Rack& rack : good) rack.launch += 2;
  const Acceptance acceptance = judge_again(less, good);
  EXPECT_EQ(acceptance.verdict, Verdict::inconclusive);
  EXPECT_THAT(evidence(rack_of(acceptance)),
              AllOf(HasSubstr("cases of the baseline were not measured: the case of suite 'allreduce'"),
                    HasSubstr("4 devices of the baseline are not there: node-3 cuda:0 serial SN-112, ")));
}

TEST_F(Accept, a_case_of_the_baseline_that_was_skipped_is_no_pass) {
  with_limits = false;
  Rack now = launch(9);
  now.status = Status::skipped;
  const Acceptance acceptance = judge({now}, {launch(1), launch(2)});
  EXPECT_EQ(acceptance.verdict, Verdict::inconclusive);
  EXPECT_THAT(evidence(rack_of(acceptance)), HasSubstr("were not measured: gemm/bf16/m8n8k8"));
}

TEST_F(Accept, a_rack_with_fewer_devices_than_its_sister_is_no_pass) {
  with_limits = false;
  Rack now = launch(9);
  now.nodes = 3;
  std::vector<Rack> sister{launch(1), launch(2)};
  for (Rack& rack : sister) {
    rack.first_serial = "OTHER-";
    rack.first_host = "sister-";
  }
  const Acceptance acceptance = judge({now}, sister);
  EXPECT_EQ(acceptance.verdict, Verdict::inconclusive);
  EXPECT_THAT(evidence(rack_of(acceptance)), HasSubstr("12 of the 16 devices 'Example GPU' of the baseline's rack"));
  for (Rack& rack : sister) rack.launch += 4;
  EXPECT_EQ(judge_again(launch(8), sister).verdict, Verdict::pass);
}

TEST_F(Accept, a_node_is_as_bad_as_the_worst_of_its_devices) {
  Rack bad = launch(1);
  bad.slow = [](int rank, int) { return rank == 9 ? 1.3 : 1.0; };
  const Acceptance once = judge({bad});
  EXPECT_EQ(once.nodes[Verdict::fail], 1U);
  EXPECT_EQ(once.nodes[Verdict::pass], 3U);
  EXPECT_THAT(names(once.at_fault()), ElementsAre("node-2 cuda:1")) << "nothing else is held against the node";
  bad.launch = 2;
  const Acceptance twice = accept(write({launch(3), bad}, "twice"), {}, nullptr, options);
  EXPECT_EQ(twice.nodes[Verdict::intermittent], 1U);
  const auto node = std::find_if(twice.parts.begin(), twice.parts.end(), [](const Part& part) {
    return part.kind == Part::Kind::node && part.name == "node-2";
  });
  ASSERT_NE(node, twice.parts.end());
  EXPECT_THAT(node->attempts, ElementsAre(Verdict::pass, Verdict::fail));
}

TEST_F(Accept, a_node_whose_devices_failed_and_then_could_not_be_judged_fails) {
  Rack bad = launch(1);
  bad.slow = [](int rank, int) { return rank / 4 == 2 ? 1.5 : 1.0; };
  Rack few = launch(2);
  few.samples = 4;
  const Acceptance acceptance = judge({bad, few});
  EXPECT_EQ(acceptance.nodes[Verdict::fail], 1U);
  EXPECT_EQ(acceptance.nodes[Verdict::intermittent], 0U);
  EXPECT_EQ(acceptance.nodes[Verdict::inconclusive], 3U);
}

TEST_F(Accept, an_error_beyond_the_tolerance_fails_whatever_the_status_says) {
  Rack rack = launch(1);
  rack.error = [](int rank) { return rank == 2 ? 50.0 : 0.1; };
  const Acceptance acceptance = judge({rack});
  EXPECT_EQ(acceptance.verdict, Verdict::fail);
  ASSERT_THAT(names(acceptance.at_fault()), ElementsAre("node-0 cuda:2"));
  EXPECT_THAT(evidence(*acceptance.at_fault().front()), HasSubstr("though the file says that it passed"));
}

TEST_F(Accept, a_figure_above_its_peak_is_no_pass_and_one_above_the_specification_is_told) {
  Rack rack = launch(1);
  rack.peak_share = 90.0;
  EXPECT_EQ(judge({rack}).verdict, Verdict::pass);
  rack.launch = 2;
  rack.slow = [](int rank, int) { return rank == 5 ? 0.7 : 1.0; };
  const Acceptance acceptance = judge_again(rack);
  EXPECT_EQ(acceptance.verdict, Verdict::inconclusive);
  ASSERT_THAT(names(acceptance.open()), ElementsAre("node-1 cuda:1"));
  EXPECT_THAT(evidence(*acceptance.open().front()), HasSubstr("more than the peak is an error"));
  EXPECT_THAT(acceptance.notices, Contains(AllOf(HasSubstr("limit 'bf16': the best is"), HasSubstr("not a record"))));
}

TEST_F(Accept, a_peak_that_was_measured_too_low_says_nothing_against_a_figure_that_is_no_share_of_it) {
  Rack rack = launch(1);
  rack.peak_share = 300.0;
  rack.configuration = R"({"peaks": {"source": "measured at start, all ranks at once"}})";
  EXPECT_EQ(judge({rack}).verdict, Verdict::pass);
  std::string share = product_limits;
  const std::string rate = "figure = \"tflops\"\nunit = \"TFLOP/s\"";
  share.replace(share.find(rate), rate.size(), "figure = \"peak_share\"\nunit = \"%\"");
  const LimitSet limits = parse_limits(share, "share.toml");
  rack.launch = 2;
  EXPECT_EQ(accept(write({rack}, "share"), {}, &limits, options).verdict, Verdict::inconclusive);
}

TEST_F(Accept, limits_are_made_of_cases_by_their_names_and_tell_what_they_leave_out) {
  Rack other_way_round = launch(2);
  other_way_round.all_reduce_first = true;
  const std::string text = make_limits(write({launch(1), other_way_round}, "good"), "made", 0.1);
  EXPECT_THAT(parse_limits(text, "made.toml").limits, SizeIs(3)) << text;
  EXPECT_THAT(text, Not(HasSubstr("left out")));
  Rack failed = launch(3);
  failed.status = Status::failed;
  failed.with_links = true;
  const std::string less = make_limits(write({launch(1), failed}, "less"), "made", 0.1);
  EXPECT_THAT(parse_limits(less, "made.toml").limits, SizeIs(2));
  EXPECT_THAT(less, AllOf(HasSubstr("\n# left out, passed in 1 of 2 launches (1): gemm/bf16/m8n8k8\n"),
                          HasSubstr("\n# left out, pairs of ranks are judged by each other (18): links/")));
}

TEST_F(Accept, limits_are_not_made_of_one_run_twice_nor_of_what_cannot_be) {
  EXPECT_THAT(testing::error_of(ExitCode::usage,
                                [&] {
                                  (void)make_limits(write({launch(1), launch(1)}, "same"), "made", 0.1);
                                }),
              HasSubstr("same run"));
  Rack above = launch(1);
  above.peak_share = 120.0;
  EXPECT_THAT(make_limits(write({above}, "above"), "made", 0.1), HasSubstr("# left out, is above its peak (2): "));
  Rack wrong = launch(1);
  wrong.error = [](int rank) { return rank == 2 ? 50.0 : 0.1; };
  EXPECT_THAT(make_limits(write({wrong}, "wrong"), "made", 0.1), HasSubstr("# left out, its result is wrong"));
}

TEST_F(Accept, devices_that_differ_wildly_are_not_compared_with_each_other) {
  Rack rack = launch(1);
  rack.nodes = 1;
  rack.slow = [](int rank, int) { return rank < 2 ? 1.0 : 1000.0; };
  const Acceptance acceptance = judge({rack});
  EXPECT_THAT(acceptance_text(acceptance, nullptr),
              AllOf(HasSubstr("not compared with each other: their times differ so much"), Not(HasSubstr("% slow"))));
}

TEST_F(Accept, processors_of_nodes_that_are_one_machine_are_not_compared_with_each_other) {
  // Four nodes of eight hardware threads: enough for each one's four ranks, not for all sixteen on one machine.
  const auto machines = [](const std::string& second) {
    std::string list;
    for (const std::string& boot : {std::string("a"), second, std::string("a"), second}) {
      list += (list.empty() ? "" : ",") + std::string(R"({"boot_id": ")") + boot + R"(", "cpu": {"threads": 8}})";
    }
    return "[" + list + "]";
  };
  Rack rack = few_devices();
  rack.devices_a_node = 4;
  rack.slow = [](int r, int) { return r == 3 ? 1.5 : 1.0; };
  with_limits = false;
  rack.machines = machines("a");
  EXPECT_THAT(names(judge({rack}).at_fault()), ElementsAre("node-0 cuda:3")) << "GPUs keep their own time";
  rack.first_device = "host:";
  rack.launch = 2;
  const Acceptance crowded = judge_again(rack);
  EXPECT_THAT(crowded.at_fault(), IsEmpty());
  EXPECT_THAT(acceptance_text(crowded, nullptr),
              HasSubstr("4 nodes (node-0 to node-3) are one machine, with 16 ranks on\n"));
  rack.machines = machines("b");
  rack.launch = 3;
  EXPECT_THAT(names(judge_again(rack).at_fault()), ElementsAre("node-0 host:3")) << "two machines, 8 ranks on each";
}

TEST_F(Accept, one_line_tells_of_the_peers_of_attempts_that_are_alike) {
  Rack wild = launch(3);
  wild.slow = [](int rank, int) { return rank % 2 == 0 ? 1.0 : 1000.0; };
  const std::string text = acceptance_text(judge({launch(1), launch(2), wild}), nullptr);
  EXPECT_THAT(text, AllOf(HasSubstr("peers      attempts 1 and 2: 16 x Example GPU: compared"),
                          HasSubstr("peers      attempt 3: 16 x Example GPU: not compared")));
}

TEST_F(Accept, attempts_in_a_row_are_told_from_the_first_to_the_last) {
  Rack wild = launch(4);
  wild.slow = [](int rank, int) { return rank % 2 == 0 ? 1.0 : 1000.0; };
  EXPECT_THAT(peer_lines(judge({launch(1), launch(2), launch(3), wild, launch(5), launch(6)})),
              ElementsAre(StartsWith("attempts 1 to 3, 5 and 6: 16 x Example GPU: compared"),
                          StartsWith("attempt 4: 16 x Example GPU: not compared")));
}

TEST_F(Accept, text_of_a_limits_file_cannot_write_to_the_terminal) {
  const std::string text =
      std::regex_replace(std::regex_replace(std::string(usual_limits), std::regex("made up"), "\\u001b[31mred"),
                         std::regex("none"), "\\u001b[31mred");
  const LimitSet limits = parse_limits(text, "red.toml");
  ASSERT_THAT(limits.limits[1].condition, HasSubstr("\x1b"));
  EXPECT_THAT(acceptance_text(accept(write({launch(1)}), {}, &limits, options), &limits),
              AllOf(HasSubstr("red"), Not(HasSubstr("\x1b"))));
}

TEST_F(Accept, text_of_a_file_cannot_write_to_the_terminal) {
  Rack rack = launch(1);
  rack.error = [](int rank) { return rank == 2 ? 40.0 : 0.1; };
  rack.status = Status::error;
  rack.message = "rank 2: \x1b[31mred\x1b[0m";
  EXPECT_THAT(acceptance_text(judge({rack}), nullptr), Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace rackproof::results
