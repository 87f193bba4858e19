// no threads
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "common/core/bfloat16.hpp"
#include "common/core/error.hpp"
#include "suites/allreduce/arrivals.hpp"
#include "suites/allreduce/buffer_plan.hpp"
#include "suites/allreduce/contents.hpp"
#include "suites/allreduce/elements.hpp"
#include "suites/allreduce/groups.hpp"
#include "suites/allreduce/operation.hpp"
#include "suites/allreduce/pattern.hpp"

namespace rackproof::allreduce {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// Up to here every whole number is a value of the type.
std::int64_t exact_limit(DataType type) {
  switch (type) {
    case DataType::f8e5m2:
      return 1 << 3;
    case DataType::f8e4m3:
      return 1 << 4;
    case DataType::f16:
      return 1 << 11;
    case DataType::bf16:
      return 1 << 8;
    case DataType::f32:
      return 1 << 24;
    default:
      return (std::int64_t{1} << 31) - 1;
  }
}

std::string type_name(const ::testing::TestParamInfo<DataType>& parameter) {
  return std::string(name(parameter.param));
}

std::vector<DataType> exchanged_sums() {
  std::vector<DataType> types;
  for (const DataType type : exchanged_types()) {
    if (can_reduce(type, Reduction::sum)) types.push_back(type);
  }
  return types;
}

class SumsOf : public ::testing::TestWithParam<DataType> {};
/// f8 has so few exact whole numbers that those of two ranks or indices are often the same.
class PatternOf : public ::testing::TestWithParam<DataType> {};
INSTANTIATE_TEST_SUITE_P(Types, PatternOf,
                         ::testing::Values(DataType::f64, DataType::f32, DataType::f16, DataType::bf16, DataType::i64,
                                           DataType::u64, DataType::i32, DataType::u32),
                         type_name);
INSTANTIATE_TEST_SUITE_P(Types, SumsOf, ::testing::ValuesIn(exchanged_sums()), type_name);

TEST_P(SumsOf, sum_is_what_the_ranks_contribute_and_exact_at_any_number_of_ranks) {
  for (const int ranks : {1, 2, 3, 15, 16, 17, 100, 4095, 4096, 46341, 100000, 1 << 20}) {
    const Pattern pattern(GetParam(), Reduction::sum, ranks, 7);
    const std::uint64_t indices = ranks > 10000 ? 3 : 50;
    for (std::uint64_t i = 0; i < indices; ++i) {
      const std::uint64_t index = i * 104729;
      double sum = 0.0;
      for (int rank = 0; rank < ranks; ++rank) {
        const double value = pattern.value(rank, index);
        ASSERT_GE(value, 0);  // so that no partial sum is larger than the whole
        sum += value;
      }
      ASSERT_EQ(sum, pattern.result(index)) << ranks << " ranks, index " << index;
      ASSERT_LE(sum, static_cast<double>(exact_limit(GetParam())));
      ASSERT_GT(sum, 0);
    }
  }
}

TEST_P(PatternOf, depends_on_rank_index_and_seed) {
  const Pattern pattern(GetParam(), Reduction::sum, 4, 1);
  const Pattern other(GetParam(), Reduction::sum, 4, 2);
  int same_rank = 0;
  int same_index = 0;
  int same_seed = 0;
  constexpr int trials = 1000;
  for (std::uint64_t i = 0; i < trials; ++i) {
    same_rank += pattern.value(0, i) == pattern.value(1, i);
    same_index += pattern.result(i) == pattern.result(i + 1);
    same_seed += pattern.result(i) == other.result(i);
  }
  EXPECT_LT(same_rank, trials / 10);
  EXPECT_LT(same_index, trials / 10);
  EXPECT_LT(same_seed, trials / 10);
}

TEST_P(SumsOf, every_rank_takes_part_somewhere) {
  constexpr int ranks = 300;
  const Pattern pattern(GetParam(), Reduction::sum, ranks, 1);
  std::set<int> seen;
  for (std::uint64_t i = 0; i < 2000 && seen.size() < ranks; ++i) {
    for (int rank = 0; rank < ranks; ++rank) {
      if (pattern.value(rank, i) != 0) seen.insert(rank);
    }
  }
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(ranks));
}

