// no threads
// Teams whose lanes are switched in orders of the test's choice: the number of lanes does not change what a functor
// computes beyond rounding, and a barrier that is missing is seen. (token_kernels_test.cpp has the same teams against
// the definitions.)
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/backends/token_kernels.hpp"
#include "tests/fakes/fibre_token_kernels.hpp"
#include "tests/unit/tokens_fixture.hpp"

namespace rackproof {
namespace {

using ::testing::HasSubstr;
using tokens_fixture::normals;
using tokens_fixture::Typed;
using Missing = FibreTeam::Missing;

std::string failure_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const std::logic_error& error) {
    return error.what();
  }
  return "";
}

/// Attention over 5 pages of two key heads: a tile of 6 rows each.
std::vector<float> attend(TokenKernels& kernels, DataType type) {
  const std::int64_t head_dim = 32;
  KeyValueCache cache{.type = type, .batch = 1, .kv_heads = 2, .pages = 5, .head_dim = head_dim};
  const auto cached = static_cast<std::size_t>(cache.kv_heads * cache.pages * kv_page * head_dim);
  Typed keys(type, normals(cached, 1));
  Typed values(type, normals(cached, 2));
  cache.keys = keys.data();
  cache.values = values.data();
  const std::vector<float> queries = normals(static_cast<std::size_t>(2 * 6 * head_dim), 3, 0.3F);
  Typed output(type, std::vector<float>(queries.size(), NAN));
  kernels.run(AttentionArgs{.queries = queries.data(),
                            .row_stride = 6 * head_dim,
                            .cache = cache,
                            .length = 2,
                            .start = 4 * kv_page + 3,
                            .heads = 6,
                            .output = output.data()});
  std::vector<float> result;
  for (std::size_t i = 0; i < queries.size(); ++i) result.push_back(static_cast<float>(output[i]));
  return result;
}

std::vector<float> normalise(TokenKernels& kernels, DataType type) {
  std::vector<float> residual = normals(3 * 200, 4);
  const std::vector<float> delta = normals(3 * 200, 5);
  const std::vector<float> weight = normals(200, 6);
  Typed output(type, std::vector<float>(3 * 200, NAN));
  kernels.run(ResidualNormArgs{.residual = residual.data(),
                               .delta = delta.data(),
                               .weight = weight.data(),
                               .output = output.data(),
                               .output_type = type,
                               .count = 3,
                               .hidden = 200,
                               .epsilon = 1e-5F});
  for (std::size_t i = 0; i < 3 * 200; ++i) residual.push_back(static_cast<float>(output[i]));
  return residual;
}

std::vector<float> gate(TokenKernels& kernels, DataType type) {
  const std::vector<float> gate_up = normals(2 * 2 * 1100, 7);
  Typed output(type, std::vector<float>(2 * 1100, NAN));
  kernels.run(
      SwigluArgs{.gate_up = gate_up.data(), .output = output.data(), .output_type = type, .count = 2, .width = 1100});
  std::vector<float> result;
  for (std::size_t i = 0; i < 2 * 1100; ++i) result.push_back(static_cast<float>(output[i]));
  return result;
}

std::vector<Candidate> pick(TokenKernels& kernels) {
  std::vector<float> logits = normals(2 * 3000, 8);
  for (std::size_t i = 0; i < 3000; ++i) logits[i] = std::round(logits[i] * 4.0F);
  std::vector<Candidate> output(2 * 25);
  kernels.run(
      CandidatesArgs{.logits = logits.data(), .count = 2, .width = 3000, .candidates = 25, .output = output.data()});
  return output;
}

TEST(Lanes, their_number_changes_no_result_beyond_rounding) {
  FibreTokenKernels one(1);
  for (const DataType type : {DataType::f32, DataType::bf16}) {
    const double rounding = type == DataType::bf16 ? 0x1p-7 : 1e-5;
    for (const auto& kernel : {attend, normalise, gate}) {
      const std::vector<float> expected = kernel(one, type);
      for (const std::int64_t lanes : {3, 8, 64}) {
        FibreTokenKernels many(lanes);
        const std::vector<float> got = kernel(many, type);
        ASSERT_EQ(got.size(), expected.size());
        for (std::size_t i = 0; i < got.size(); ++i) {
          ASSERT_NEAR(got[i], expected[i], rounding * std::abs(expected[i]) + 1e-6) << lanes << " lanes, element " << i;
        }
      }
    }
  }
  const std::vector<Candidate> expected = pick(one);
  for (const std::int64_t lanes : {3, 8, 64}) {
    FibreTokenKernels many(lanes);
    const std::vector<Candidate> got = pick(many);
    for (std::size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(got[i].token, expected[i].token);
      ASSERT_EQ(got[i].logit, expected[i].logit);
    }
  }
}

