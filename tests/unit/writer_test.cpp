#include "results/writer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "common/system/libraries.hpp"
#include "results/hdf5.hpp"
#include "results/reader.hpp"
#include "results/recover.hpp"
#include "tests/unit/result_file_fixture.hpp"

namespace rackproof::results {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using namespace rackproof::results::testing;

// At exit HDF5 would write again what a full disk has refused: it crashes on the way, or goes on for ever.
TEST(Writer, nothing_is_written_at_exit_although_the_versions_of_libraries_were_asked_for_before) {
  const TemporaryFolder folder;
  const std::string path = folder / "run.h5";
  const pid_t child = fork();
  if (child == 0) {
    static_cast<void>(loaded_libraries());
    hdf5::prepare_library();
    const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    std::exit(H5Gcreate2(file, "left", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT) < 0 ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_TRUE(std::filesystem::exists(path));
  hdf5::prepare_library();
  const hdf5::Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
  EXPECT_TRUE(file.get() < 0 || H5Lexists(file.get(), "left", H5P_DEFAULT) <= 0) << "HDF5 has cleaned up";
}

TEST(Writer, gives_the_header_back_as_it_was) {
  const TemporaryFolder folder;
  const RunHeader wanted = example_header();
  const ResultFile file(write_example(folder / "run.h5", wanted));
  const RunHeader& header = file.header();

  EXPECT_EQ(header.run_id, wanted.run_id);
  EXPECT_EQ(header.date, wanted.date);
  EXPECT_EQ(header.software, wanted.software);
  EXPECT_EQ(header.software_version, wanted.software_version);
  EXPECT_FALSE(header.device_fake);
  EXPECT_FALSE(header.recovered);
  EXPECT_EQ(header.max_samples, wanted.max_samples);
  EXPECT_EQ(header.provenance, wanted.provenance);
  ASSERT_EQ(header.ranks.size(), wanted.ranks.size());
  for (std::size_t r = 0; r < wanted.ranks.size(); ++r) {
    EXPECT_EQ(header.ranks[r].hostname, wanted.ranks[r].hostname);
    EXPECT_EQ(header.ranks[r].device_id, wanted.ranks[r].device_id);
    EXPECT_EQ(header.ranks[r].device_name, wanted.ranks[r].device_name);
    EXPECT_EQ(header.ranks[r].serial, wanted.ranks[r].serial);
    EXPECT_EQ(header.ranks[r].uuid, wanted.ranks[r].uuid);
    EXPECT_EQ(header.ranks[r].node_index, wanted.ranks[r].node_index);
    EXPECT_EQ(header.ranks[r].local_rank, wanted.ranks[r].local_rank);
  }
  ASSERT_EQ(header.suites.size(), wanted.suites.size());
  for (std::size_t s = 0; s < wanted.suites.size(); ++s) {
    EXPECT_EQ(header.suites[s].name, wanted.suites[s].name);
    ASSERT_EQ(header.suites[s].cases.size(), wanted.suites[s].cases.size());
    for (std::size_t c = 0; c < wanted.suites[s].cases.size(); ++c) {
      const CaseHeader& got = header.suites[s].cases[c];
      const CaseHeader& want = wanted.suites[s].cases[c];
      EXPECT_EQ(got.name, want.name);
      EXPECT_EQ(got.flop, want.flop);
      EXPECT_EQ(got.bytes, want.bytes);
      EXPECT_EQ(got.tokens, want.tokens);
      EXPECT_EQ(got.message_size, want.message_size);
      EXPECT_EQ(got.collective, want.collective);
      EXPECT_EQ(got.skip_reason, want.skip_reason);
      EXPECT_EQ(got.parameters.entries(), want.parameters.entries()) << want.name;
      ASSERT_EQ(got.figures.size(), want.figures.size());
      for (std::size_t f = 0; f < want.figures.size(); ++f) {
        EXPECT_EQ(got.figures[f].name, want.figures[f].name);
        EXPECT_EQ(got.figures[f].unit, want.figures[f].unit);
        EXPECT_EQ(got.figures[f].kind, want.figures[f].kind);
        EXPECT_EQ(got.figures[f].amount, want.figures[f].amount);
      }
    }
  }
}

/// Equal, NaN to NaN.
template <typename T>
void expect_same(const std::vector<T>& got, const std::vector<T>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(want[i])) {
      EXPECT_TRUE(std::isnan(got[i])) << i;
    } else {
      EXPECT_EQ(got[i], want[i]) << i;
    }
  }
}

void expect_same_telemetry(const ResultFile& file) {
  const RunHeader wanted = example_header();
  ASSERT_EQ(file.header().telemetry.size(), wanted.telemetry.size());
  EXPECT_EQ(file.header().telemetry_ticks, wanted.telemetry_ticks);
  for (std::size_t c = 0; c < wanted.telemetry.size(); ++c) {
    EXPECT_EQ(file.header().telemetry[c].name, wanted.telemetry[c].name);
    EXPECT_EQ(file.header().telemetry[c].unit, wanted.telemetry[c].unit);
    EXPECT_EQ(file.header().telemetry[c].kind, wanted.telemetry[c].kind);
    EXPECT_EQ(file.header().telemetry[c].bits, wanted.telemetry[c].bits);
  }
  for (const auto& [first, ranks] : {std::pair{0, 3}, {1, 1}, {2, 1}}) {
    const TelemetryBlock want = example_telemetry(first, ranks);
    const TelemetryBlock got = file.telemetry(first, ranks);
    EXPECT_EQ(got.ticks, want.ticks);
    EXPECT_EQ(got.readings, want.readings);
    EXPECT_EQ(got.cost, want.cost);
    expect_same(got.time, want.time);
    ASSERT_EQ(got.values.size(), want.values.size());
    for (std::size_t c = 0; c < want.values.size(); ++c) expect_same(got.values[c], want.values[c]);
  }
}

TEST(Writer, gives_telemetry_back_as_it_was) {
  const TemporaryFolder folder;
  expect_same_telemetry(ResultFile(write_example(folder / "run.h5")));
}

TEST(Writer, telemetry_that_was_written_before_a_run_broke_off_is_recovered) {
  const TemporaryFolder folder;
  {
    Writer writer(folder / "run.h5", example_header());
    write_example_cases(writer, example_header());
    writer.write_telemetry(example_telemetry(0, 3));
    writer.abandon();
  }
  recover(folder / "run.h5.part");
  expect_same_telemetry(ResultFile(folder / "run.h5"));
}

TEST(Writer, a_file_of_a_run_that_ended_before_telemetry_was_written_has_none) {
  const TemporaryFolder folder;
  Writer writer(folder / "run.h5", example_header());
  write_example_cases(writer, example_header());
  writer.finish();
  EXPECT_THAT(ResultFile(folder / "run.h5").telemetry(0, 3).ticks, ::testing::ElementsAre(0, 0, 0));
}

TEST(Writer, refuses_telemetry_that_does_not_fit_its_header) {
  const TemporaryFolder folder;
  Writer writer(folder / "run.h5", example_header());
  TelemetryBlock block = example_telemetry(0, 3);
  block.values.pop_back();
  error_of(ExitCode::internal, [&] { writer.write_telemetry(block); });
  RunHeader twice = example_header();
  twice.telemetry.push_back(twice.telemetry.front());
  error_of(ExitCode::internal, [&] { Writer(folder / "twice.h5", twice); });
}

TEST(Writer, gives_every_sample_of_every_rank_back) {
  const TemporaryFolder folder;
  const ResultFile file(write_example(folder / "run.h5"));
  for (const auto& [suite, which] : {std::pair<std::size_t, std::size_t>{0, 0}, {0, 2}, {1, 1}}) {
    const RankBlock want = example_block(suite, which, 0, 3, 30);
    const RankBlock got = file.block(suite, which, 0, 3);
    EXPECT_EQ(got.columns, 30);
    EXPECT_EQ(got.samples, want.samples);
    EXPECT_EQ(got.time, want.time);
    EXPECT_EQ(got.host_time, want.host_time);
    EXPECT_EQ(file.outcome(suite, which).timer, is_timed_by_device(suite, which) ? Timer::device : Timer::host);
    EXPECT_EQ(got.begin, want.begin);
    EXPECT_EQ(got.flags, want.flags);
    EXPECT_EQ(got.verify_error, want.verify_error);
    EXPECT_EQ(got.digest, want.digest);
    const CaseOutcome outcome = example_outcome(suite, which, 3, 30);
    EXPECT_EQ(file.figure_time(suite, which), outcome.figure_time);
    EXPECT_EQ(file.outcome(suite, which).status, outcome.status);
    EXPECT_EQ(file.outcome(suite, which).stop_reason, outcome.stop_reason);
    EXPECT_EQ(file.outcome(suite, which).warmup_steps, outcome.warmup_steps);
    EXPECT_EQ(file.outcome(suite, which).operations, outcome.operations);
    EXPECT_EQ(file.warmup_time(suite, which), outcome.warmup_time);
    EXPECT_EQ(file.outcome(suite, which).clock_error, outcome.clock_error);
  }
  const RankBlock middle = file.block(0, 0, 1, 1);
  EXPECT_EQ(middle.time, example_block(0, 0, 1, 1, 30).time);
  EXPECT_EQ(file.outcome(0, 1).status, Status::failed);
  EXPECT_EQ(file.outcome(0, 1).message, "naïve sum differs on rank 2");
  EXPECT_EQ(file.outcome(1, 2).status, Status::skipped);
  EXPECT_EQ(file.outcome(1, 2).message, "needs 3 GiB, and 2 GiB are free");
}

TEST(Writer, takes_ranks_in_any_order_and_with_counts_of_their_own) {
  const TemporaryFolder folder;
  const RunHeader header = example_header();
  {
    Writer writer(folder / "run.h5", header);
    RankBlock last = example_block(0, 0, 2, 1, 20, true);
    last.begin.clear();
    last.flags.clear();
    last.verify_error.clear();
    last.digest.clear();
    writer.write_block(0, 0, last);
    writer.write_block(0, 0, example_block(0, 0, 0, 2, 20, true));
    writer.finish_case(0, 0, example_outcome(0, 0, 3, 20));
    writer.write_block(0, 1, example_block(0, 1, 1, 1, 7));  // ranks 0 and 2 never deliver
    writer.finish_case(0, 1, example_outcome(0, 1, 3, 7));
    writer.finish();
  }
  const ResultFile file(folder / "run.h5");
  const RankBlock block = file.block(0, 0, 0, 3);
  EXPECT_EQ(block.samples, (std::vector<std::int32_t>{20, 19, 18}));
  EXPECT_EQ(block.time[20 * 2 + 17], example_time(0, 0, 2, 17));
  EXPECT_TRUE(std::isnan(block.time[20 * 2 + 18])) << "behind a rank's own count there is nothing";
  EXPECT_TRUE(std::isnan(block.begin[20 * 2]));
  EXPECT_TRUE(std::isnan(block.verify_error[2]));
  EXPECT_EQ(block.digest[2], 0U);
  EXPECT_EQ(file.block(0, 1, 0, 3).samples, (std::vector<std::int32_t>{0, 7, 0}));
}

TEST(Writer, ends_a_case_again_with_another_outcome) {
  const TemporaryFolder folder;
  const RunHeader header = example_header();
  {
    Writer writer(folder / "run.h5", header);
    writer.finish_case(0, 0, example_outcome(0, 0, 3, 10));
    EXPECT_EQ(writer.finished_cases(), 1U);
    CaseOutcome skipped;
    skipped.status = Status::skipped;
    skipped.message = "no time left";
    writer.finish_case(0, 0, skipped);
    EXPECT_EQ(writer.finished_cases(), 0U);
    writer.finish();
  }
  const ResultFile file(folder / "run.h5");
  EXPECT_EQ(file.outcome(0, 0).status, Status::skipped);
  EXPECT_EQ(file.outcome(0, 0).message, "no time left");
  EXPECT_TRUE(file.figure_time(0, 0).empty());
}

TEST(Writer, gives_back_what_ran_a_case) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "run.h5";
  {
    Writer writer(path, example_header());
    writer.write_block(0, 0, example_block(0, 0, 0, 3, 30));
    CaseOutcome outcome = example_outcome(0, 0, 3, 30);
    outcome.implementation = "cuBLASLt 13.1.0 choice 1 of 8: algorithm 66";
    writer.finish_case(0, 0, outcome);
    writer.write_block(0, 2, example_block(0, 2, 0, 3, 30));
    writer.finish_case(0, 2, example_outcome(0, 2, 3, 30));
    writer.finish();
  }
  const ResultFile file(path);
  EXPECT_EQ(file.outcome(0, 0).implementation, "cuBLASLt 13.1.0 choice 1 of 8: algorithm 66");
  EXPECT_EQ(file.outcome(0, 2).implementation, "");
}