using TypeAndReduction = std::tuple<DataType, Reduction>;
class ReducedBy : public ::testing::TestWithParam<TypeAndReduction> {};
INSTANTIATE_TEST_SUITE_P(TypesAndReductions, ReducedBy,
                         ::testing::Combine(::testing::ValuesIn(exchanged_types()),
                                            ::testing::Values(Reduction::sum, Reduction::min, Reduction::max,
                                                              Reduction::prod)),
                         [](const auto& parameter) {
                           return std::string(name(std::get<0>(parameter.param))) + "_" +
                                  std::string(name(std::get<1>(parameter.param)));
                         });

double apply(Reduction reduction, double a, double b) {
  switch (reduction) {
    case Reduction::sum:
      return a + b;
    case Reduction::min:
      return std::min(a, b);
    case Reduction::max:
      return std::max(a, b);
    case Reduction::prod:
      break;
  }
  return a * b;
}

/// As the type has it.
double rounded(DataType type, double value) {
  std::byte place[8];
  if (!can_hold(type, value)) return std::numeric_limits<double>::quiet_NaN();
  encode(type, value, place);
  return decode(type, place);
}

TEST_P(ReducedBy, result_is_exact_in_the_type_in_any_order) {
  const auto [type, reduction] = GetParam();
  if (!can_reduce(type, reduction)) {
    EXPECT_THROW(Pattern(type, reduction, 2, 1), Error);
    return;
  }
  for (const int ranks : {1, 2, 3, 6, 7, 15, 64, 200, 5000}) {
    const Pattern pattern(type, reduction, ranks, 5);
    for (std::uint64_t index : {0U, 1U, 77U, 131070U, 131071U, 999999U}) {
      double up = pattern.value(0, index);
      double down = pattern.value(ranks - 1, index);
      ASSERT_EQ(rounded(type, up), up);
      for (int r = 1; r < ranks; ++r) {
        up = rounded(type, apply(reduction, up, pattern.value(r, index)));
        down = rounded(type, apply(reduction, down, pattern.value(ranks - 1 - r, index)));
      }
      ASSERT_EQ(up, pattern.result(index)) << ranks << " ranks, index " << index;
      ASSERT_EQ(down, pattern.result(index)) << ranks << " ranks, index " << index;
      ASSERT_NE(up, 0.0);
    }
  }
}

TEST_P(ReducedBy, the_result_without_a_rank_is_what_the_others_give) {
  const auto [type, reduction] = GetParam();
  if (!can_reduce(type, reduction)) return;
  for (const int ranks : {2, 3, 9}) {
    const Pattern pattern(type, reduction, ranks, 5);
    for (std::uint64_t index = 0; index < 40; ++index) {
      for (int absent = 0; absent < ranks; ++absent) {
        double others = pattern.value((absent + 1) % ranks, index);
        for (int r = 2; r < ranks; ++r) others = apply(reduction, others, pattern.value((absent + r) % ranks, index));
        ASSERT_EQ(pattern.without(absent, index), others) << ranks << " ranks without " << absent;
      }
    }
  }
}

TEST_P(ReducedBy, names_the_rank_that_was_left_out) {
  const auto [type, reduction] = GetParam();
  if (!can_reduce(type, reduction)) return;
  for (const int ranks : {2, 5, 40}) {
    const Pattern pattern(type, reduction, ranks, 9);
    Checker checker(pattern);
    for (std::uint64_t index = 0; index < 4000; ++index) {
      std::byte element[8];
      encode(type, pattern.without(1, index), element);
      checker.check(index, index, element, 1);
    }
    ASSERT_GT(checker.wrong(), 0U);
    EXPECT_THAT(checker.report(), HasSubstr(std::string(name(reduction)) + "s are wrong"));
    EXPECT_THAT(checker.report(), HasSubstr("as if rank 1 had been left out")) << ranks << " ranks";
  }
}

TEST(Checker, names_the_rank_and_the_bit_that_was_always_wrong) {
  for (const DataType type : {DataType::f64, DataType::f32, DataType::i32}) {
    const Pattern pattern(type, Reduction::sum, 6, 2);
    Checker checker(pattern);
    const unsigned bit = type == DataType::i32 ? 9 : type == DataType::f32 ? 22 : 51;
    for (std::uint64_t index = 0; index < 50; ++index) {
      std::byte element[8];
      encode(type, pattern.value(4, index), element);
      element[bit / 8] ^= std::byte{1} << (bit % 8);
      encode(type, pattern.without(4, index) + decode(type, element), element);
      checker.check(index, index, element, 1);
    }
    EXPECT_THAT(checker.report(),
                HasSubstr("as if rank 4 had sent bit " + std::to_string(bit) + " the other way round"));
  }
}