TEST(Lanes, splits_change_no_result_beyond_rounding) {
  FibreTokenKernels whole(8, 1);
  FibreTokenKernels split(8, 64);
  const std::vector<float> expected = attend(whole, DataType::f32);
  const std::vector<float> got = attend(split, DataType::f32);
  for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], expected[i], 1e-5 * std::abs(expected[i]) + 1e-6);
  EXPECT_NE(got, expected);  // another order of sums: it was split
}

// Each barrier that a functor relies on, left out: the orders no longer agree.
TEST(Lanes, a_functor_without_the_barriers_of_its_team_is_seen) {
  const auto fails = [](Missing missing, const std::function<void(TokenKernels&)>& run) {
    FibreTokenKernels kernels(8, 1, missing);
    return failure_of([&] { run(kernels); });
  };
  const auto attention = [](TokenKernels& kernels) { (void)attend(kernels, DataType::f32); };
  EXPECT_THAT(fails(Missing::barriers, attention), HasSubstr("the order of the lanes"));
  EXPECT_THAT(fails(Missing::ends_of_loops, attention), HasSubstr("the order of the lanes"));
  EXPECT_THAT(fails(Missing::begins_of_reductions, attention), HasSubstr("the order of the lanes"));
  const auto candidates = [](TokenKernels& kernels) { (void)pick(kernels); };
  EXPECT_THAT(fails(Missing::ends_of_loops, candidates), HasSubstr("the order of the lanes"));
  EXPECT_EQ(fails(Missing::nothing, attention), "");
  EXPECT_EQ(fails(Missing::nothing, candidates), "");
}

/// Each element minus the first; `careful` waits until all have read that before it is overwritten.
struct MinusFirst {
  float* values;
  std::int64_t size;
  bool careful;
  [[nodiscard]] static std::int64_t blocks() { return 1; }
  template <typename Team>
  void operator()(const Team& team, std::int64_t /*block*/, float* /*scratch*/) const {
    const float first = values[0];
    if (careful) team.barrier();
    team.for_each(size, [this, first](std::int64_t i) { values[i] -= first; });
  }
};

TEST(Lanes, a_value_that_is_overwritten_before_all_have_read_it_is_seen) {
  const auto run = [](bool careful, Fibres::Order order) {
    std::vector<float> values{5, 6, 7, 8};
    run_on_fibres(MinusFirst{values.data(), 4, careful}, 4, 0, order);
    return values;
  };
  const std::vector<float> right{0, 1, 2, 3};
  for (const Fibres::Order order : {Fibres::Order::forward, Fibres::Order::reverse, Fibres::Order::shuffled}) {
    EXPECT_EQ(run(true, order), right);
  }
  EXPECT_NE(run(false, Fibres::Order::forward), run(false, Fibres::Order::reverse));
}

/// Lanes that do not do the same.
struct Astray {
  int how;
  [[nodiscard]] static std::int64_t blocks() { return 1; }
  template <typename Team>
  void operator()(const Team& team, std::int64_t /*block*/, float* /*scratch*/) const {
    if (team.lane() == 0 && how == 0) return;
    if (team.lane() == 0 && how == 1) (void)team.reduce_sum(1, [](std::int64_t) { return 1.0F; });
    team.barrier();
  }
};

TEST(Lanes, that_do_not_meet_at_the_same_calls_are_seen) {
  const auto run = [](int how) {
    return failure_of([&] { run_on_fibres(Astray{how}, 4, 0, Fibres::Order::forward); });
  };
  EXPECT_THAT(run(0), HasSubstr("waits in barrier for one that ended"));
  EXPECT_THAT(run(1), HasSubstr("a lane is in barrier, another in reduce_sum"));
  EXPECT_EQ(run(2), "");
}

}  // namespace
}  // namespace rackproof