TEST(Writer, cuts_a_long_message_between_characters) {
  const TemporaryFolder folder;
  {
    Writer writer(folder / "run.h5", example_header());
    CaseOutcome outcome = example_outcome(0, 0, 3, 10, Status::error);
    outcome.message.clear();
    for (int i = 0; i < 400; ++i) outcome.message += "\u20ac\n";
    writer.finish_case(0, 0, outcome);
    writer.finish();
  }
  const ResultFile file(folder / "run.h5");
  const std::string& message = file.outcome(0, 0).message;
  EXPECT_LE(message.size(), 512U);
  EXPECT_GE(message.size(), 500U);
  EXPECT_TRUE(message.ends_with("...")) << message;
  EXPECT_EQ(message.substr(0, 8), "\u20ac?\u20ac?");
  EXPECT_EQ(message, printable(message, 1000)) << "no broken character";
}

TEST(Writer, keeps_a_parameter_that_is_called_as_a_column) {
  const TemporaryFolder folder;
  const ResultFile file(write_example(folder / "run.h5"));
  const CaseHeader& which = file.header().suites[1].cases[1];
  EXPECT_EQ(which.parameters.integer("message_size"), 1 << 20);
  EXPECT_EQ(which.message_size, 1 << 20);
}

TEST(Writer, keeps_the_order_of_the_figures_of_every_case) {
  const TemporaryFolder folder;
  RunHeader header = example_header();
  const auto figure = [](const char* name) { return FigureHeader{name, "x", FigureHeader::Kind::rate, 1.0}; };
  header.suites[0].cases[0].figures = {figure("b"), figure("d")};
  header.suites[0].cases[1].figures = {figure("a"), figure("b")};
  header.suites[0].cases[2].figures = {figure("b"), figure("c"), figure("d")};
  const ResultFile file(write_example(folder / "run.h5", header));
  for (std::size_t c = 0; c < 3; ++c) {
    std::string wanted;
    std::string got;
    for (const FigureHeader& one : header.suites[0].cases[c].figures) wanted += one.name;
    for (const FigureHeader& one : file.header().suites[0].cases[c].figures) got += one.name;
    EXPECT_EQ(got, wanted);
  }
}

