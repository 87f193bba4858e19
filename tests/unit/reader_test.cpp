#include "results/reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "results/show.hpp"
#include "tests/unit/result_file_fixture.hpp"

namespace rackproof::results {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using namespace rackproof::results::testing;

/// What opening and reading all of a file says; empty where nothing is wrong.
std::string complaint(const std::filesystem::path& path) {
  try {
    const ResultFile file(path);
    for (std::size_t s = 0; s < file.header().suites.size(); ++s) {
      for (std::size_t c = 0; c < file.header().suites[s].cases.size(); ++c) {
        static_cast<void>(file.block(s, c, 0, static_cast<int>(file.header().ranks.size())));
        static_cast<void>(file.figure_time(s, c));
      }
    }
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.exit_code()), static_cast<int>(ExitCode::usage)) << error.line();
    EXPECT_THAT(error.line(), AllOf(HasSubstr(path.filename().string()), Not(HasSubstr("\n"))));
    return error.line();
  }
  return {};
}

/// The example, spoilt by `spoil` with plain HDF5 calls.
std::string complaint_after(const std::function<void(hid_t file)>& spoil) {
  const TemporaryFolder folder;
  write_example(folder / "run.h5");
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
  const hid_t file = H5Fopen((folder / "run.h5").c_str(), H5F_ACC_RDWR, access);
  EXPECT_GE(file, 0);
  spoil(file);
  H5Pclose(access);
  EXPECT_GE(H5Fclose(file), 0);
  const std::string line = complaint(folder / "run.h5");
  EXPECT_FALSE(line.empty()) << "nobody complained";
  return line;
}

/// Puts a new dataset into the place of another.
void replace(hid_t file, const char* name, hid_t type, const std::vector<hsize_t>& extents,
             hid_t creation = H5P_DEFAULT) {
  ASSERT_GE(H5Ldelete(file, name, H5P_DEFAULT), 0) << name;
  const hid_t space = H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr);
  const hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
  ASSERT_GE(dataset, 0) << name;
  H5Dclose(dataset);
  H5Sclose(space);
}

template <typename T>
void overwrite(hid_t file, const char* name, hid_t type, const std::vector<T>& values) {
  const hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
  ASSERT_GE(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0) << name;
  H5Dclose(dataset);
}

TEST(Reader, refuses_what_is_no_hdf5_file) {
  const TemporaryFolder folder;
  EXPECT_THAT(complaint(folder / "none.h5"), HasSubstr("no such file"));
  EXPECT_THAT(error_of(ExitCode::usage, [&] { ResultFile(folder.path()); }), HasSubstr("no regular file"));
  write_text(folder / "empty.h5", "");
  EXPECT_THAT(complaint(folder / "empty.h5"), HasSubstr("is empty"));
  write_text(folder / "text.h5", "case,time\n1,2\n");
  EXPECT_THAT(complaint(folder / "text.h5"), HasSubstr("not in the HDF5 format"));
  write_text(folder / "zeros.h5", std::string(100000, '\0'));
  EXPECT_NE(complaint(folder / "zeros.h5"), "");
  write_text(folder / "signature.h5", "\x89HDF\r\n\x1a\n" + std::string(3000, 'x'));
  EXPECT_NE(complaint(folder / "signature.h5"), "");
  ASSERT_EQ(::mkfifo((folder / "pipe.h5").c_str(), 0600), 0);
  EXPECT_THAT(complaint(folder / "pipe.h5"), HasSubstr("no regular file"));
}

TEST(Reader, makes_a_name_with_control_characters_printable) {
  const TemporaryFolder folder;
  write_text(folder / "a\x1b[31m\nb.h5", "x");
  EXPECT_THAT(error_of(ExitCode::usage, [&] { ResultFile(folder / "a\x1b[31m\nb.h5"); }), HasSubstr("a?[31m?b.h5'"));
}

