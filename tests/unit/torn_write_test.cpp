// A kill can end a write(2) between two pages. Here every write to a result file is looked at: the file as it stood
// before it, and as it stands where the write ended at each page, must give every case that had finished.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "results/reader.hpp"
#include "results/recover.hpp"
#include "tests/unit/result_file_fixture.hpp"

namespace {

using Write = std::function<void(int descriptor, const char* bytes, std::size_t count, off_t offset)>;

/// Called before every pwrite() of this process, HDF5's among them.
Write& observer() {
  static Write write;
  return write;
}

template <typename Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

ssize_t observed(const char* name, int descriptor, const void* bytes, std::size_t count, off_t offset) {
  if (observer()) {
    const Write watch = std::exchange(observer(), nullptr);
    watch(descriptor, static_cast<const char*>(bytes), count, offset);
    observer() = watch;
  }
  return next<ssize_t(int, const void*, std::size_t, off_t)>(name)(descriptor, bytes, count, offset);
}

}  // namespace

// In front of the C library's: the linker exports them, because libhdf5 wants them.
extern "C" {
ssize_t pwrite(int descriptor, const void* bytes, std::size_t count, off_t offset) {
  return observed("pwrite", descriptor, bytes, count, offset);
}
ssize_t pwrite64(int descriptor, const void* bytes, std::size_t count, off_t offset) {
  return observed("pwrite64", descriptor, bytes, count, offset);
}
}

namespace rackproof::results {
namespace {

using namespace rackproof::results::testing;

constexpr std::size_t page = 4096;
constexpr int samples = 30;

RunHeader header_of(std::size_t cases) {
  RunHeader header = example_header();
  header.suites.resize(1);
  const CaseHeader one = header.suites[0].cases[0];
  header.suites[0].cases.assign(cases, one);
  for (std::size_t c = 0; c < cases; ++c) header.suites[0].cases[c].name = "gemm/" + std::to_string(c);
  return header;
}

/// What `part` gives must be the first `finished` cases, whole, and at most one more.
void expect_recovered(const std::filesystem::path& part, std::size_t finished) {
  RecoverReport report;
  try {
    report = recover(part, {.force = true});
  } catch (const Error& error) {
    EXPECT_EQ(finished, 0U) << error.line();
    return;
  }
  EXPECT_GE(report.finished, finished);
  EXPECT_LE(report.finished, finished + 1);
  EXPECT_TRUE(report.damaged.empty()) << report.damaged.size() << " damaged, the first: " << report.damaged.front();
  const ResultFile file(report.out);
  // The report tells of all; the bits are compared of some, for there are many moments.
  for (std::size_t c = finished % 2; c < finished; c += std::max<std::size_t>(1, finished / 8)) {
    const RankBlock wanted = example_block(0, c, 0, 3, samples);
    const RankBlock block = file.block(0, c, 0, 3);
    EXPECT_EQ(block.time, wanted.time);
    EXPECT_EQ(block.digest, wanted.digest);
    EXPECT_EQ(block.samples, wanted.samples);
    EXPECT_EQ(file.outcome(0, c).message, example_outcome(0, c, 3, samples).message);
    EXPECT_EQ(file.figure_time(0, c), example_outcome(0, c, 3, samples).figure_time);
  }
}

struct Moments {
  int whole = 0;
  int torn = 0;
};

/// Writes `measured` of `cases` cases and, while it writes those that `watched` names, recovers at every moment at
/// which a kill could leave the file. `whole_chunks`: all ranks in one block, which we pack ourselves; else in two.
Moments recover_at_every_moment(std::size_t cases, std::size_t measured,
                                const std::function<bool(std::size_t which)>& watched, bool whole_chunks = false) {
  const TemporaryFolder folder;
  const RunHeader header = header_of(cases);
  Writer writer(folder / "run.h5", header);
  const std::filesystem::path part = folder / "run.h5.part";
  const std::filesystem::path moment = folder / "moment.h5.part";
  struct stat of_part {};
  EXPECT_EQ(::stat(part.c_str(), &of_part), 0);
  Moments moments;
  std::size_t finished = 0;
  const Write watch = [&](int descriptor, const char* bytes, std::size_t count, off_t offset) {
    struct stat written {};
    if (::fstat(descriptor, &written) != 0 || written.st_ino != of_part.st_ino) return;
    const auto at = static_cast<std::size_t>(offset);
    SCOPED_TRACE("write of " + std::to_string(count) + " bytes at " + std::to_string(at) + " after case " +
                 std::to_string(finished));
    for (std::size_t kept = 0; kept < count; kept += page - (at + kept) % page) {
      std::filesystem::copy_file(part, moment, std::filesystem::copy_options::overwrite_existing);
      if (kept > 0) {
        std::fstream file(moment, std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(offset);
        file.write(bytes, static_cast<std::streamsize>(kept));
      }
      ++(kept > 0 ? moments.torn : moments.whole);
      expect_recovered(moment, finished);
    }
  };
  for (std::size_t c = 0; c < measured && !::testing::Test::HasFailure(); ++c) {
    observer() = watched(c) ? watch : Write{};
    if (whole_chunks) {
      writer.write_block(0, c, example_block(0, c, 0, 3, samples));
    } else {
      writer.write_block(0, c, example_block(0, c, 0, 2, samples));
      writer.write_block(0, c, example_block(0, c, 2, 1, samples));
    }
    writer.finish_case(0, c, example_outcome(0, c, 3, samples));
    observer() = nullptr;
    ++finished;
  }
  return moments;
}

TEST(TornWrite, loses_no_finished_case_of_few) {
  const Moments moments = recover_at_every_moment(6, 3, [](std::size_t) { return true; });
  EXPECT_GT(moments.whole, 30);
}

TEST(TornWrite, loses_no_finished_case_of_whole_chunks) {
  const Moments moments = recover_at_every_moment(
      6, 3, [](std::size_t) { return true; }, true);
  EXPECT_GT(moments.whole, 30);
}

TEST(TornWrite, loses_no_finished_case_while_the_index_of_chunks_grows) {
  // HDF5's extensible array gets new blocks with its 5th, 21st, 53rd and 117th chunk.
  const Moments moments = recover_at_every_moment(
      120, 117, [](std::size_t which) { return which == 4 || which == 20 || which == 52 || which == 116; }, true);
  EXPECT_GT(moments.whole, 100);
}

TEST(TornWrite, loses_no_finished_case_where_columns_are_longer_than_a_page) {
  const Moments moments = recover_at_every_moment(2500, 2, [](std::size_t) { return true; });
  EXPECT_GT(moments.whole, 20);
  EXPECT_GT(moments.torn, 10);
}

}  // namespace
}  // namespace rackproof::results