TEST(Writer, is_in_nobodys_way_until_it_is_finished) {
  const TemporaryFolder folder;
  const RunHeader header = example_header();
  Writer writer(folder / "run.h5", header);
  EXPECT_TRUE(std::filesystem::exists(folder / "run.h5.part"));
  EXPECT_FALSE(std::filesystem::exists(folder / "run.h5"));
  write_example_cases(writer, header);
  writer.finish();
  EXPECT_FALSE(std::filesystem::exists(folder / "run.h5.part"));
  EXPECT_TRUE(std::filesystem::exists(folder / "run.h5"));
}

TEST(Writer, can_be_read_while_it_writes) {
  const TemporaryFolder folder;
  // In another process: within one, HDF5 would hand the writer's own view of the file out.
  int told[2];
  int asked[2];
  ASSERT_EQ(::pipe(told), 0);
  ASSERT_EQ(::pipe(asked), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(asked[1]);
    Writer writer(folder / "run.h5", example_header());
    writer.write_block(0, 0, example_block(0, 0, 0, 3, 12));
    char byte = 0;
    static_cast<void>(!::write(told[1], &byte, 1));
    static_cast<void>(!::read(asked[0], &byte, 1));
    writer.finish_case(0, 0, example_outcome(0, 0, 3, 12));
    static_cast<void>(!::write(told[1], &byte, 1));
    static_cast<void>(!::read(asked[0], &byte, 1));
    ::_exit(0);
  }
  ::close(told[1]);
  ::close(asked[0]);
  char byte = 0;
  ASSERT_EQ(::read(told[0], &byte, 1), 1);
  {
    const ResultFile file(folder / "run.h5.part");
    EXPECT_TRUE(file.unfinished());
    EXPECT_EQ(file.outcome(0, 0).status, Status::not_run);
  }
  EXPECT_THAT(error_of(ExitCode::usage, [&] { recover(folder / "run.h5.part"); }), HasSubstr("another process"));
  ASSERT_EQ(::write(asked[1], &byte, 1), 1);
  ASSERT_EQ(::read(told[0], &byte, 1), 1);
  {
    const ResultFile file(folder / "run.h5.part");
    EXPECT_TRUE(file.unfinished());
    EXPECT_EQ(file.outcome(0, 0).status, Status::passed);
    EXPECT_EQ(file.block(0, 0, 0, 3).time, example_block(0, 0, 0, 3, 12).time);
  }
  ::close(asked[1]);
  ::close(told[0]);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
}

