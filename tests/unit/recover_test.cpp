#include "results/recover.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <thread>

#include "results/reader.hpp"
#include "tests/unit/result_file_fixture.hpp"

namespace rackproof::results {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using namespace rackproof::results::testing;

constexpr int many_cases = 400;

RunHeader many_header() {
  RunHeader header = example_header();
  header.suites.resize(1);
  const CaseHeader one = header.suites[0].cases[0];
  header.suites[0].cases.clear();
  for (int i = 0; i < many_cases; ++i) {
    header.suites[0].cases.push_back(one);
    header.suites[0].cases.back().name = "gemm/" + std::to_string(i);
  }
  return header;
}

/// A child that writes cases and tells of each when finish_case() has returned.
class WritingChild {
 public:
  explicit WritingChild(const std::filesystem::path& path) {
    int ends[2];
    if (::pipe(ends) != 0) throw std::runtime_error("pipe failed");
    child_ = ::fork();
    if (child_ == 0) {
      ::close(ends[0]);
      write(path, ends[1]);
      ::_exit(0);
    }
    ::close(ends[1]);
    progress_ = ends[0];
  }
  WritingChild(const WritingChild&) = delete;
  WritingChild& operator=(const WritingChild&) = delete;
  ~WritingChild() {
    kill();
    ::close(progress_);
  }

  /// Waits for so many more finished cases; true if they came.
  bool wait_for(int cases) {
    char byte = 0;
    for (; cases > 0 && ::read(progress_, &byte, 1) == 1; --cases) ++told_;
    return cases == 0;
  }
  /// Kills it. Returns how many cases it had told of by then.
  int kill() {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      int status = 0;
      ::waitpid(child_, &status, 0);
      child_ = -1;
      char byte = 0;
      while (::read(progress_, &byte, 1) == 1) ++told_;
    }
    return told_;
  }

 private:
  static void write(const std::filesystem::path& path, int progress) {
    const RunHeader header = many_header();
    Writer writer(path, header);
    const char byte = 0;
    for (std::size_t c = 0; c < header.suites[0].cases.size(); ++c) {
      writer.write_block(0, c, example_block(0, c, 0, 2, 30));
      writer.write_block(0, c, example_block(0, c, 2, 1, 30));
      const Status status = c % 3 == 1 ? Status::failed : Status::passed;
      writer.finish_case(0, c, example_outcome(0, c, 3, 30, status));
      static_cast<void>(!::write(progress, &byte, 1));
    }
    // Not finish(): the tests want to kill it, however fast it was.
    for (;;) ::pause();
  }

  pid_t child_ = -1;
  int progress_ = -1;
  int told_ = 0;
};

void expect_whole_case(const ResultFile& file, std::size_t which, bool with_message = true) {
  SCOPED_TRACE("case " + std::to_string(which));
  const CaseOutcome want = example_outcome(0, which, 3, 30, which % 3 == 1 ? Status::failed : Status::passed);
  EXPECT_EQ(file.outcome(0, which).status, want.status);
  EXPECT_EQ(file.outcome(0, which).stop_reason, want.stop_reason);
  EXPECT_EQ(file.outcome(0, which).warmup_steps, want.warmup_steps);
  EXPECT_EQ(file.outcome(0, which).clock_error, want.clock_error);
  EXPECT_EQ(file.outcome(0, which).clock_error_before, want.clock_error_before);
  EXPECT_EQ(file.outcome(0, which).clock_error_after, want.clock_error_after);
  if (with_message) {
    EXPECT_EQ(file.outcome(0, which).message, want.message);
  }
  EXPECT_EQ(file.outcome(0, which).operations, want.operations);
  EXPECT_EQ(file.figure_time(0, which), want.figure_time);
  EXPECT_EQ(file.warmup_time(0, which), want.warmup_time);
  const RankBlock block = file.block(0, which, 0, 3);
  const RankBlock wanted = example_block(0, which, 0, 3, 30);
  EXPECT_EQ(block.samples, wanted.samples);
  EXPECT_EQ(block.time, wanted.time);
  EXPECT_EQ(block.begin, wanted.begin);
  EXPECT_EQ(block.flags, wanted.flags);
  EXPECT_EQ(block.switches, wanted.switches);
  EXPECT_EQ(block.probe, wanted.probe);
  EXPECT_EQ(block.steal, wanted.steal);
  EXPECT_EQ(block.verify_error, wanted.verify_error);
  EXPECT_EQ(block.digest, wanted.digest);
}

