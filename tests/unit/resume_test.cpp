// Going on with a run that broke off: is it the same run, and what is kept.
#include "results/resume.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "results/accept.hpp"
#include "results/recover.hpp"
#include "results/show.hpp"
#include "tests/unit/result_file_fixture.hpp"

namespace rackproof::results {
namespace {

using testing::error_of;
using testing::example_block;
using testing::example_header;
using testing::example_outcome;
using ::testing::HasSubstr;
using testing::TemporaryFolder;

RunHeader run_header() {
  RunHeader header = example_header();
  header.provenance["configuration"] =
      R"({"seed": 1, "order": 7, "precision": 0.01, "peaks": {"memory": 1.5}, "suite_options": {"tp": "auto"}})";
  header.provenance["libraries"] =
      R"([{"build_id": "b1", "libraries": [{"path": "/lib/libmpi.so", "build_id": "m1"}, {"path": "/lib/a", "build_id": "1"}]}])";
  header.provenance["machines"] = R"([{"hostname": "node-a", "cpu": {"model": "X"}, "memory": {"total_bytes": 1}}])";
  return header;
}

/// The header as the reader gives it back.
RunHeader as_read(const RunHeader& header) {
  const TemporaryFolder folder;
  return ResultFile(testing::write_example(folder / "x.h5", header)).header();
}

TEST(Difference, there_is_none_between_two_launches_of_one_command) {
  RunHeader now = run_header();
  now.run_id = "another";
  now.date = "2027-01-01T00:00:00Z";
  now.provenance["configuration"] =
      R"({"seed": 1, "order": 8, "precision": 0.01, "peaks": {"memory": 2.5}, "suite_options": {"tp": "auto"}})";
  now.provenance["libraries"] = R"([{"build_id": "b1", "libraries": [{"path": "/lib/libmpi.so", "build_id": "m1"}]}])";
  now.provenance["machines"] = R"([{"hostname": "node-a", "cpu": {"model": "X"}, "memory": {"total_bytes": 2}}])";
  now.suites[0].cases[0].figures[0].amount *= 2.0;
  EXPECT_EQ(difference(as_read(run_header()), now), "");
}

TEST(Difference, in_what_was_planted_is_told_so_that_no_file_forgets_it) {
  RunHeader planted = run_header();
  planted.provenance["planted"] = R"(["slow=node-a:5%"])";
  EXPECT_EQ(difference(as_read(planted), run_header()), "--plant: its run had slow=node-a:5%, this one has none");
  EXPECT_EQ(difference(as_read(run_header()), planted), "--plant: its run had none, this one has slow=node-a:5%");
  EXPECT_EQ(difference(as_read(planted), planted), "");
}

TEST(Difference, in_what_makes_samples_comparable_is_told) {
  const RunHeader file = as_read(run_header());
  RunHeader now = run_header();
  now.provenance["configuration"] = R"({"seed": 2})";
  EXPECT_EQ(difference(file, now), "seed is 1 there and 2 here");
  now.provenance["configuration"] = R"({"suite_options": {"tp": "2"}})";
  EXPECT_EQ(difference(file, now), "--tp is auto there and 2 here");

  now = run_header();
  now.ranks.pop_back();
  EXPECT_EQ(difference(file, now), "it has 3 ranks and this run 2");
  now = run_header();
  now.ranks[1].device_name = "Other CPU";
  EXPECT_EQ(difference(file, now), "rank 1 ran on node-a (Example CPU) there and runs on node-a (Other CPU) here");
  now = run_header();
  now.ranks[1].node_index = 1;
  EXPECT_EQ(difference(file, now), "rank 1 was rank 1 of node 0 there and is rank 1 of node 1 here");

  now = run_header();
  now.suites[0].cases.pop_back();
  EXPECT_EQ(difference(file, now), "its 6 cases are not the 5 of this command");
  now = run_header();
  now.suites[0].cases[1].name = "gemm/other";
  EXPECT_THAT(difference(file, now), HasSubstr("gemm/bf16/m1000n1000k1000/packed where this command has gemm/other"));
  now = run_header();
  now.suites[0].cases[0].parameters.set("m", std::int64_t{999});
  EXPECT_THAT(difference(file, now), HasSubstr("gemm/f32/m1000n1000k1000"));

  now = run_header();
  now.provenance["libraries"] = R"([{"build_id": "b2", "libraries": []}])";
  EXPECT_EQ(difference(file, now), "another build of rackproof wrote it");
  now.provenance["libraries"] = R"([{"build_id": "b1", "libraries": [{"path": "/lib/libmpi.so", "build_id": "m2"}]}])";
  EXPECT_EQ(difference(file, now), "/lib/libmpi.so is m1 there and m2 here");
  now = run_header();
  now.provenance["machines"] = R"([{"hostname": "node-a", "cpu": {"model": "Y"}}])";
  EXPECT_EQ(difference(file, now), "the cpu of node-a is another");
}

/// The same run on another second node.
RunHeader header_elsewhere() {
  RunHeader now = run_header();
  now.run_id = "second";
  now.date = "2026-03-06T00:00:00Z";
  now.ranks[2].hostname = "node-c";
  now.ranks[2].uuid = "GPU-7";
  now.provenance["machines"] = R"([{"hostname": "node-a", "cpu": {"model": "X"}, "memory": {"total_bytes": 9}}])";
  return now;
}

TEST(Difference, there_is_none_to_other_hosts_of_the_same_kind_with_as_many_cores_a_rank) {
  RunHeader file = run_header();
  RunHeader now = header_elsewhere();
  EXPECT_EQ(difference(as_read(file), now), "");
  file.provenance["binding"] = R"([{"cores": "0-3"}, {"cores": "4-7"}, {"cores": "0-3"}])";
  now.provenance["binding"] = R"([{"cores": "0-3"}, {"cores": "4-7"}, {"cores": "4,6,8-9"}])";
  EXPECT_EQ(difference(as_read(file), now), "");
  now.provenance["binding"] = R"([{"cores": "0-3"}, {"cores": "4-7"}, {"cores": "4-6"}])";
  EXPECT_EQ(difference(as_read(file), now), "its ranks were bound to other cores");
  now = run_header();
  now.provenance["binding"] = R"([{"cores": "4-7"}, {"cores": "0-3"}, {"cores": "0-3"}])";
  EXPECT_EQ(difference(as_read(file), now), "its ranks were bound to other cores") << "of the same hosts";
}

TEST(Difference, provenance_that_is_no_json_is_another_run) {
  RunHeader file = run_header();
  file.provenance["configuration"] = "seed = 1";
  EXPECT_EQ(difference(as_read(file), run_header()), "seed is nothing there and 1 here");
}

/// NAME.h5.part with two of the three cases of the first suite, and one of the second, which has a skipped one too.
std::filesystem::path write_unfinished(const TemporaryFolder& folder) {
  const RunHeader header = run_header();
  Writer writer(folder / "x.h5", header);
  for (const auto& [suite, which] : std::vector<CasePosition>{{0, 0}, {0, 2}, {1, 1}}) {
    writer.write_block(suite, which, example_block(suite, which, 0, 3, 30));
    writer.finish_case(suite, which, example_outcome(suite, which, 3, 30));
  }
  writer.abandon();
  return folder / "x.h5.part";
}

std::vector<CasePosition> positions(const std::vector<KeptCase>& kept) {
  std::vector<CasePosition> all;
  for (const KeptCase& one : kept) all.emplace_back(one.suite, one.which);
  return all;
}

TEST(CasesToKeep, are_the_finished_ones_but_none_of_a_suite_whose_cases_build_on_one_another) {
  const TemporaryFolder folder;
  const ResultFile file(write_unfinished(folder));
  EXPECT_EQ(positions(cases_to_keep(file, {})), (std::vector<CasePosition>{{0, 0}, {0, 2}, {1, 1}}));
  EXPECT_EQ(positions(cases_to_keep(file, {"gemm"})), (std::vector<CasePosition>{{1, 1}}));
  EXPECT_EQ(positions(cases_to_keep(file, {"gemm", "allreduce"})), (std::vector<CasePosition>{}));
}

TEST(CasesToKeep, such_a_suite_is_kept_whole_with_what_it_skipped) {
  const TemporaryFolder folder;
  const ResultFile file(testing::write_example(folder / "x.h5"));
  EXPECT_EQ(positions(cases_to_keep(file, {"allreduce"})),
            (std::vector<CasePosition>{{0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 1}, {1, 2}}));
}

TEST(FindToResume, takes_the_unfinished_file_before_the_finished_one) {
  const TemporaryFolder folder;
  EXPECT_EQ(find_to_resume(folder / "x.h5"), "");
  testing::write_example(folder / "x.h5");
  EXPECT_EQ(find_to_resume(folder / "x.h5.part"), folder / "x.h5");
  EXPECT_EQ(find_to_resume(folder / "x.h5"), folder / "x.h5");
  testing::write_text(folder / "x.h5.part", "something");
  EXPECT_EQ(find_to_resume(folder / "x.h5"), folder / "x.h5.part");
  EXPECT_THAT(error_of(ExitCode::usage, [&] { (void)find_to_resume(folder / "x.txt"); }), HasSubstr("NAME.h5.part"));
}

TEST(ResumedHeader, tells_of_every_launch) {
  RunHeader now = run_header();
  now.run_id = "second";
  now.date = "2026-03-06T00:00:00Z";
  RunHeader header = resumed_header(run_header(), now, "2026-03-05T15:00:00Z", 3);
  EXPECT_EQ(header.run_id, run_header().run_id);
  EXPECT_THAT(header.provenance.at("resumed"), HasSubstr("\"interrupted\": \"2026-03-05T15:00:00Z\""));
  EXPECT_THAT(header.provenance.at("resumed"), HasSubstr("\"cases_kept\": 3"));
  EXPECT_THAT(header.provenance.at("resumed"), HasSubstr("node-a"));
  EXPECT_THAT(header.provenance.at("resumed"), HasSubstr("second"));
  now.run_id = "third";
  header = resumed_header(as_read(header), now, "2026-03-07T15:00:00Z", 4);
  for (const char* run : {"3f0c1d3e", "second", "third"}) {
    EXPECT_THAT(header.provenance.at("resumed"), HasSubstr(run));
  }
}

/// A run that broke off after three cases and went on elsewhere, to its end but for one case.
std::filesystem::path write_moved(const TemporaryFolder& folder) {
  const ResultFile from(write_unfinished(folder));
  const RunHeader header = resumed_header(from.header(), header_elsewhere(), "2026-03-05T15:00:00Z", 3);
  Writer writer(folder / "y.h5", header, {.suffix = ".resuming", .discard_leftover = true});
  EXPECT_TRUE(copy_cases(from, writer, positions(cases_to_keep(from, {}))).empty());
  writer.take_name(folder / "y.h5.part");
  for (const auto& [suite, which] : std::vector<CasePosition>{{0, 1}}) {
    writer.write_block(suite, which, example_block(suite, which, 0, 3, 30));
    writer.finish_case(suite, which, example_outcome(suite, which, 3, 30));
  }
  writer.finish();
  return folder / "y.h5";
}

TEST(ResumedElsewhere, each_case_has_the_hosts_that_measured_it) {
  const TemporaryFolder folder;
  const ResultFile file(write_moved(folder));
  ASSERT_EQ(file.placements(), 2U);
  EXPECT_FALSE(std::filesystem::exists(folder / "y.h5.part"));
  EXPECT_EQ(file.header().ranks, header_elsewhere().ranks);
  EXPECT_EQ(file.outcome(0, 0).launch, 0);
  EXPECT_EQ(file.outcome(0, 1).launch, 1);
  EXPECT_EQ(file.outcome(1, 0).launch, -1);
  EXPECT_EQ(file.ranks_of(0, 0), run_header().ranks);
  EXPECT_EQ(file.ranks_of(0, 1), header_elsewhere().ranks);
  EXPECT_THAT(file.header().provenance.at("machines"), HasSubstr(": 9"));
  EXPECT_THAT(file.header().provenance.at("resumed"), HasSubstr("\"total_bytes\": 1"));
}

TEST(ResumedElsewhere, opened_by_placement_each_has_its_own_cases_alone) {
  const TemporaryFolder folder;
  const std::array<std::filesystem::path, 1> paths{write_moved(folder)};
  const std::vector<ResultFile> files = open_by_placement(paths);
  ASSERT_EQ(files.size(), 2U);
  EXPECT_EQ(files[0].header().ranks, run_header().ranks);
  EXPECT_EQ(files[1].header().ranks, header_elsewhere().ranks);
  for (std::size_t p = 0; p < 2; ++p) {
    EXPECT_EQ(files[p].narrowed_to(), p);
    EXPECT_EQ(files[p].outcome(0, 0).status, p == 0 ? Status::passed : Status::not_run);
    EXPECT_EQ(files[p].outcome(0, 1).status, p == 1 ? Status::passed : Status::not_run);
  }
  EXPECT_EQ(files[0].outcome(0, 1).message, "measured on other hosts");
}

TEST(ResumedElsewhere, the_verdict_is_by_host_and_holds_the_rack_open) {
  const TemporaryFolder folder;
  const std::array<std::filesystem::path, 1> paths{write_moved(folder)};
  const Acceptance acceptance = accept(open_by_placement(paths), {}, nullptr, {});
  EXPECT_EQ(acceptance.attempts.size(), 2U);
  EXPECT_EQ(acceptance.verdict, Verdict::inconclusive);
  std::vector<std::string> nodes;
  for (const Part& part : acceptance.parts) {
    if (part.kind == Part::Kind::node) nodes.push_back(part.name);
  }
  EXPECT_THAT(nodes, ::testing::UnorderedElementsAre("node-a", "nöde-b", "node-c"));
}

TEST(ResumedElsewhere, show_tells_every_launch_and_its_hosts) {
  const TemporaryFolder folder;
  const std::string page = show(write_moved(folder));
  EXPECT_THAT(page,
              HasSubstr("launch 1   3 cases, from 2026-03-05T14:03:22Z on, node-a, nöde-b, interrupted 2026-03-05"));
  EXPECT_THAT(page, HasSubstr("launch 2   1 case, from 2026-03-06T00:00:00Z on, node-a, node-c"));
  ShowOptions options;
  options.ranks = true;
  options.case_regex = "f32/m1000";
  EXPECT_THAT(show(folder / "y.h5", options), HasSubstr("nöde-b"));
  options.case_regex = "bf16";
  EXPECT_THAT(show(folder / "y.h5", options), ::testing::AllOf(HasSubstr("node-c"), HasSubstr("launch 1")));
}

TEST(ResumedElsewhere, a_launch_whose_ranks_are_not_the_files_is_damage) {
  const TemporaryFolder folder;
  RunHeader header = run_header();
  header.provenance["resumed"] = R"([{"ranks": {"hostname": ["a"]}}, {}])";
  testing::write_example(folder / "x.h5", header);
  EXPECT_THAT(error_of(ExitCode::usage, [&] { (void)ResultFile(folder / "x.h5"); }), HasSubstr("resumed"));
}

TEST(ResumedHeader, a_case_that_broke_off_is_measured_anew_and_told_of) {
  const TemporaryFolder folder;
  {
    Writer writer(folder / "x.h5", run_header());
    writer.write_block(0, 0, example_block(0, 0, 0, 3, 30));
    writer.finish_case(0, 0, example_outcome(0, 0, 3, 30));
    CaseOutcome broken;
    broken.status = Status::error;
    broken.message = "rank 2 on nöde-b: out of memory";
    writer.finish_case(0, 1, broken);
    writer.abandon();
  }
  const ResultFile file(folder / "x.h5.part");
  EXPECT_EQ(positions(cases_to_keep(file, {})), (std::vector<CasePosition>{{0, 0}}));
  const RunHeader header = resumed_header(file.header(), run_header(), "2026-03-05T15:00:00Z", 1, broken_cases(file));
  EXPECT_THAT(header.provenance.at("resumed"), HasSubstr("rank 2 on nöde-b: out of memory"));
}

TEST(CopyCases, brings_them_into_a_new_file_of_the_same_name_bit_by_bit) {
  const TemporaryFolder folder;
  const std::filesystem::path part = write_unfinished(folder);
  const ResultFile from(part);
  Writer writer(folder / "x.h5", from.header());
  EXPECT_EQ(writer.moved_aside(), folder / "x.h5.part.1");
  EXPECT_TRUE(copy_cases(from, writer, positions(cases_to_keep(from, {}))).empty());
  writer.finish();
  const ResultFile to(folder / "x.h5");
  EXPECT_EQ(to.outcome(0, 1).status, Status::not_run);
  for (const auto& [suite, which] : std::vector<CasePosition>{{0, 0}, {0, 2}, {1, 1}}) {
    EXPECT_EQ(to.outcome(suite, which).status, Status::passed);
    EXPECT_EQ(to.block(suite, which, 0, 3).time, example_block(suite, which, 0, 3, 30).time);
    EXPECT_EQ(to.figure_time(suite, which), example_outcome(suite, which, 3, 30).figure_time);
  }
}

}  // namespace
}  // namespace rackproof::results
