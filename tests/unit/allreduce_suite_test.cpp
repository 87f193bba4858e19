#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>

#include "common/core/error.hpp"
#include "suites/suite.hpp"

namespace rackproof {

std::unique_ptr<Suite> make_allreduce_suite();

namespace {

using ::testing::HasSubstr;

Options options(Profile profile = Profile::quick) {
  Options made;
  made.profile = profile;
  for (const OptionSpec& option : make_allreduce_suite()->options()) made.values[option.name] = option.default_value;
  return made;
}

Platform platform(int ranks, std::size_t memory = 0) {
  Platform made;
  made.topology = mpi::single_node_topology(ranks);
  made.memory_available = memory;
  return made;
}

const Case& find(const std::vector<Case>& cases, const std::string& name) {
  const auto found = std::find_if(cases.begin(), cases.end(), [&](const Case& c) { return c.name == name; });
  if (found == cases.end()) throw std::out_of_range(name);
  return *found;
}

const Figure& figure(const Case& which, const std::string& name) {
  const auto found =
      std::find_if(which.figures.begin(), which.figures.end(), [&](const Figure& f) { return f.name == name; });
  if (found == which.figures.end()) throw std::out_of_range(name);
  return *found;
}

TEST(AllReduceSuite, quick_covers_all_types_both_ways_from_8_bytes_to_64_mebibytes_in_some_thirty_cases) {
  const auto cases = make_allreduce_suite()->cases(options(), platform(2));
  EXPECT_LE(cases.size(), 32U);
  std::set<std::string> names;
  for (const Case& c : cases) names.insert(c.name);
  EXPECT_EQ(names.size(), cases.size());
  for (const std::string type : {"f32", "f64", "bf16", "i32"}) {
    EXPECT_TRUE(names.contains("allreduce/" + type + "/64MiB/out-of-place")) << type;
    EXPECT_TRUE(names.contains("allreduce/" + type + "/1MiB/in-place")) << type;
  }
  EXPECT_TRUE(names.contains("allreduce/f32/8B/out-of-place"));
  EXPECT_TRUE(names.contains("allreduce/f32/1KiB/out-of-place"));
  EXPECT_TRUE(names.contains("allreduce/f32/64MiB/in-place"));
}

TEST(AllReduceSuite, accept_has_every_power_of_two_of_every_type_both_ways) {
  const auto cases = make_allreduce_suite()->cases(options(Profile::accept), platform(2));
  EXPECT_EQ(cases.size(), 24U * 4U * 2U);  // 2^3 to 2^26
}

TEST(AllReduceSuite, figures_are_latency_and_the_two_bandwidths) {
  const auto cases = make_allreduce_suite()->cases(options(), platform(4));
  const Case& small = find(cases, "allreduce/f32/1KiB/out-of-place");
  EXPECT_EQ(small.figures.front().name, "latency");
  EXPECT_EQ(small.work.message_size, 1024);
  EXPECT_EQ(small.parameters.integer("count"), 256);
  EXPECT_EQ(small.parameters.integer("ranks"), 4);
  EXPECT_EQ(small.parameters.integer("in_place"), 0);
  EXPECT_EQ(small.parameters.text("type"), "f32");
  const Case& large = find(cases, "allreduce/f64/64MiB/out-of-place");
  EXPECT_EQ(large.figures.front().name, "busbw");
  constexpr double bytes = 64.0 * 1024 * 1024;
  EXPECT_DOUBLE_EQ(figure(large, "algbw").amount, bytes / 1e9);
  EXPECT_DOUBLE_EQ(figure(large, "busbw").amount, bytes / 1e9 * 2 * 3 / 4);
  EXPECT_DOUBLE_EQ(figure(large, "latency").amount, 1e6);
  EXPECT_EQ(figure(large, "latency").kind, Figure::Kind::time);
}

TEST(AllReduceSuite, one_rank_has_nothing_to_reduce_with) {
  for (const Case& c : make_allreduce_suite()->cases(options(), platform(1))) {
    EXPECT_EQ(c.skip_reason, "needs at least 2 ranks");
    for (const Figure& f : c.figures) EXPECT_NE(f.name, "busbw");
  }
}

TEST(AllReduceSuite, skips_what_does_not_fit_with_the_bytes_needed_and_there) {
  const auto cases = make_allreduce_suite()->cases(options(), platform(2, std::size_t{200} << 20U));
  EXPECT_EQ(find(cases, "allreduce/f32/16MiB/out-of-place").skip_reason, "");
  EXPECT_EQ(find(cases, "allreduce/f32/64MiB/out-of-place").skip_reason,
            "needs 320 MiB of memory a rank, 200 MiB are available");
  EXPECT_EQ(find(make_allreduce_suite()->cases(options(), platform(2)), "allreduce/f32/64MiB/out-of-place").skip_reason,
            "");
}

TEST(AllReduceSuite, sizes_follow_the_options) {
  Options chosen = options();
  chosen.values["max-message-size"] = "1GiB";
  EXPECT_EQ(
      find(make_allreduce_suite()->cases(chosen, platform(2)), "allreduce/bf16/1GiB/out-of-place").work.message_size,
      std::int64_t{1} << 30);
  chosen.values["min-message-size"] = "100MB";
  const auto cases = make_allreduce_suite()->cases(chosen, platform(2));
  EXPECT_EQ(find(cases, "allreduce/f32/100000000B/out-of-place").parameters.integer("count"), 25000000);
  for (const Case& c : cases) EXPECT_GE(c.work.message_size, 100000000);
  chosen.values["min-message-size"] = chosen.values["max-message-size"] = "4KiB";
  EXPECT_EQ(make_allreduce_suite()->cases(chosen, platform(2)).size(), 8U);  // 4 types, both ways
}

TEST(AllReduceSuite, refuses_sizes_that_make_no_sense) {
  const auto refused = [](const std::string& option, const std::string& value) {
    Options chosen = options();
    chosen.values[option] = value;
    try {
      (void)make_allreduce_suite()->cases(chosen, platform(2));
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), ExitCode::usage);
      return error.line();
    }
    return std::string("accepted");
  };
  EXPECT_THAT(refused("max-message-size", "64M"), HasSubstr("--max-message-size"));
  EXPECT_THAT(refused("max-message-size", "4B"), HasSubstr("multiple of 8B"));
  EXPECT_THAT(refused("min-message-size", "12B"), HasSubstr("--min-message-size"));
  EXPECT_THAT(refused("min-message-size", "1GiB"), HasSubstr("above --max-message-size"));
}

}  // namespace
}  // namespace rackproof
