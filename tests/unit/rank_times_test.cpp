// The times of all ranks, read chunk by chunk past HDF5's filters, beside what HDF5 itself reads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "common/stats/order_statistics.hpp"
#include "results/case_summary.hpp"
#include "results/chunk_codec.hpp"
#include "results/reader.hpp"
#include "results/recover.hpp"
#include "tests/bench/synthetic_run.hpp"
#include "tests/unit/result_file_fixture.hpp"

namespace rackproof::results {
namespace {

using namespace rackproof::results::testing;
using ::testing::HasSubstr;

/// Rank by rank, the times alone.
std::vector<std::vector<double>> times_of(const ResultFile& file, std::size_t suite, std::size_t which) {
  std::vector<std::vector<double>> all(file.header().ranks.size());
  std::vector<int> calls(all.size());
  std::mutex mutex;
  file.for_each_times(suite, which, [&](const RankTimes& times) {
    const std::lock_guard lock(mutex);
    for (std::size_t row = 0; row < times.samples.size(); ++row) {
      const std::size_t rank = static_cast<std::size_t>(times.first_rank) + row;
      ++calls[rank];
      all[rank].assign(times.of(row).begin(), times.of(row).end());
    }
  });
  EXPECT_TRUE(std::all_of(calls.begin(), calls.end(), [](int n) { return n == 1; })) << "every rank once";
  return all;
}

/// The same by block().
std::vector<std::vector<double>> plain_times_of(const ResultFile& file, std::size_t suite, std::size_t which) {
  std::vector<std::vector<double>> all;
  const RankBlock block = file.block(suite, which, 0, static_cast<int>(file.header().ranks.size()));
  for (std::size_t row = 0; row < block.samples.size(); ++row) {
    const auto begin = block.time.begin() + static_cast<std::ptrdiff_t>(row) * block.columns;
    all.emplace_back(begin, begin + block.samples[row]);
  }
  return all;
}

/// NaN equals NaN here.
bool same(const std::vector<std::vector<double>>& a, const std::vector<std::vector<double>>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& one, const auto& other) {
    return one.size() == other.size() &&
           (one.empty() || std::memcmp(one.data(), other.data(), one.size() * sizeof(double)) == 0);
  });
}

void expect_same_times(const ResultFile& file) {
  for (std::size_t s = 0; s < file.header().suites.size(); ++s) {
    for (std::size_t c = 0; c < file.header().suites[s].cases.size(); ++c) {
      EXPECT_TRUE(same(times_of(file, s, c), plain_times_of(file, s, c))) << file.header().suites[s].cases[c].name;
    }
  }
}

/// 1100 ranks, which fill a chunk and a part of another, and room for 300 samples, which are three chunks. Counts of 0
/// to 200, a day among the times of every seventh rank. `step`: ranks of a block.
std::filesystem::path write_ragged(const std::filesystem::path& path, int step, bool finish = true) {
  const SyntheticRun run({.ranks = 1100, .cases = 4, .samples = 200, .room = 300});
  Writer writer(path, run.header());
  for (int first = 0; first < 1100; first += step) {
    RankBlock block = run.block(0, 0, first, std::min(step, 1100 - first));
    for (int row = 0; row < block.ranks(); ++row) {
      const int rank = first + row;
      block.samples[static_cast<std::size_t>(row)] = rank % 201;
      if (rank % 7 == 0) block.time[static_cast<std::size_t>(row) * 200 + 5] = 86400.0;
    }
    writer.write_block(0, 0, block);
  }
  writer.finish_case(0, 0, run.outcome(0, 0));
  if (finish) writer.finish();
  return path;
}

TEST(RankTimes, are_those_that_hdf5_reads) {
  const TemporaryFolder folder;
  expect_same_times(ResultFile(write_example(folder / "small.h5")));
  expect_same_times(ResultFile(write_synthetic(folder / "one.h5", {.ranks = 1, .cases = 4, .samples = 1})));
  expect_same_times(ResultFile(write_synthetic(folder / "many.h5", {.ranks = 2500, .cases = 5, .samples = 9})));
}

