// Going on with a run that broke off: is it the same run, and what is kept.
#include "results/resume.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "results/recover.hpp"
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
  now.ranks[1].hostname = "node-z";
  EXPECT_EQ(difference(file, now), "rank 1 ran on node-a (node-a) there and runs on node-z (node-z) here");
  now = run_header();
  now.ranks[2].uuid = "GPU-3";
  EXPECT_EQ(difference(file, now), "rank 2 ran on nöde-b (GPU-2) there and runs on nöde-b (GPU-3) here");

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