TEST(MovedContent, names_the_source_and_who_sent_instead) {
  for (const DataType type : exchanged_types()) {
    const auto content = moved_content(type, 300, 1);
    const auto mine = content->contributions(7);
    const std::size_t size = size_of(type);
    content->check(7, 100, 0, mine.data() + 100 * size, 500);
    // Over the end of the period, too.
    content->check(7, period - 3, 0, mine.data() + (period - 3) * size, 3);
    content->check(7, period, 0, mine.data(), 3);
    EXPECT_EQ(content->error(), 0.0) << name(type);
    EXPECT_EQ(content->report(), "");
    content->check(9, 100, 2000, mine.data() + 100 * size, 500);
    EXPECT_GT(content->error(), 1.0);
    EXPECT_THAT(content->report(), HasSubstr("of rank 9: expected"));
    EXPECT_THAT(content->report(), HasSubstr(", as if rank 7 had sent it"));
  }
  EXPECT_THROW((void)moved_content(DataType::f32, 131072, 1), Error);
}

TEST(MovedContent, data_of_another_place_or_seed_is_wrong) {
  const auto data = moved_content(DataType::f32, 4, 1)->contributions(2);
  for (const std::uint64_t index : {0U, 11U}) {
    const auto content = moved_content(DataType::f32, 4, index == 0 ? 2 : 1);
    content->check(2, index, 0, data.data(), 100);
    EXPECT_GT(content->error(), 1.0);
    EXPECT_THAT(content->report(), HasSubstr("100 of 100 elements are wrong"));
    EXPECT_THAT(content->report(), Not(HasSubstr("as if")));
  }
}

TEST(NormalContent, passes_what_an_order_of_adding_can_give_and_no_more) {
  constexpr int ranks = 40;
  constexpr std::uint64_t count = 2000;
  for (const DataType type : {DataType::f64, DataType::f32, DataType::bf16}) {
    const std::size_t size = size_of(type);
    const auto source = normal_content(type, ranks, 3);
    std::vector<double> sum(count);
    for (int rank = 0; rank < ranks; ++rank) {
      const auto one = source->contributions(rank);
      for (std::uint64_t i = 0; i < count; ++i) sum[i] = rounded(type, sum[i] + decode(type, one.data() + i * size));
    }
    std::vector<std::byte> received(count * size);
    for (std::uint64_t i = 0; i < count; ++i) encode(type, sum[i], received.data() + i * size);
    const auto content = normal_content(type, ranks, 3);
    content->check(Content::all_ranks, 0, 0, received.data(), count);
    EXPECT_GT(content->error(), 0.0) << name(type);
    EXPECT_LE(content->error(), 1.0) << name(type) << ": " << content->report();
    EXPECT_EQ(content->report(), "");
    // One rank left out.
    encode(type, sum[5] + 100.0, received.data() + 5 * size);
    content->check(Content::all_ranks, 0, 0, received.data(), count);
    EXPECT_GT(content->error(), 1.0);
    EXPECT_THAT(content->report(), HasSubstr("the first is element 5:"));
  }
}

TEST(Arrivals, are_those_of_their_names_and_within_the_spread) {
  constexpr int ranks = 5;
  constexpr double spread = 1e-3;
  for (std::uint64_t step = 0; step < 50; ++step) {
    int late = 0;
    std::set<double> random;
    for (int rank = 0; rank < ranks; ++rank) {
      EXPECT_EQ(arrival(Arrivals::together, spread, rank, ranks, step, 1), 0.0);
      EXPECT_DOUBLE_EQ(arrival(Arrivals::linear, spread, rank, ranks, step, 1), spread * rank / 4);
      const double one = arrival(Arrivals::one_late, spread, rank, ranks, step, 1);
      EXPECT_TRUE(one == 0.0 || one == spread);
      late += one > 0.0;
      const double drawn = arrival(Arrivals::random, spread, rank, ranks, step, 1);
      EXPECT_GE(drawn, 0.0);
      EXPECT_LT(drawn, spread);
      random.insert(drawn);
    }
    EXPECT_EQ(late, 1);
    EXPECT_EQ(random.size(), 5U);
  }
}

TEST(Arrivals, every_rank_is_late_equally_often) {
  constexpr int ranks = 7;
  std::vector<int> late(ranks);
  for (std::uint64_t step = 0; step < 10 * ranks; ++step) {
    for (int rank = 0; rank < ranks; ++rank) {
      late[static_cast<std::size_t>(rank)] += arrival(Arrivals::one_late, 1.0, rank, ranks, step, 3) > 0.0;
    }
  }
  EXPECT_THAT(late, ::testing::Each(10));
}