TEST(RankTimes, are_whole_where_ranks_and_samples_are_no_multiple_of_a_chunk) {
  const TemporaryFolder folder;
  const ResultFile file(write_ragged(folder / "run.h5", 1024));
  const auto times = times_of(file, 0, 0);
  EXPECT_TRUE(same(times, plain_times_of(file, 0, 0)));
  const SyntheticRun run({.ranks = 1100, .cases = 4, .samples = 200, .room = 300});
  const RankBlock last = run.block(0, 0, 1024, 76);
  EXPECT_EQ(times[0].size(), 0U);
  ASSERT_EQ(times[1100 - 1].size(), (1100U - 1U) % 201U);
  EXPECT_EQ(times[1100 - 1].back(), last.time[75 * 200 + 1099 % 201 - 1]);
  EXPECT_EQ(times[7][5], 86400.0);
}

TEST(RankTimes, are_read_where_hdf5_has_packed_them) {
  const TemporaryFolder folder;
  // Blocks that are no whole chunks go through HDF5's own filters.
  const ResultFile by_hdf5(write_ragged(folder / "by-hdf5.h5", 500));
  const ResultFile by_us(write_ragged(folder / "by-us.h5", 1024));
  EXPECT_TRUE(same(times_of(by_hdf5, 0, 0), times_of(by_us, 0, 0)));
}

TEST(RankTimes, survive_a_run_that_broke_off) {
  const TemporaryFolder folder;
  const ResultFile whole(write_ragged(folder / "whole.h5", 1024));
  const auto wanted = times_of(whole, 0, 0);
  write_ragged(folder / "run.h5", 1024, false);
  EXPECT_TRUE(same(times_of(ResultFile(folder / "run.h5.part"), 0, 0), wanted));
  const RecoverReport report = recover(folder / "run.h5.part");
  EXPECT_EQ(report.finished, 1U);
  EXPECT_TRUE(same(times_of(ResultFile(report.out), 0, 0), wanted));
}

TEST(RankTimes, give_the_medians_and_summaries_of_cases) {
  const TemporaryFolder folder;
  const ResultFile file(write_synthetic(folder / "run.h5", {.ranks = 1030, .cases = 10, .samples = 40}));
  for (std::size_t s = 0; s < file.header().suites.size(); ++s) {
    const auto times = plain_times_of(file, s, 0);
    const CaseMedians all = medians(file, s, 0);
    const CaseSummary summary = summarise(file, s, 0);
    std::vector<double> middles;
    for (std::size_t rank = 0; rank < times.size(); ++rank) {
      middles.push_back(stats::median(times[rank]));
      EXPECT_EQ(all.rank_time[rank], middles.back());
      EXPECT_EQ(summary.ranks[rank].time.median, middles.back());
      EXPECT_EQ(all.samples[rank], static_cast<std::int32_t>(times[rank].size()));
    }
    const bool collective = file.header().suites[s].cases[0].collective;
    EXPECT_EQ(all.time, stats::median(collective ? file.figure_time(s, 0) : middles));
    EXPECT_EQ(summary.time.median, all.time);
    EXPECT_EQ(summary.ranks[5].digest, file.block(s, 0, 5, 1).digest[0]);
    EXPECT_EQ(summary.ranks[5].verify_error, file.block(s, 0, 5, 1).verify_error[0]);
    EXPECT_EQ(summary.flags, schema::flag_late);
  }
}

// ---- damage ----

/// Spoils the only chunk of the first case's times.
void spoil(const std::filesystem::path& path, const std::function<void(hid_t time)>& change) {
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  ASSERT_GE(file, 0);
  const hid_t time = H5Dopen2(file, "suites/gemm/time", H5P_DEFAULT);
  ASSERT_GE(time, 0);
  change(time);
  H5Dclose(time);
  ASSERT_GE(H5Fclose(file), 0);
}