TEST(Writer, refuses_an_existing_file_unless_forced) {
  const TemporaryFolder folder;
  write_text(folder / "run.h5", "precious");
  const std::string line = error_of(ExitCode::usage, [&] { Writer(folder / "run.h5", example_header()); });
  EXPECT_THAT(line, AllOf(HasSubstr("run.h5'"), HasSubstr("exists"), HasSubstr("--force")));
  EXPECT_EQ(file_text(folder / "run.h5"), "precious");
  EXPECT_FALSE(std::filesystem::exists(folder / "run.h5.part"));
  {
    Writer forced(folder / "run.h5", example_header(), {.force = true});
    write_example_cases(forced, example_header());
    EXPECT_EQ(file_text(folder / "run.h5"), "precious") << "replaced at the end only";
    forced.finish();
  }
  EXPECT_EQ(ResultFile(folder / "run.h5").outcome(0, 0).status, Status::passed);
}

TEST(Writer, does_not_replace_a_file_that_appeared_during_the_run) {
  const TemporaryFolder folder;
  Writer writer(folder / "run.h5", example_header());
  write_example_cases(writer, example_header());
  write_text(folder / "run.h5", "precious");
  EXPECT_THAT(error_of(ExitCode::usage, [&] { writer.finish(); }), HasSubstr("run.h5.part"));
  EXPECT_EQ(file_text(folder / "run.h5"), "precious");
  EXPECT_EQ(ResultFile(folder / "run.h5.part").outcome(0, 0).status, Status::passed);
}

