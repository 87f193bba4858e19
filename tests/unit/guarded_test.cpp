#include "launch/guarded.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/unit/result_file_fixture.hpp"

namespace rackproof {
namespace {

using results::testing::error_of;
using results::testing::file_text;
using results::testing::TemporaryFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string text_of(const GuardedRead& read, const std::function<ExitCode(const Emit&)>& work) {
  std::string text;
  EXPECT_EQ(run_guarded(read, work, [&](std::string_view piece) { text += piece; }), ExitCode::pass);
  return text;
}

std::string refusal(const GuardedRead& read, const std::function<void()>& work, ExitCode code = ExitCode::usage) {
  return error_of(code, [&] {
    run_guarded(
        read,
        [&](const Emit&) {
          work();
          return ExitCode::pass;
        },
        [](std::string_view) {});
  });
}

TEST(Guarded, passes_on_what_the_work_says_and_returns) {
  const std::string large(3'000'001, 'x');
  EXPECT_EQ(text_of({},
                    [&](const Emit& emit) {
                      emit("first\n");
                      emit(large);
                      emit("");
                      emit("last");
                      return ExitCode::pass;
                    }),
            "first\n" + large + "last");
  EXPECT_EQ(run_guarded(
                {}, [](const Emit&) { return ExitCode::inconclusive; }, [](std::string_view) {}),
            ExitCode::inconclusive);
}

TEST(Guarded, passes_on_errors_with_their_code_and_line) {
  EXPECT_EQ(refusal({}, [] { throw usage_error("'x.h5': is empty"); }), "'x.h5': is empty");
  EXPECT_EQ(refusal(
                {},
                [] {
                  throw infrastructure_error("disk full", {"node-7", 3, ""});
                },
                ExitCode::infrastructure),
            "disk full [host node-7, rank 3]");
  EXPECT_THAT(refusal(
                  {}, [] { throw std::runtime_error("two\nlines"); }, ExitCode::internal),
              AllOf(HasSubstr("two?lines"), HasSubstr("defect")));
}

TEST(Guarded, a_crash_is_one_line_about_the_file) {
  const auto crash = [] {
    std::signal(SIGSEGV, SIG_DFL);  // the address sanitizer has a handler, which exits
    std::raise(SIGSEGV);
  };
  EXPECT_THAT(refusal({.files = {"bad.h5"}}, crash),
              AllOf(HasSubstr("'bad.h5': is damaged"), HasSubstr("crash (Segmentation fault)")));
  EXPECT_THAT(refusal({.files = {"a.h5", "b.h5"}}, [] { std::abort(); }), HasSubstr("'a.h5' or 'b.h5': is damaged"));
  EXPECT_THAT(refusal({.files = {"a.h5", "b.h5", "c.h5"}}, [] { ::_exit(0); }),
              AllOf(HasSubstr("one of 3 files ('a.h5', ...): is damaged"), HasSubstr("does not end in order")));
}

TEST(Guarded, memory_is_bounded) {
  const auto ask = [] {
    std::vector<std::string> all;
    for (int i = 0; i < 1000; ++i) all.emplace_back(std::size_t{1} << 20, 'x');
  };
  EXPECT_THAT(refusal({.files = {"large.h5"}, .memory = std::uint64_t{100} << 20}, ask),
              AllOf(HasSubstr("'large.h5'"), HasSubstr("more than 100 MiB"), HasSubstr("--max-memory")));
  EXPECT_THAT(refusal({.files = {"absurd.h5"}}, [] { std::vector<char>().resize(SIZE_MAX); }),
              HasSubstr("--max-memory"));
}

TEST(Guarded, time_is_bounded) {
  const auto hang = [] {
    std::vector<unsigned> numbers(1000);
    while (std::accumulate(numbers.begin(), numbers.end(), 0U) == 0U) numbers.back() = 0U;
  };
  EXPECT_THAT(refusal({.files = {"slow.h5"}, .cpu_time = 1.0}, hang),
              AllOf(HasSubstr("'slow.h5'"), HasSubstr("--max-time")));
}

TEST(Guarded, the_child_can_write_no_file) {
  const TemporaryFolder folder;
  std::signal(SIGXFSZ, SIG_IGN);  // as main has it
  const auto write = [&] {
    std::ofstream out(folder / "out");
    out << "text" << std::flush;
    throw usage_error(out ? "written" : "not written");
  };
  EXPECT_EQ(refusal({}, write), "not written");
  EXPECT_EQ(refusal({.writes_files = true}, write), "written");
}

TEST(Guarded, a_file_is_written_whole_or_not_at_all) {
  const TemporaryFolder folder;
  const auto files = [&] {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
      names.push_back(entry.path().filename());
    return names;
  };
  const auto half = [](const Emit& emit) -> ExitCode {
    emit(std::string(5'000'000, 'x'));
    throw usage_error("no more");
  };
  EXPECT_EQ(error_of(ExitCode::usage, [&] { write_guarded({}, folder / "out", false, half); }), "no more");
  EXPECT_TRUE(files().empty());
  const auto whole = [](const Emit& emit) {
    emit("whole");
    return ExitCode::fail;
  };
  EXPECT_EQ(write_guarded({}, folder / "out", false, whole), ExitCode::fail);
  EXPECT_EQ(file_text(folder / "out"), "whole");
  EXPECT_THAT(error_of(ExitCode::usage, [&] { write_guarded({}, folder / "out", false, half); }),
              AllOf(HasSubstr("exists"), HasSubstr("--force")));
  EXPECT_EQ(error_of(ExitCode::usage, [&] { write_guarded({}, folder / "out", true, half); }), "no more");
  EXPECT_EQ(file_text(folder / "out"), "whole");
  EXPECT_EQ(files().size(), 1U);
}

}  // namespace
}  // namespace rackproof