mpi::Topology nodes_of(const std::vector<int>& ranks_a_node) {
  mpi::Topology made;
  for (std::size_t node = 0; node < ranks_a_node.size(); ++node) {
    for (int r = 0; r < ranks_a_node[node]; ++r) {
      made.ranks.push_back({"node" + std::to_string(node), static_cast<int>(node), r});
    }
  }
  made.nodes = static_cast<int>(ranks_a_node.size());
  return made;
}

TEST(Groups, hold_every_rank_once) {
  const auto topology = nodes_of({3, 3});
  EXPECT_THAT(make_groups("world", topology).colors, ::testing::Each(0));
  EXPECT_TRUE(make_groups("world", topology).is_world());
  EXPECT_THAT(make_groups("node", topology).colors, ::testing::ElementsAre(0, 0, 0, 1, 1, 1));
  EXPECT_THAT(make_groups("across", topology).colors, ::testing::ElementsAre(0, 1, 2, 0, 1, 2));
  EXPECT_THAT(make_groups("every-2", topology).colors, ::testing::ElementsAre(0, 1, 0, 1, 0, 1));
  EXPECT_THAT(make_groups("tp2", topology).colors, ::testing::ElementsAre(0, 0, 1, 1, 2, 2));
  for (const std::string name : {"world", "node", "across", "every-2", "tp2"}) {
    const Groups groups = make_groups(name, topology);
    EXPECT_EQ(groups.name, name);
    EXPECT_EQ(groups.count * groups.ranks, 6);
    EXPECT_EQ(groups.skip_reason, "");
  }
}

TEST(Groups, of_different_size_are_skipped_and_what_is_none_is_refused) {
  EXPECT_EQ(make_groups("node", nodes_of({3, 4})).skip_reason,
            "the groups 'node' would have 3 to 4 ranks; they must be of one size");
  EXPECT_NE(make_groups("tp4", nodes_of({6})).skip_reason, "");
  EXPECT_NE(make_groups("tp8", nodes_of({2})).skip_reason, "") << "no smaller group under that name";
  for (const std::string bad : {"", "nodes", "every-", "every-0", "every-x", "tp", "tp-1"}) {
    EXPECT_THROW((void)make_groups(bad, nodes_of({4})), Error) << bad;
  }
}

TEST(Operation, bus_factors_and_sizes_are_those_of_nccl_tests) {
  constexpr int n = 4;
  EXPECT_DOUBLE_EQ(bus_factor(Operation::all_reduce, n), 1.5);
  for (const Operation operation : {Operation::reduce_scatter, Operation::all_gather, Operation::all_to_all}) {
    EXPECT_DOUBLE_EQ(bus_factor(operation, n), 0.75);
    EXPECT_TRUE(has_blocks(operation));
  }
  for (const Operation operation : {Operation::broadcast, Operation::reduce, Operation::send_recv}) {
    EXPECT_DOUBLE_EQ(bus_factor(operation, n), 1.0);
    EXPECT_FALSE(has_blocks(operation));
  }
  EXPECT_EQ(footprint(Operation::all_gather, 4096, n, false).send, 1024U);
  EXPECT_EQ(footprint(Operation::all_gather, 4096, n, false).receive, 4096U);
  EXPECT_EQ(footprint(Operation::reduce_scatter, 4096, n, false).send, 4096U);
  EXPECT_EQ(footprint(Operation::reduce_scatter, 4096, n, false).receive, 1024U);
  EXPECT_EQ(footprint(Operation::all_to_all, 4096, n, false).send, 4096U);
}

TEST(BufferPlan, slots_of_input_and_output_have_their_own_size) {
  const BufferPlan plan = plan_buffers({1000, 64000, false}, true, 1 << 20, 0);
  EXPECT_EQ(plan.stride, 1024U);
  EXPECT_EQ(plan.output_stride, 64000U);
  EXPECT_GE(plan.slots * (plan.stride + plan.output_stride), std::uint64_t{2} << 20U);
  EXPECT_EQ(plan.output_bytes, plan.slots * plan.output_stride);
}