TEST(Writer, refuses_a_second_run_with_the_same_name) {
  const TemporaryFolder folder;
  Writer first(folder / "run.h5", example_header());
  const std::string line = error_of(ExitCode::usage, [&] { Writer(folder / "run.h5", example_header()); });
  EXPECT_THAT(line, AllOf(HasSubstr("run.h5.part"), HasSubstr("another process")));
  write_example_cases(first, example_header());
  first.finish();
  EXPECT_EQ(ResultFile(folder / "run.h5").outcome(1, 0).status, Status::passed);
}

TEST(Writer, names_a_folder_that_is_missing_or_not_writable) {
  const TemporaryFolder folder;
  EXPECT_THAT(error_of(ExitCode::usage, [&] { Writer(folder / "none/run.h5", example_header()); }),
              AllOf(HasSubstr("/none'"), HasSubstr("does not exist")));
  EXPECT_THAT(error_of(ExitCode::usage, [&] { Writer(folder.path(), example_header()); }), HasSubstr("is a folder"));
  if (std::filesystem::exists("/proc/self")) {
    EXPECT_THAT(error_of(ExitCode::usage, [] { Writer("/proc/self/run.h5", example_header()); }),
                HasSubstr("/proc/self"));
  }
  if (::geteuid() != 0) {
    std::filesystem::permissions(folder.path(),
                                 std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
    EXPECT_THAT(error_of(ExitCode::usage, [&] { Writer(folder / "run.h5", example_header()); }),
                HasSubstr("not writable"));
    std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_all);
  }
}

