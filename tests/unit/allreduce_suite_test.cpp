#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/core/error.hpp"
#include "suites/suite.hpp"

namespace rackproof {

std::unique_ptr<Suite> make_allreduce_suite();

namespace {

using ::testing::HasSubstr;

Options options(Profile profile = Profile::quick) {
  Options made;
  made.profile = profile;
  // Those of the other suites too: this one reads some of them.
  for (const auto& suite : make_all_suites()) {
    for (const OptionSpec& option : suite->options()) made.values[option.name] = option.default_value;
  }
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

std::vector<Case> cases_with(const std::map<std::string, std::string>& values, const Platform& where) {
  Options chosen = options();
  for (const auto& [name, value] : values) {
    EXPECT_TRUE(chosen.values.contains(name)) << name;
    chosen.values[name] = value;
  }
  return make_allreduce_suite()->cases(chosen, where);
}

std::set<std::string> names(const std::vector<Case>& cases) {
  std::set<std::string> found;
  for (const Case& one : cases) found.insert(one.name);
  EXPECT_EQ(found.size(), cases.size()) << "names must be unique";
  return found;
}

/// Two nodes of four ranks.
Platform two_nodes() {
  Platform made;
  for (int rank = 0; rank < 8; ++rank) {
    made.topology.ranks.push_back({rank < 4 ? "left" : "right", rank / 4, rank % 4});
  }
  made.topology.nodes = 2;
  return made;
}

TEST(AllReduceSuite, other_collectives_have_their_names_sizes_and_bus_bandwidths) {
  const auto cases = cases_with({{"collectives", "all"}, {"message-sizes", "1MiB"}}, platform(4));
  EXPECT_EQ(names(cases), (std::set<std::string>{
                              "allreduce/f32/1MiB/out-of-place", "allreduce/reduce-scatter/f32/1MiB/out-of-place",
                              "allreduce/all-gather/f32/1MiB/out-of-place",
                              "allreduce/all-to-all/f32/1MiB/out-of-place", "allreduce/broadcast/f32/1MiB/in-place",
                              "allreduce/reduce/f32/1MiB/out-of-place", "allreduce/send-recv/f32/1MiB/out-of-place"}));
  const double rate = 1048576.0 / 1e9;
  EXPECT_DOUBLE_EQ(figure(find(cases, "allreduce/all-gather/f32/1MiB/out-of-place"), "busbw").amount, rate * 0.75);
  EXPECT_DOUBLE_EQ(figure(find(cases, "allreduce/broadcast/f32/1MiB/in-place"), "busbw").amount, rate);
  EXPECT_EQ(find(cases, "allreduce/all-gather/f32/1MiB/out-of-place").parameters.text("operation"), "all-gather");
  EXPECT_EQ(find(cases, "allreduce/all-gather/f32/1MiB/out-of-place").parameters.text("reduction"), "none");
}

TEST(AllReduceSuite, the_usual_cases_stay_beside_what_is_added) {
  const auto usual = names(make_allreduce_suite()->cases(options(), platform(2)));
  for (const auto& [option, value] : std::vector<std::pair<std::string, std::string>>{{"collectives", "all"},
                                                                                      {"reductions", "sum,max"},
                                                                                      {"groups", "world,every-2"},
                                                                                      {"arrivals", "together,one-late"},
                                                                                      {"inputs", "pattern,normals"}}) {
    const auto more = names(cases_with({{option, value}}, platform(2)));
    EXPECT_TRUE(std::includes(more.begin(), more.end(), usual.begin(), usual.end())) << option;
    EXPECT_GT(more.size(), usual.size()) << option;
  }
}

TEST(AllReduceSuite, blocks_are_whole_and_equal) {
  const auto cases =
      cases_with({{"collectives", "all-gather"}, {"message-sizes", "8B,1MiB"}, {"message-types", "f64"}}, platform(3));
  const Case& large = find(cases, "allreduce/all-gather/f64/1MiB/out-of-place");
  EXPECT_EQ(large.parameters.integer("count"), 131070);
  EXPECT_EQ(large.work.message_size, 1048560);
  EXPECT_EQ(find(cases, "allreduce/all-gather/f64/8B/out-of-place").skip_reason,
            "8B are less than an element of f64 for each of 3 ranks");
}

TEST(AllReduceSuite, groups_are_of_the_platform_and_their_ranks_count) {
  const auto cases =
      cases_with({{"groups", "node,across,every-4,tp"}, {"tp", "2"}, {"message-sizes", "1KiB"}}, two_nodes());
  const auto ranks = [&](const std::string& groups) {
    const Case& one = find(cases, "allreduce/f32/1KiB/out-of-place/" + groups);
    EXPECT_EQ(one.parameters.text("groups"), groups);
    EXPECT_EQ(one.skip_reason, "");
    const double n = static_cast<double>(one.parameters.integer("ranks"));
    EXPECT_DOUBLE_EQ(figure(one, "busbw").amount, 1024.0 / 1e9 * 2.0 * (n - 1.0) / n);
    return one.parameters.integer("ranks");
  };
  EXPECT_EQ(ranks("node"), 4);
  EXPECT_EQ(ranks("across"), 2);
  EXPECT_EQ(ranks("every-4"), 2);
  EXPECT_EQ(ranks("tp2"), 2);
  const auto alone = cases_with({{"groups", "across"}, {"message-sizes", "1KiB"}}, platform(2));
  EXPECT_EQ(alone.front().skip_reason, "the groups 'across' have one rank; at least 2 are needed");
}

TEST(AllReduceSuite, model_sizes_are_those_of_the_all_reduces_of_the_model) {
  const auto cases = cases_with({{"message-sizes", "model"},
                                 {"model", "llama-3-70b"},
                                 {"batch", "64"},
                                 {"prompt", "128"},
                                 {"groups", "tp"},
                                 {"tp", "8"},
                                 {"message-types", "bf16"}},
                                two_nodes());
  std::set<std::int64_t> counts;
  for (const Case& one : cases) {
    counts.insert(one.parameters.integer("count"));
    EXPECT_EQ(one.parameters.text("groups"), "tp8");
    EXPECT_EQ(one.parameters.integer("ranks"), 8);
  }
  EXPECT_EQ(counts, (std::set<std::int64_t>{64 * 8192, 64 * 128 * 8192}));
  EXPECT_TRUE(names(cases).contains("allreduce/bf16/1MiB/in-place/tp8"));
}

TEST(AllReduceSuite, arrivals_and_reductions_are_parameters) {
  const auto cases = cases_with(
      {{"arrivals", "linear"}, {"arrival-spread", "250us"}, {"reductions", "max"}, {"message-sizes", "1KiB"}},
      platform(2));
  ASSERT_EQ(cases.size(), 1U);
  EXPECT_EQ(cases[0].name, "allreduce/f32/1KiB/out-of-place/max/linear");
  EXPECT_EQ(cases[0].parameters.text("arrivals"), "linear");
  EXPECT_EQ(cases[0].parameters.text("reduction"), "max");
  EXPECT_DOUBLE_EQ(std::get<double>(*cases[0].parameters.find("arrival_spread")), 250e-6);
}

TEST(AllReduceSuite, streamed_cases_are_out_of_place_and_together) {
  const auto cases = cases_with({{"modes", "isolated,streamed"},
                                 {"arrivals", "together,linear"},
                                 {"message-sizes", "1KiB"},
                                 {"message-types", "f32"}},
                                platform(2));
  EXPECT_EQ(names(cases),
            (std::set<std::string>{"allreduce/f32/1KiB/out-of-place", "allreduce/f32/1KiB/in-place",
                                   "allreduce/f32/1KiB/out-of-place/linear", "allreduce/f32/1KiB/in-place/linear",
                                   "allreduce/f32/1KiB/out-of-place/streamed"}));
  EXPECT_EQ(find(cases, "allreduce/f32/1KiB/out-of-place/streamed").parameters.text("mode"), "streamed");
  EXPECT_EQ(find(cases, "allreduce/f32/1KiB/out-of-place").parameters.text("mode"), "isolated");
}

TEST(AllReduceSuite, what_a_type_cannot_be_reduced_by_is_skipped_with_the_reason) {
  const auto cases =
      cases_with({{"message-types", "i8"}, {"reductions", "sum,max"}, {"message-sizes", "1KiB"}}, platform(2));
  EXPECT_EQ(find(cases, "allreduce/i8/1KiB/out-of-place").skip_reason, "the sum of i8 would overflow");
  EXPECT_EQ(find(cases, "allreduce/i8/1KiB/out-of-place/max").skip_reason, "");
  const auto normals =
      cases_with({{"message-types", "bf16,i32"}, {"inputs", "normals"}, {"message-sizes", "1KiB"}}, platform(200));
  EXPECT_EQ(names(normals), (std::set<std::string>{"allreduce/bf16/1KiB/out-of-place/normals",
                                                   "allreduce/bf16/1KiB/in-place/normals"}));
  EXPECT_THAT(normals[0].skip_reason, HasSubstr("no useful bound"));
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
  EXPECT_THAT(refused("message-sizes", "1MiB,12B"), HasSubstr("multiple of 8B"));
  EXPECT_THAT(refused("message-sizes", "1MiB,,2MiB"), HasSubstr("empty entry"));
  EXPECT_THAT(refused("message-sizes", "1MiB,1MiB"), HasSubstr("twice"));
  EXPECT_THAT(refused("message-types", "f12"), HasSubstr("unknown type 'f12'"));
  EXPECT_THAT(refused("message-types", "f4e2m1"), HasSubstr("f4e2m1 is not exchanged; choose from f64, f32, f16"));
  EXPECT_THAT(refused("message-memory", "pinned"), HasSubstr("--message-memory: 'pinned'"));
  EXPECT_THAT(refused("collectives", "gather"), HasSubstr("unknown collective 'gather'"));
  EXPECT_THAT(refused("reductions", "avg"), HasSubstr("unknown reduction 'avg'"));
  EXPECT_THAT(refused("groups", "rack"), HasSubstr("--groups: 'rack'"));
  EXPECT_THAT(refused("groups", "tp"), HasSubstr("--tp N"));
  EXPECT_THAT(refused("groups", "tp2,tp02"), HasSubstr("'tp2' is there twice"));
  EXPECT_THAT(refused("arrivals", "late"), HasSubstr("--arrivals: 'late' is none of together, one-late"));
  EXPECT_THAT(refused("arrival-spread", "1s"), HasSubstr("at most 100ms"));
  EXPECT_THAT(refused("arrival-spread", "1ms"), HasSubstr("has no effect without --arrivals"));
  EXPECT_THAT(refused("modes", "stream"), HasSubstr("--modes: 'stream'"));
  EXPECT_THAT(refused("inputs", "zeros"), HasSubstr("--inputs: 'zeros'"));
}

std::vector<std::string> names_in_order(const std::vector<Case>& cases) {
  std::vector<std::string> all;
  for (const Case& one : cases) all.push_back(one.name);
  return all;
}

TEST(AllReduceSuite, measures_each_case_with_each_backend_and_names_those_behind_the_first) {
  Options chosen = options();
  chosen.values["message-sizes"] = "1KiB,1MiB";
  Platform gpu = platform(4);
  gpu.device = "cuda";
  gpu.collectives = {"nccl", "mpi"};
  const auto cases = make_allreduce_suite()->cases(chosen, gpu);
  EXPECT_EQ(names_in_order(cases),
            (std::vector<std::string>{"allreduce/f32/1KiB/out-of-place", "allreduce/f32/1KiB/out-of-place/mpi",
                                      "allreduce/f32/1MiB/out-of-place", "allreduce/f32/1MiB/out-of-place/mpi"}));
  EXPECT_EQ(cases[0].parameters.text("backend"), "nccl");
  EXPECT_EQ(cases[1].parameters.text("backend"), "mpi");
}

TEST(AllReduceSuite, says_nothing_of_the_backend_on_the_host) {
  Options chosen = options();
  Platform host = platform(4);
  const auto usual = make_allreduce_suite()->cases(chosen, host);
  host.collectives = {"mpi"};
  chosen.collective_backends = {"mpi"};
  const auto named = make_allreduce_suite()->cases(chosen, host);
  EXPECT_EQ(names_in_order(named), names_in_order(usual));
  EXPECT_EQ(named.front().parameters.find("backend"), nullptr);
}

TEST(AllReduceSuite, quick_adds_the_small_floats_on_a_gpu_alone) {
  Platform gpu = platform(4);
  gpu.device = "cuda";
  gpu.collectives = {"nccl"};
  const auto on_gpu = names(make_allreduce_suite()->cases(options(), gpu));
  const auto on_host = names(make_allreduce_suite()->cases(options(), platform(4)));
  for (const std::string type : {"f16", "f8e4m3", "f8e5m2"}) {
    EXPECT_TRUE(on_gpu.contains("allreduce/" + type + "/1MiB/in-place")) << type;
    EXPECT_FALSE(on_host.contains("allreduce/" + type + "/1MiB/in-place")) << type;
  }
}

TEST(AllReduceSuite, registered_memory_is_another_case) {
  const auto cases = cases_with({{"message-memory", "plain,registered"}, {"message-sizes", "1KiB"}}, platform(2));
  EXPECT_EQ(names_in_order(cases), (std::vector<std::string>{"allreduce/f32/1KiB/out-of-place",
                                                             "allreduce/f32/1KiB/out-of-place/registered"}));
  EXPECT_EQ(cases[0].parameters.find("message_memory"), nullptr);
}

}  // namespace
}  // namespace rackproof