TEST(Pattern, bf16_partial_sums_are_exact_in_bf16_itself) {
  for (const int ranks : {2, 8, 100, 5000}) {
    const Pattern pattern(DataType::bf16, Reduction::sum, ranks, 3);
    for (std::uint64_t i = 0; i < 20; ++i) {
      bf16_bits up = to_bf16(0.0F);
      bf16_bits down = to_bf16(0.0F);
      for (int r = 0; r < ranks; ++r) {
        up = to_bf16(from_bf16(up) + static_cast<float>(pattern.value(r, i)));
        down = to_bf16(from_bf16(down) + static_cast<float>(pattern.value(ranks - 1 - r, i)));
      }
      EXPECT_EQ(from_bf16(up), static_cast<float>(pattern.result(i)));
      EXPECT_EQ(from_bf16(down), static_cast<float>(pattern.result(i)));
    }
  }
}

TEST(Pattern, period_is_a_prime) {
  for (std::uint64_t divisor = 2; divisor * divisor <= period; ++divisor) {
    ASSERT_NE(period % divisor, 0U) << divisor;
  }
}

TEST(Pattern, refuses_more_ranks_than_it_can_tell_apart) {
  EXPECT_THROW(Pattern(DataType::f32, Reduction::sum, Pattern::most_ranks + 1, 1), Error);
}

TEST(InPeriods, wraps_at_the_end_of_the_table) {
  std::vector<std::array<std::uint64_t, 3>> pieces;
  in_periods(2 * period - 5, period + 7, [&](std::uint64_t offset, std::uint64_t place, std::uint64_t count) {
    pieces.push_back({offset, place, count});
  });
  using Piece = std::array<std::uint64_t, 3>;
  EXPECT_THAT(pieces, ::testing::ElementsAre(Piece{0, period - 5, 5}, Piece{5, 0, period}, Piece{period + 5, 0, 2}));
}

/// A received vector, right unless changed.
template <typename T>
std::vector<T> received(const Pattern& pattern, std::uint64_t first, std::size_t count) {
  std::vector<T> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto sum = pattern.result(first + i);
    values[i] = static_cast<T>(sum);
  }
  return values;
}

template <typename T>
Checker checked(const Pattern& pattern, std::uint64_t first, const std::vector<T>& values) {
  Checker checker(pattern);
  checker.check(first, 0, reinterpret_cast<const std::byte*>(values.data()), values.size());
  return checker;
}

TEST_P(PatternOf, right_sums_pass_across_the_end_of_a_period) {
  const Pattern pattern(GetParam(), Reduction::sum, 5, 1);
  constexpr std::uint64_t first = period - 100;
  const std::size_t size = size_of(GetParam());
  std::vector<std::byte> values(300 * size);
  for (std::size_t i = 0; i < 300; ++i) encode(GetParam(), pattern.result(first + i), values.data() + i * size);
  Checker checker(pattern);
  checker.check(first, 0, values.data(), 300);
  EXPECT_EQ(checker.checked(), 300U);
  EXPECT_EQ(checker.wrong(), 0U);
  EXPECT_EQ(checker.error(), 0.0);
  EXPECT_EQ(checker.report(), "");
}

TEST(Checker, names_the_first_wrong_element_with_what_was_expected_and_received) {
  const Pattern pattern(DataType::f32, Reduction::sum, 2, 1);
  auto values = received<float>(pattern, 10, 100);
  values[42] += 0.25F;
  values[77] += 1000.0F;
  const Checker checker = checked(pattern, 10, values);
  EXPECT_EQ(checker.wrong(), 2U);
  EXPECT_DOUBLE_EQ(checker.error(), 1001.0);
  EXPECT_THAT(checker.report(), HasSubstr("2 of 100 sums are wrong; the first is element 42: expected " +
                                          fmt::format("{}", pattern.result(52)) + ", received"));
  EXPECT_THAT(checker.report(), Not(HasSubstr("as if")));
}

TEST(Checker, nan_infinity_and_minus_zero_are_wrong) {
  const Pattern pattern(DataType::f64, Reduction::sum, 2, 1);
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), -0.0, 1e-300}) {
    auto values = received<double>(pattern, 0, 10);
    values[3] = bad;
    const Checker checker = checked(pattern, 0, values);
    EXPECT_EQ(checker.wrong(), 1U) << bad;
    EXPECT_GT(checker.error(), 1.0) << bad;
    EXPECT_THAT(checker.report(), HasSubstr("element 3"));
  }
}