TEST(Reader, refuses_other_peoples_hdf5_files) {
  const TemporaryFolder folder;
  write_example(folder / "run.h5");  // also readies the library
  const hid_t file = H5Fcreate((folder / "foreign.h5").c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  ASSERT_GE(file, 0);
  H5Fclose(file);
  EXPECT_THAT(complaint(folder / "foreign.h5"), HasSubstr("no result file of rackproof, though in the HDF5 format"));
}

TEST(Reader, names_the_version_that_reads_a_newer_schema) {
  const std::string line = complaint_after([](hid_t file) {
    const hid_t attribute = H5Aopen(file, "schema_version", H5P_DEFAULT);
    const std::int64_t version = 7;
    H5Awrite(attribute, H5T_NATIVE_INT64, &version);
    H5Aclose(attribute);
  });
  EXPECT_THAT(line,
              AllOf(HasSubstr("schema version 7"), HasSubstr("reads up to 1"), HasSubstr("rackproof 0.1.0 or later")));
}

TEST(Reader, refuses_attributes_that_are_missing_or_of_another_type) {
  EXPECT_THAT(complaint_after([](hid_t file) { H5Adelete(file, "run_id"); }), HasSubstr("no attribute 'run_id'"));
  EXPECT_THAT(complaint_after([](hid_t file) {
                H5Adelete(file, "schema_name");
                const hid_t space = H5Screate(H5S_SCALAR);
                H5Aclose(H5Acreate2(file, "schema_name", H5T_NATIVE_INT, space, H5P_DEFAULT, H5P_DEFAULT));
                H5Sclose(space);
              }),
              HasSubstr("'schema_name'"));
}

TEST(Reader, refuses_datasets_that_are_missing) {
  for (const char* name : {"rank",
                           "hostname",
                           "provenance",
                           "suites",
                           "suites/gemm/case",
                           "suites/gemm/sample",
                           "suites/gemm/time",
                           "suites/gemm/begin",
                           "suites/gemm/flags",
                           "suites/gemm/figure_time",
                           "suites/gemm/samples",
                           "suites/gemm/verify_error",
                           "suites/gemm/digest",
                           "suites/gemm/status",
                           "suites/gemm/stop_reason",
                           "suites/gemm/warmup_steps",
                           "suites/gemm/clock_error",
                           "suites/gemm/flop",
                           "suites/gemm/message_size",
                           "suites/gemm/collective",
                           "suites/gemm/message",
                           "suites/gemm/figures"}) {
    const std::string line = complaint_after([&](hid_t file) { H5Ldelete(file, name, H5P_DEFAULT); });
    EXPECT_THAT(line, HasSubstr(std::string("it has no /") + name));
  }
}

TEST(Reader, refuses_datasets_of_another_type_or_shape) {
  EXPECT_THAT(complaint_after([](hid_t file) {
                replace(file, "suites/gemm/time", H5T_NATIVE_INT, {3, 3, 40});
              }),
              HasSubstr("/suites/gemm/time has the wrong type"));
  EXPECT_THAT(complaint_after([](hid_t file) {
                replace(file, "suites/gemm/time", H5T_NATIVE_DOUBLE, {3, 40, 3});
              }),
              HasSubstr("/suites/gemm/time has the shape (3, 40, 3), not (3, 3, 40)"));
  EXPECT_THAT(complaint_after([](hid_t file) { replace(file, "suites/gemm/status", H5T_NATIVE_INT8, {2}); }),
              HasSubstr("/suites/gemm/status has the shape (2)"));
  EXPECT_THAT(complaint_after([](hid_t file) { replace(file, "hostname", H5T_NATIVE_INT8, {3}); }),
              HasSubstr("/hostname has the wrong type"));
  EXPECT_THAT(complaint_after([](hid_t file) {
                replace(file, "suites/gemm/figure_time", H5T_NATIVE_DOUBLE, {1, 1, 1, 1});
              }),
              HasSubstr("/suites/gemm/figure_time has a shape of its own"));
  EXPECT_THAT(complaint_after([](hid_t file) {
                const hid_t dataset = H5Dopen2(file, "suites/gemm/verify_error", H5P_DEFAULT);
                const hid_t space = H5Screate(H5S_SCALAR);
                H5Aclose(H5Acreate2(dataset, "parameter", H5T_NATIVE_INT, space, H5P_DEFAULT, H5P_DEFAULT));
                H5Sclose(space);
                H5Dclose(dataset);
              }),
              HasSubstr("attribute 'parameter' of /suites/gemm/verify_error is no text"));
}

TEST(Reader, refuses_extents_that_would_need_absurd_memory) {
  constexpr hsize_t huge = hsize_t{1} << 40;
  const hid_t late = H5Pcreate(H5P_DATASET_CREATE);  // of which nothing is stored
  H5Pset_alloc_time(late, H5D_ALLOC_TIME_LATE);
  EXPECT_THAT(complaint_after([&](hid_t file) { replace(file, "rank", H5T_NATIVE_INT, {huge}, late); }),
              HasSubstr("/rank has the shape"));
  EXPECT_THAT(complaint_after([&](hid_t file) { replace(file, "suites/gemm/sample", H5T_NATIVE_INT, {huge}, late); }),
              HasSubstr("/suites/gemm/sample has the shape"));
  EXPECT_THAT(complaint_after([&](hid_t file) {
                replace(file, "suites/gemm/message", H5T_C_S1, {3, huge}, late);
              }),
              HasSubstr("/suites/gemm/message"));
  const hid_t chunked = H5Pcreate(H5P_DATASET_CREATE);
  const std::array<hsize_t, 3> chunk{1, 1 << 10, 1 << 18};
  H5Pset_chunk(chunked, 3, chunk.data());
  EXPECT_THAT(complaint_after([&](hid_t file) {
                // Extents that fit, in chunks that do not.
                ASSERT_GE(H5Ldelete(file, "suites/gemm/time", H5P_DEFAULT), 0);
                const std::array<hsize_t, 3> now{3, 3, 40};
                const std::array<hsize_t, 3> most{H5S_UNLIMITED, H5S_UNLIMITED, H5S_UNLIMITED};
                const hid_t space = H5Screate_simple(3, now.data(), most.data());
                const hid_t dataset =
                    H5Dcreate2(file, "suites/gemm/time", H5T_NATIVE_DOUBLE, space, H5P_DEFAULT, chunked, H5P_DEFAULT);
                ASSERT_GE(dataset, 0);
                H5Dclose(dataset);
                H5Sclose(space);
              }),
              HasSubstr("chunks of absurd size"));
  H5Pclose(chunked);
  H5Pclose(late);
}

TEST(Reader, refuses_values_that_mean_nothing) {
  EXPECT_THAT(complaint_after([](hid_t file) {
                overwrite<std::int8_t>(file, "suites/gemm/status", H5T_NATIVE_INT8, {1, 6, 1});
              }),
              HasSubstr("/suites/gemm/status has the value 6"));
  EXPECT_THAT(complaint_after([](hid_t file) {
                overwrite<std::int8_t>(file, "suites/gemm/stop_reason", H5T_NATIVE_INT8, {0, 0, -2});
              }),
              HasSubstr("stop_reason has the value -2"));
  for (const std::int32_t bad : {-1, 41}) {
    EXPECT_THAT(
        complaint_after([bad](hid_t file) {
          overwrite<std::int32_t>(file, "suites/gemm/samples", H5T_NATIVE_INT32, {30, 30, 30, 30, bad, 30, 30, 30, 30});
        }),
        HasSubstr("/suites/gemm/samples has the value " + std::to_string(bad)));
  }
}

/// One number of a dataset (C,R,S) or (C,S).
void set_one(hid_t file, const char* name, const std::vector<hsize_t>& at, double value) {
  const hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
  const hid_t space = H5Dget_space(dataset);
  const hid_t memory = H5Screate(H5S_SCALAR);
  ASSERT_GE(H5Sselect_elements(space, H5S_SELECT_SET, 1, at.data()), 0);
  ASSERT_GE(H5Dwrite(dataset, H5T_NATIVE_DOUBLE, memory, space, H5P_DEFAULT, &value), 0) << name;
  H5Sclose(memory);
  H5Sclose(space);
  H5Dclose(dataset);
}

TEST(Reader, refuses_samples_that_are_no_times) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (const double bad : {0.0, -1.0, 1e-320, 1e300, infinity, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_THAT(complaint_after([bad](hid_t file) {
                  set_one(file, "suites/gemm/time", {1, 2, 7}, bad);
                }),
                AllOf(HasSubstr("case 'gemm/bf16/m1000n1000k1000/packed': time of rank 2: sample 8 of 30 is"),
                      HasSubstr("no time that anything takes")));
    EXPECT_THAT(complaint_after([bad](hid_t file) {
                  set_one(file, "suites/allreduce/figure_time", {0, 7}, bad);
                }),
                HasSubstr("case 'allreduce/f32/sum/8B': figure_time: sample 8 of 30 is"));
  }
}

TEST(Reader, minds_no_times_behind_the_samples_that_count) {
  const TemporaryFolder folder;
  RunHeader header = example_header();
  {
    Writer writer(folder / "run.h5", header);
    RankBlock block = example_block(0, 0, 0, 3, 30, true);
    block.samples[1] = 0;  // takes no part
    std::fill(block.time.begin() + 30, block.time.begin() + 60, std::numeric_limits<double>::quiet_NaN());
    writer.write_block(0, 0, block);
    writer.finish_case(0, 0, example_outcome(0, 0, 3, 30));
    writer.finish();
  }
  EXPECT_EQ(complaint(folder / "run.h5"), "");
  const ResultFile file(folder / "run.h5");
  std::size_t values = 0;
  file.for_each_times(0, 0, [&](const RankTimes& times) {
    for (std::size_t row = 0; row < times.samples.size(); ++row) values += times.of(row).size();
  });
  EXPECT_EQ(values, 30U + 28U);
  EXPECT_DOUBLE_EQ(file.verify_errors(0, 0).at(2), 0.1 * 3);
}

TEST(Reader, times_that_are_read_by_themselves_are_checked_too) {
  const TemporaryFolder folder;
  write_example(folder / "run.h5");
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
  const hid_t hdf5 = H5Fopen((folder / "run.h5").c_str(), H5F_ACC_RDWR, access);
  set_one(hdf5, "suites/gemm/time", {1, 2, 7}, 0.0);
  H5Pclose(access);
  ASSERT_GE(H5Fclose(hdf5), 0);
  const ResultFile file(folder / "run.h5");
  const auto ignore = [](const RankTimes&) {};
  file.for_each_times(0, 0, ignore);
  EXPECT_THAT(error_of(ExitCode::usage, [&] { file.for_each_times(0, 1, ignore); }),
              AllOf(HasSubstr("run.h5"), HasSubstr("time of rank 2")));
}

TEST(Reader, follows_no_link_out_of_the_file) {
  EXPECT_THAT(complaint_after([](hid_t file) {
                H5Ldelete(file, "suites/gemm/time", H5P_DEFAULT);
                H5Lcreate_external("/etc/other.h5", "/time", file, "suites/gemm/time", H5P_DEFAULT, H5P_DEFAULT);
              }),
              HasSubstr("/suites/gemm/time is a link to elsewhere"));
  EXPECT_THAT(complaint_after([](hid_t file) {
                H5Ldelete(file, "suites/gemm", H5P_DEFAULT);
                H5Lcreate_soft("/suites/allreduce", file, "suites/gemm", H5P_DEFAULT, H5P_DEFAULT);
              }),
              HasSubstr("/suites/gemm is a link to elsewhere"));
  EXPECT_THAT(complaint_after([](hid_t file) {
                const hid_t outside = H5Pcreate(H5P_DATASET_CREATE);
                H5Pset_external(outside, "/etc/passwd", 0, 3 * sizeof(double));
                replace(file, "suites/gemm/flop", H5T_NATIVE_DOUBLE, {3}, outside);
                H5Pclose(outside);
              }),
              HasSubstr("/suites/gemm/flop is stored elsewhere"));
}

TEST(Reader, opens_no_file_that_a_virtual_dataset_is_made_of) {
  const TemporaryFolder folder;
  // Whoever opens this to read waits for ever.
  ASSERT_EQ(::mkfifo((folder / "pipe.h5").c_str(), 0600), 0);
  for (const hsize_t most : {hsize_t{3}, H5S_UNLIMITED}) {
    EXPECT_THAT(complaint_after([&](hid_t file) {
                  ASSERT_GE(H5Ldelete(file, "suites/gemm/flop", H5P_DEFAULT), 0);
                  const std::array<hsize_t, 1> now{3};
                  const std::array<hsize_t, 1> start{0};
                  const std::array<hsize_t, 1> one{1};
                  const std::array<hsize_t, 1> count{most};
                  const hid_t space = H5Screate_simple(1, now.data(), count.data());
                  const hid_t from = H5Screate_simple(1, now.data(), count.data());
                  for (const hid_t either : {space, from}) {
                    H5Sselect_hyperslab(either, H5S_SELECT_SET, start.data(), nullptr, count.data(), one.data());
                  }
                  const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
                  ASSERT_GE(H5Pset_virtual(creation, space, (folder / "pipe.h5").c_str(), "flop", from), 0);
                  const hid_t dataset = H5Dcreate2(file, "suites/gemm/flop", H5T_NATIVE_DOUBLE, space, H5P_DEFAULT,
                                                   creation, H5P_DEFAULT);
                  ASSERT_GE(dataset, 0);
                  H5Dclose(dataset);
                  H5Pclose(creation);
                  H5Sclose(from);
                  H5Sclose(space);
                }),
                HasSubstr("/suites/gemm/flop is stored elsewhere"));
  }
}

TEST(Reader, does_not_follow_groups_that_hold_themselves) {
  const TemporaryFolder folder;
  write_example(folder / "run.h5");
  const hid_t file = H5Fopen((folder / "run.h5").c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  ASSERT_GE(file, 0);
  for (const char* name : {"again", "provenance/again", "suites/gemm/again", "suites/gemm/figures/again"}) {
    ASSERT_GE(H5Lcreate_hard(file, "/", file, name, H5P_DEFAULT, H5P_DEFAULT), 0) << name;
  }
  H5Fclose(file);
  EXPECT_THAT(complaint(folder / "run.h5"), HasSubstr("again is no dataset"));
}

TEST(Reader, refuses_user_blocks_and_what_is_packed_more_than_once) {
  const TemporaryFolder folder;
  const std::string whole = file_text(write_example(folder / "run.h5"));
  write_text(folder / "moved.h5", std::string(512, 'x') + whole);
  EXPECT_THAT(complaint(folder / "moved.h5"), HasSubstr("moved.h5"));
  const auto packed = [](const std::vector<H5Z_filter_t>& filters) {
    return complaint_after([&](hid_t file) {
      const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
      const std::array<hsize_t, 1> chunk{3};
      H5Pset_chunk(creation, 1, chunk.data());
      for (const H5Z_filter_t filter : filters) {
        if (filter == H5Z_FILTER_SHUFFLE) H5Pset_shuffle(creation);
        if (filter == H5Z_FILTER_FLETCHER32) H5Pset_fletcher32(creation);
        if (filter == H5Z_FILTER_DEFLATE) H5Pset_deflate(creation, 9);
      }
      replace(file, "suites/gemm/flop", H5T_NATIVE_DOUBLE, {3}, creation);
      H5Pclose(creation);
    });
  };
  EXPECT_THAT(packed({H5Z_FILTER_DEFLATE, H5Z_FILTER_DEFLATE}), HasSubstr("same filter more than once"));
  EXPECT_THAT(packed(std::vector<H5Z_filter_t>(20, H5Z_FILTER_DEFLATE)), HasSubstr("packed by 20 filters"));
}

TEST(Reader, loads_no_filter_plugin) {
  EXPECT_THAT(complaint_after([](hid_t file) {
                const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
                const std::array<hsize_t, 1> chunk{3};
                H5Pset_chunk(creation, 1, chunk.data());
                H5Pset_filter(creation, 32013, H5Z_FLAG_OPTIONAL, 0, nullptr);
                replace(file, "suites/gemm/flop", H5T_NATIVE_DOUBLE, {3}, creation);
                H5Pclose(creation);
              }),
              HasSubstr("packed by a filter that is not ours (32013)"));
}

TEST(Reader, reads_past_what_a_later_version_may_add) {
  const TemporaryFolder folder;
  write_example(folder / "run.h5");
  const hid_t file = H5Fopen((folder / "run.h5").c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  ASSERT_GE(file, 0);
  H5Gclose(H5Gcreate2(file, "telemetry", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  const hid_t space = H5Screate(H5S_SCALAR);
  H5Dclose(H5Dcreate2(file, "suites/gemm/new_column", H5T_NATIVE_INT, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  H5Sclose(space);
  H5Fclose(file);
  EXPECT_EQ(complaint(folder / "run.h5"), "");
}

// ---- damage ----

/// Reads and shows a file in a child with bounded memory and time. Returns its exit code: 0 or 2; -1 for anything else.
int outcome_in_child(const std::filesystem::path& path) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(240);
    int code = 0;
    try {
      static_cast<void>(show(path));
      static_cast<void>(show(path, {.case_regex = "", .ranks = true}));
    } catch (const Error& error) {
      code = static_cast<int>(error.exit_code());
    } catch (...) {
      code = 99;
    }
    ::_exit(code);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Reader, refuses_a_file_that_was_cut_anywhere) {
  const TemporaryFolder folder;
  const std::string whole = file_text(write_example(folder / "run.h5"));
  for (std::size_t i = 0; i < 100; ++i) {
    const std::size_t length = whole.size() * i / 100;
    write_text(folder / "cut.h5", whole.substr(0, length));
    EXPECT_EQ(outcome_in_child(folder / "cut.h5"), 2) << "cut at " << length << " of " << whole.size();
  }
}

TEST(Reader, never_crashes_on_a_damaged_file) {
  const TemporaryFolder folder;
  const std::string whole = file_text(write_example(folder / "run.h5"));
  std::mt19937 random(5);
  int refused = 0;
  for (int i = 0; i < 120; ++i) {
    std::string damaged = whole;
    const int places = 1 << (i % 8);
    for (int p = 0; p < places; ++p) damaged[random() % damaged.size()] = static_cast<char>(random());
    write_text(folder / "damaged.h5", damaged);
    const int code = outcome_in_child(folder / "damaged.h5");
    EXPECT_TRUE(code == 0 || code == 2) << "code " << code << " in round " << i;
    refused += code == 2 ? 1 : 0;
  }
  EXPECT_GT(refused, 20);
}

}  // namespace
}  // namespace rackproof::results