void put_chunk(hid_t time, const std::vector<char>& bytes, std::uint32_t skipped_filters = 0) {
  const std::array<hsize_t, 3> offset{0, 0, 0};
  ASSERT_GE(H5Dwrite_chunk(time, H5P_DEFAULT, skipped_filters, offset.data(), bytes.size(), bytes.data()), 0);
}

std::vector<char> packed_by(ChunkPacker& packer, const std::vector<char>& chunk) {
  ByteBuffer buffer;
  packer.pack(chunk, sizeof(double), buffer);
  return {buffer.bytes().begin(), buffer.bytes().end()};
}

std::string complaint_about(const std::filesystem::path& path) {
  return error_of(ExitCode::usage, [&] { static_cast<void>(medians(ResultFile(path), 0, 0)); });
}

TEST(RankTimes, of_damaged_chunks_are_refused_in_one_line) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "run.h5";
  constexpr std::size_t chunk_bytes = sizeof(double) * 3 * 40;
  ChunkPacker packer;
  const std::vector<char> sound = packed_by(packer, std::vector<char>(chunk_bytes));
  std::vector<char> noise(3000);
  std::mt19937 random(3);
  for (char& byte : noise) byte = static_cast<char>(random());
  const std::vector<char> bomb = packed_by(packer, std::vector<char>(std::size_t{64} << 20));
  std::vector<char> huge = sound;
  huge.resize(1 << 20);
  const std::vector<std::pair<std::vector<char>, const char*>> spoilt{
      {noise, "cannot be decompressed"},
      {{sound.begin(), sound.end() - 6}, "cannot be decompressed"},
      {packed_by(packer, std::vector<char>(chunk_bytes - 8)), "cannot be decompressed"},
      {bomb, "absurd size"},
      {huge, "absurd size"}};
  for (const auto& [bytes, why] : spoilt) {
    std::filesystem::remove(path);
    write_example(path);
    spoil(path, [&chunk = bytes](hid_t time) { put_chunk(time, chunk); });
    EXPECT_THAT(complaint_about(path), ::testing::AllOf(HasSubstr("run.h5'"), HasSubstr(why)));
  }
}

TEST(RankTimes, of_a_chunk_that_some_filters_left_out_are_those_that_hdf5_reads) {
  const TemporaryFolder folder;
  write_example(folder / "run.h5");
  std::vector<double> values(3 * 40, 0.25);
  std::vector<char> bytes(values.size() * sizeof(double));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  spoil(folder / "run.h5", [&](hid_t time) { put_chunk(time, bytes, 3); });
  const ResultFile file(folder / "run.h5");
  EXPECT_EQ(times_of(file, 0, 0)[1], std::vector<double>(30, 0.25));
  EXPECT_TRUE(same(times_of(file, 0, 0), plain_times_of(file, 0, 0)));
}

TEST(RankTimes, of_a_chunk_that_was_never_written_are_refused) {
  const TemporaryFolder folder;
  {
    Writer writer(folder / "run.h5", example_header());
    writer.finish_case(0, 0, example_outcome(0, 0, 3, 10));
    writer.finish();
  }
  const hid_t file_id = H5Fopen((folder / "run.h5").c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  const hid_t samples = H5Dopen2(file_id, "suites/gemm/samples", H5P_DEFAULT);
  const std::vector<std::int32_t> counts{5, 6, 7, 0, 0, 0, 0, 0, 0};
  ASSERT_GE(H5Dwrite(samples, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, counts.data()), 0);
  H5Dclose(samples);
  H5Fclose(file_id);
  const ResultFile file(folder / "run.h5");
  EXPECT_THAT(error_of(ExitCode::usage, [&] { (void)medians(file, 0, 0); }),
              HasSubstr("case 'gemm/f32/m1000n1000k1000': time of rank 0: sample 1 of 5 is nan s"));
}

}  // namespace
}  // namespace rackproof::results