TEST(Checker, the_smallest_difference_is_an_error_above_one) {
  const Pattern pattern(DataType::f64, Reduction::sum, 2, 1);
  auto values = received<double>(pattern, 0, 4);
  values[2] = std::nextafter(values[2], 0.0);
  EXPECT_GT(checked(pattern, 0, values).error(), 1.0);
}

TEST_P(PatternOf, names_the_rank_that_was_left_out_or_counted_twice) {
  for (const int ranks : {2, 3, 8, 1000, 100000}) {
    const Pattern pattern(GetParam(), Reduction::sum, ranks, 1);
    constexpr int culprit = 1;
    for (const int sign : {-1, 1}) {
      Checker checker(pattern);
      // With more ranks than take part at one index only some elements are wrong; these are the ones that tell.
      std::uint64_t found = 0;
      for (std::uint64_t i = 0; found < 20 && i < period; ++i) {
        const double contribution = pattern.value(culprit, i);
        if (contribution == 0) continue;
        ++found;
        const double sum = pattern.result(i) + sign * contribution;
        std::byte place[8];
        encode(GetParam(), sum, place);
        checker.check(i, i, place, 1);
      }
      ASSERT_GT(checker.wrong(), 0U);
      EXPECT_THAT(checker.report(),
                  HasSubstr(sign < 0 ? "as if rank 1 had been left out" : "as if rank 1 had been counted twice"))
          << ranks << " ranks";
    }
  }
}

TEST(BufferPlan, cold_buffers_pass_twice_the_cache_before_a_slot_comes_round) {
  constexpr std::uint64_t cache = 1 << 20;
  for (const std::uint64_t message : {8ULL, 64ULL, 72ULL, 4096ULL, 65536ULL, 1ULL << 20U, 1ULL << 22U}) {
    for (const bool in_place : {false, true}) {
      const BufferPlan plan = plan_buffers({message, message, in_place}, true, cache, 0);
      EXPECT_GE(plan.stride, message);
      EXPECT_EQ(plan.stride % 64, 0U);
      EXPECT_GE(plan.slots, 2U);
      EXPECT_GE(plan.kept, 1U);
      const std::uint64_t passed = in_place ? (plan.slots - plan.kept) * plan.stride : plan.slots * 2 * plan.stride;
      EXPECT_GE(passed + 2 * plan.stride, 2 * cache) << message << (in_place ? " in place" : "");
      EXPECT_LT(plan.kept, in_place ? plan.slots : plan.slots + 1);
      // Small messages are kept apart by more than a page.
      EXPECT_GE(plan.pace * plan.stride, 4096U);
    }
  }
}

TEST(BufferPlan, steps_visit_every_slot_before_any_again) {
  for (const std::uint64_t message : {8ULL, 1000ULL, 100000ULL}) {
    for (const bool in_place : {false, true}) {
      const BufferPlan plan = plan_buffers({message, message, in_place}, true, 300000, 0);
      std::vector<int> visits(plan.slots);
      for (std::uint64_t step = 0; step < 2 * plan.slots; ++step) ++visits[plan.slot(step)];
      EXPECT_THAT(visits, ::testing::Each(2));
    }
  }
}

TEST(BufferPlan, is_bounded_by_memory_but_has_two_slots) {
  constexpr std::uint64_t gibi = std::uint64_t{1} << 30U;
  const BufferPlan huge_cache = plan_buffers({8, 8, false}, true, 100 * gibi, 0);
  EXPECT_LE(huge_cache.input_bytes + huge_cache.output_bytes, gibi + shifts * line);
  const BufferPlan little_memory = plan_buffers({4096, 4096, false}, true, gibi, gibi / 16);
  EXPECT_LE(little_memory.input_bytes + little_memory.output_bytes, gibi / 64 + shifts * line);
  const BufferPlan large = plan_buffers({gibi, gibi, false}, true, 1 << 20, 0);
  EXPECT_EQ(large.slots, 2U);
  EXPECT_EQ(plan_buffers({gibi, gibi, true}, true, 1 << 20, 0).kept, 1U);
  EXPECT_GE(least_memory({gibi, gibi, false}), large.input_bytes + large.output_bytes - shifts * line);
}

TEST(BufferPlan, hot_buffers_are_one_slot) {
  const BufferPlan plan = plan_buffers({4096, 4096, true}, false, 1 << 20, 0);
  EXPECT_EQ(plan.slots, 1U);
  EXPECT_EQ(plan.kept, 1U);
  EXPECT_EQ(plan.slot(12345), 0U);
}

}  // namespace
}  // namespace rackproof::allreduce