TEST(Writer, refuses_headers_that_make_no_sense) {
  const TemporaryFolder folder;
  const auto refused = [&](auto&& spoil) {
    RunHeader header = example_header();
    spoil(header);
    const std::string line = error_of(ExitCode::internal, [&] { Writer(folder / "run.h5", header); });
    EXPECT_TRUE(std::filesystem::is_empty(folder.path())) << line;
  };
  refused([](RunHeader& header) { header.ranks.clear(); });
  refused([](RunHeader& header) { header.suites.clear(); });
  refused([](RunHeader& header) { header.suites[0].cases.clear(); });
  refused([](RunHeader& header) { header.suites[0].name = "../x"; });
  refused([](RunHeader& header) { header.suites[1].name = header.suites[0].name; });
  refused([](RunHeader& header) { header.suites[0].cases[1].name = header.suites[0].cases[0].name; });
  refused([](RunHeader& header) { header.max_samples = 0; });
  refused([](RunHeader& header) { header.provenance["a/b"] = ""; });
  refused([](RunHeader& header) { header.suites[0].cases[1].parameters.set("m", std::string("1000")); });
  refused([](RunHeader& header) { header.suites[0].cases[1].figures[0].unit = "GFLOP/s"; });
}

TEST(Writer, refuses_blocks_that_do_not_fit) {
  const TemporaryFolder folder;
  Writer writer(folder / "run.h5", example_header());
  const auto refused = [&](RankBlock block, std::size_t suite = 0, std::size_t which = 0) {
    error_of(ExitCode::internal, [&] { writer.write_block(suite, which, block); });
  };
  refused(example_block(0, 0, 1, 3, 10));
  refused(example_block(0, 0, 0, 3, 41));
  refused(example_block(0, 0, 0, 3, 10), 2, 0);
  refused(example_block(0, 0, 0, 3, 10), 0, 3);
  RankBlock torn = example_block(0, 0, 0, 3, 10);
  torn.time.pop_back();
  refused(torn);
  RankBlock beyond = example_block(0, 0, 0, 3, 10);
  beyond.samples[1] = 11;
  refused(beyond);
  writer.write_block(0, 0, example_block(0, 0, 0, 3, 10));
}

TEST(Writer, moves_an_unfinished_run_with_finished_cases_aside) {
  const TemporaryFolder folder;
  const RunHeader header = example_header();
  for (int i = 0; i < 2; ++i) {
    Writer writer(folder / "run.h5", header);
    writer.write_block(0, 0, example_block(0, 0, 0, 3, 10 + i));
    writer.finish_case(0, 0, example_outcome(0, 0, 3, 10 + i));
    EXPECT_EQ(writer.notices().size(), static_cast<std::size_t>(i));
    writer.abandon();
    EXPECT_TRUE(std::filesystem::exists(folder / "run.h5.part"));
  }
  Writer writer(folder / "run.h5", header);
  ASSERT_EQ(writer.notices().size(), 1U);
  EXPECT_THAT(writer.notices()[0], AllOf(HasSubstr("run.h5.part.2"), HasSubstr("1 finished case")));
  EXPECT_EQ(ResultFile(folder / "run.h5.part.1").block(0, 0, 0, 1).columns, 10);
  EXPECT_EQ(ResultFile(folder / "run.h5.part.2").block(0, 0, 0, 1).columns, 11);
}