TEST(Recover, loses_no_finished_case_to_kill_9_at_20_random_moments) {
  const TemporaryFolder folder;
  std::mt19937 random(9);
  int killed_in_the_middle = 0;
  for (int round = 0; round < 20; ++round) {
    const std::string name = "run" + std::to_string(round) + ".h5";
    WritingChild child(folder / name);
    const int wait_for = static_cast<int>(random() % 40);
    ASSERT_TRUE(child.wait_for(wait_for));
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 8000));
    const auto told = static_cast<std::size_t>(child.kill());
    SCOPED_TRACE("round " + std::to_string(round) + ", told " + std::to_string(told));
    killed_in_the_middle += told > 0 && told < many_cases ? 1 : 0;
    const std::filesystem::path part = folder / (name + ".part");
    if (told == 0 && !std::filesystem::exists(part)) continue;
    RecoverReport report;
    try {
      report = recover(part);
    } catch (const Error& error) {
      EXPECT_EQ(told, 0U) << error.line();
      continue;
    }
    EXPECT_GE(report.finished, told);
    EXPECT_LE(report.finished, told + 1) << "at most the case in flight had finished without having told";
    EXPECT_EQ(report.planned, static_cast<std::size_t>(many_cases));
    EXPECT_TRUE(report.damaged.empty());
    EXPECT_EQ(report.out, folder / name);
    EXPECT_TRUE(std::filesystem::exists(part)) << "the original stays";
    const ResultFile file(folder / name);
    EXPECT_TRUE(file.header().recovered);
    EXPECT_FALSE(file.unfinished());
    EXPECT_EQ(file.header().run_id, many_header().run_id);
    EXPECT_EQ(file.header().provenance, many_header().provenance);
    for (std::size_t c = 0; c < report.finished; ++c) expect_whole_case(file, c);
    EXPECT_EQ(file.outcome(0, report.finished).status, Status::not_run);
    EXPECT_EQ(file.block(0, report.finished, 0, 3).columns, 0) << "nothing of the case in flight";
  }
  EXPECT_GE(killed_in_the_middle, 10);
}

TEST(Recover, refuses_the_file_of_a_live_run) {
  const TemporaryFolder folder;
  WritingChild child(folder / "run.h5");
  ASSERT_TRUE(child.wait_for(3));
  EXPECT_THAT(error_of(ExitCode::usage, [&] { recover(folder / "run.h5.part"); }),
              AllOf(HasSubstr("run.h5.part"), HasSubstr("another process")));
  child.kill();
  EXPECT_GE(recover(folder / "run.h5.part").finished, 3U);
}

TEST(Recover, says_so_where_no_case_had_finished) {
  const TemporaryFolder folder;
  {
    Writer writer(folder / "run.h5", example_header());
    writer.write_block(0, 0, example_block(0, 0, 0, 3, 10));
    std::filesystem::copy_file(folder / "run.h5.part", folder / "copy.h5.part");
  }
  EXPECT_THAT(error_of(ExitCode::usage, [&] { recover(folder / "copy.h5.part"); }),
              AllOf(HasSubstr("copy.h5.part"), HasSubstr("no case in it had finished")));
  EXPECT_FALSE(std::filesystem::exists(folder / "copy.h5"));
}

TEST(Recover, leaves_an_existing_file_alone_unless_forced) {
  const TemporaryFolder folder;
  {
    Writer writer(folder / "run.h5", example_header());
    writer.write_block(0, 0, example_block(0, 0, 0, 3, 10));
    writer.finish_case(0, 0, example_outcome(0, 0, 3, 10));
  }
  write_text(folder / "run.h5", "precious");
  EXPECT_THAT(error_of(ExitCode::usage, [&] { recover(folder / "run.h5.part"); }),
              AllOf(HasSubstr("run.h5'"), HasSubstr("exists")));
  EXPECT_EQ(file_text(folder / "run.h5"), "precious");
  EXPECT_EQ(recover(folder / "run.h5.part", {.out = folder / "other.h5"}).finished, 1U);
  const RecoverReport report = recover(folder / "run.h5.part", {.force = true});
  EXPECT_EQ(report.finished, 1U);
  EXPECT_EQ(report.planned, 5U) << "the skipped case was not planned";
  EXPECT_THAT(to_string(report), HasSubstr("1 of 5 cases recovered"));
  const ResultFile file(folder / "run.h5");
  EXPECT_EQ(file.block(0, 0, 0, 3).time, example_block(0, 0, 0, 3, 10).time);
  EXPECT_EQ(file.outcome(1, 2).status, Status::skipped);
  EXPECT_EQ(file.outcome(1, 2).message, "needs 3 GiB, and 2 GiB are free");
}