TEST(Writer, replaces_an_unfinished_run_without_finished_cases) {
  const TemporaryFolder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    const Writer writer(folder / "run.h5", example_header());
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  ASSERT_TRUE(std::filesystem::exists(folder / "run.h5.part"));
  {
    Writer writer(folder / "run.h5", example_header());
    EXPECT_TRUE(writer.notices().empty());
    EXPECT_FALSE(std::filesystem::exists(folder / "run.h5.part.1"));
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "run.h5.part")) << "nothing worth keeping is left behind";
}

TEST(Writer, moves_a_part_file_aside_that_is_not_its_own) {
  const TemporaryFolder folder;
  write_text(folder / "run.h5.part", "somebody's notes, which must not be lost");
  Writer writer(folder / "run.h5", example_header());
  ASSERT_EQ(writer.notices().size(), 1U);
  EXPECT_EQ(file_text(folder / "run.h5.part.1"), "somebody's notes, which must not be lost");
}

TEST(Writer, keeps_the_chunks_of_many_ranks_small) {
  const TemporaryFolder folder;
  RunHeader header = example_header();
  header.ranks.resize(5000, header.ranks[0]);
  header.max_samples = 4096;
  Writer writer(folder / "run.h5", header);
  EXPECT_EQ(writer.ranks_per_block(), 256) << "8 MiB a chunk";
  for (int first = 0; first < 5000; first += writer.ranks_per_block()) {
    const int ranks = std::min(writer.ranks_per_block(), 5000 - first);
    writer.write_block(0, 0, example_block(0, 0, first, ranks, 3));
  }
  writer.finish_case(0, 0, example_outcome(0, 0, 5000, 3));
  writer.finish();
  const ResultFile file(folder / "run.h5");
  EXPECT_EQ(file.block(0, 0, 4000, 300).time, example_block(0, 0, 4000, 300, 3).time);
  EXPECT_LT(std::filesystem::file_size(folder / "run.h5"), 20'000'000U);
}

// ---- a full disk ----

struct FullDisk {
  int exit_code = -1;     ///< of the child; -1: killed by a signal
  std::string line;       ///< the error that the child saw
  std::size_t ended = 0;  ///< finish_case() calls that had returned
};

/// Writes many cases in a process whose files may not grow beyond `limit` bytes, up to its regular end, so that a
/// crash or a hang of HDF5 at exit is seen.
FullDisk run_with_file_limit(const std::filesystem::path& path, const RunHeader& header, rlim_t limit) {
  int ends[2];
  if (::pipe(ends) != 0) throw std::runtime_error("pipe failed");
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    ::signal(SIGXFSZ, SIG_IGN);
    ::alarm(240);
    const rlimit bound{limit, limit};
    ::setrlimit(RLIMIT_FSIZE, &bound);
    std::string line;
    std::size_t ended = 0;
    int code = 0;
    try {
      Writer writer(path, header);
      for (std::size_t c = 0; c < header.suites[0].cases.size(); ++c) {
        RankBlock block = example_block(0, c, 0, 3, 40);
        std::uint64_t state = c;
        for (double& time : block.time) {  // hard to compress
          state = state * 6364136223846793005ULL + 1442695040888963407ULL;
          time = 1e-3 + static_cast<double>(state >> 12U) * 1e-20;
        }
        writer.write_block(0, c, block);
        writer.finish_case(0, c, example_outcome(0, c, 3, 40));
        ++ended;
      }
      writer.finish();
    } catch (const Error& error) {
      line = error.line();
      code = static_cast<int>(error.exit_code());
    }
    const std::string report = std::to_string(ended) + " " + line;
    static_cast<void>(!::write(ends[1], report.data(), report.size()));
    std::exit(code);
  }
  ::close(ends[1]);
  std::string report;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::read(ends[0], buffer, sizeof buffer)) > 0;) {
    report.append(buffer, static_cast<std::size_t>(got));
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  FullDisk result;
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  const std::size_t space = report.find(' ');
  if (space != std::string::npos) {
    result.ended = std::stoul(report.substr(0, space));
    result.line = report.substr(space + 1);
  }
  return result;
}

TEST(Writer, survives_a_full_disk_and_keeps_what_had_finished) {
  const TemporaryFolder folder;
  RunHeader header = example_header();
  header.suites.resize(1);
  const CaseHeader one = header.suites[0].cases[0];
  header.suites[0].cases.clear();
  for (int i = 0; i < 60; ++i) {
    header.suites[0].cases.push_back(one);
    header.suites[0].cases.back().name = "gemm/" + std::to_string(i);
  }
  const FullDisk whole = run_with_file_limit(folder / "whole.h5", header, RLIM_INFINITY);
  ASSERT_EQ(whole.exit_code, 0) << whole.line;
  const auto size = static_cast<rlim_t>(std::filesystem::file_size(folder / "whole.h5"));

  int kept_some = 0;
  int kept_none = 0;
  constexpr rlim_t steps = 32;
  for (rlim_t i = 0; i <= steps; ++i) {
    const std::string name = "run" + std::to_string(i) + ".h5";
    const rlim_t limit = size * i / steps;
    const FullDisk run = run_with_file_limit(folder / name, header, limit);
    SCOPED_TRACE("limit " + std::to_string(limit) + " of " + std::to_string(size) + ", ended " +
                 std::to_string(run.ended) + ": " + run.line);
    if (run.exit_code == 0) continue;  // the last byte or so need not be written
    ASSERT_EQ(run.exit_code, static_cast<int>(ExitCode::infrastructure));
    EXPECT_THAT(run.line, AllOf(HasSubstr(name + ".part"), HasSubstr("File too large"), HasSubstr("free some space")));
    EXPECT_FALSE(std::filesystem::exists(folder / name));
    if (run.ended == 0) {
      ++kept_none;
      EXPECT_FALSE(std::filesystem::exists(folder / (name + ".part")));
      continue;
    }
    ++kept_some;
    EXPECT_THAT(run.line, AllOf(HasSubstr("recover"), HasSubstr(std::to_string(run.ended) + " finished case")));
    const RecoverReport report = recover(folder / (name + ".part"));
    EXPECT_GE(report.finished, run.ended);
    EXPECT_TRUE(report.damaged.empty()) << to_string(report);
    const ResultFile file(folder / name);
    for (std::size_t c = 0; c < run.ended; ++c) {
      EXPECT_EQ(file.outcome(0, c).status, Status::passed);
      EXPECT_EQ(file.block(0, c, 0, 3).columns, 40);
      EXPECT_EQ(file.figure_time(0, c), example_outcome(0, c, 3, 40).figure_time);
    }
  }
  EXPECT_GT(kept_some, 5);
  EXPECT_GT(kept_none, 0);
}

// ---- other people's tools ----

TEST(Writer, writes_what_python_and_h5dump_read) {
  const std::string script = RACKPROOF_SOURCE_DIR "/tests/cli/python/check_file.py";
  if (std::system("/usr/bin/python3 -c 'import h5py, xarray, h5netcdf, netCDF4, pandas' 2>/dev/null") != 0) {
    GTEST_SKIP() << "needs Debian's python3-h5py, -xarray, -h5netcdf, -netcdf4 and -pandas";
  }
  const TemporaryFolder folder;
  write_example(folder / "run.h5");
  EXPECT_EQ(std::system(("/usr/bin/python3 " + script + " " + (folder / "run.h5").string()).c_str()), 0);
  RunHeader small = example_header();
  small.ranks.resize(1);
  small.suites.resize(1);
  small.suites[0].cases.resize(1);
  small.max_samples = 1;
  {
    Writer writer(folder / "small.h5", small);
    writer.write_block(0, 0, example_block(0, 0, 0, 1, 1));
    writer.finish_case(0, 0, example_outcome(0, 0, 1, 1, Status::mistrusted));
    writer.finish();
  }
  EXPECT_EQ(std::system(("/usr/bin/python3 " + script + " " + (folder / "small.h5").string()).c_str()), 0);
}

}  // namespace
}  // namespace rackproof::results