TEST(Recover, leaves_nothing_behind_on_a_full_disk) {
  const TemporaryFolder folder;
  {
    WritingChild child(folder / "run.h5");
    ASSERT_TRUE(child.wait_for(60));
  }
  EXPECT_GE(recover(folder / "run.h5.part", {.out = folder / "whole.h5"}).finished, 60U);
  const auto size = static_cast<rlim_t>(std::filesystem::file_size(folder / "whole.h5"));
  for (const rlim_t limit : {size / 100, size / 2, size * 19 / 20}) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::signal(SIGXFSZ, SIG_IGN);
      ::alarm(240);
      const rlimit bound{limit, limit};
      ::setrlimit(RLIMIT_FSIZE, &bound);
      int code = 0;
      try {
        recover(folder / "run.h5.part");
      } catch (const Error& error) {
        const bool told = error.line().find("File too large") != std::string::npos &&
                          error.line().find("still there") != std::string::npos;
        code = told ? static_cast<int>(error.exit_code()) : 98;
      }
      std::exit(code);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), static_cast<int>(ExitCode::infrastructure));
    EXPECT_FALSE(std::filesystem::exists(folder / "run.h5"));
    EXPECT_FALSE(std::filesystem::exists(folder / "run.h5.recovering"));
  }
}

TEST(Recover, finds_the_name_of_a_file_that_was_moved_aside) {
  const TemporaryFolder folder;
  {
    Writer writer(folder / "run.h5", example_header());
    writer.finish_case(0, 0, example_outcome(0, 0, 3, 10, Status::error));
  }
  std::filesystem::rename(folder / "run.h5.part", folder / "run.h5.part.12");
  EXPECT_EQ(recover(folder / "run.h5.part.12").out, folder / "run.h5");
  std::filesystem::copy_file(folder / "run.h5.part.12", folder / "odd");
  EXPECT_THAT(error_of(ExitCode::usage, [&] { recover(folder / "odd"); }), HasSubstr("--out"));
}

TEST(Recover, refuses_what_is_no_result_file) {
  const TemporaryFolder folder;
  write_text(folder / "text.h5.part", "hello");
  write_text(folder / "empty.h5.part", "");
  for (const char* name : {"text.h5.part", "empty.h5.part", "none.h5.part"}) {
    EXPECT_THAT(error_of(ExitCode::usage, [&] { recover(folder / name); }),
                AllOf(HasSubstr(name), Not(HasSubstr("\n"))));
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "none.h5.part")) << "looking makes no file";
}

TEST(Recover, gives_what_is_left_of_a_part_that_was_cut) {
  const TemporaryFolder folder;
  int told = 0;
  {
    WritingChild child(folder / "run.h5");
    ASSERT_TRUE(child.wait_for(60));
    told = child.kill();
  }
  const std::string whole = file_text(folder / "run.h5.part");
  std::size_t most = 0;
  for (std::size_t i = 0; i < 40; ++i) {
    write_text(folder / "cut.h5.part", whole.substr(0, whole.size() * i / 40));
    // In a child: the question is also whether HDF5 survives it.
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(240);
      std::size_t finished = 0;
      int code = 0;
      try {
        finished = recover(folder / "cut.h5.part", {.force = true}).finished;
      } catch (const Error& error) {
        code = static_cast<int>(error.exit_code());
      } catch (...) {
        code = 99;
      }
      static_cast<void>(!::write(ends[1], &finished, sizeof finished));
      ::_exit(code);
    }
    ::close(ends[1]);
    std::size_t finished = 0;
    static_cast<void>(!::read(ends[0], &finished, sizeof finished));
    ::close(ends[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status)) << "crashed when cut at " << i << "/40";
    if (WEXITSTATUS(status) == 0) {
      const ResultFile file(folder / "cut.h5");
      std::size_t whole_cases = 0;
      for (std::size_t c = 0; c < static_cast<std::size_t>(told); ++c) {
        if (file.outcome(0, c).status == Status::not_run) continue;
        expect_whole_case(file, c, false);
        ++whole_cases;
      }
      EXPECT_GE(whole_cases + 1, finished);
      most = std::max(most, finished);
    } else {
      EXPECT_EQ(WEXITSTATUS(status), 2) << "cut at " << i << "/40";
    }
  }
  EXPECT_GT(most, 10U) << "what lies before the cut is not lost";
}

}  // namespace
}  // namespace rackproof::results
