// Each token kernel against loops that spell its definition out: the host's for every instruction set of this CPU, and
// the functors on teams of 1, 8 and 64 lanes, and a GPU's where there is one.
#include "common/backends/host/token_kernels.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "common/core/error.hpp"
#include "tests/fakes/fibre_token_kernels.hpp"
#include "tests/fakes/staged_token_kernels.hpp"
#include "tests/unit/tokens_fixture.hpp"

namespace rackproof {
namespace {

using tokens_fixture::normals;
using tokens_fixture::roundoff;
using tokens_fixture::several_threads;
using tokens_fixture::Typed;

/// What runs the kernels.
struct Runner {
  std::string name;
  std::function<std::unique_ptr<TokenKernels>()> make;
};

std::vector<Runner> runners() {
  std::vector<Runner> all;
  for (const host::Isa isa : host::supported_isas()) {
    const std::string isa_name(host::name(isa));
    all.push_back({isa_name, [isa] { return make_host_token_kernels(1, isa); }});
    all.push_back({isa_name + "_threads", [isa] { return make_host_token_kernels(several_threads, isa); }});
  }
#ifndef __SANITIZE_THREAD__  // which does not know these contexts
  for (const std::int64_t lanes : {1, 8, 64}) {
    all.push_back({"lanes" + std::to_string(lanes), [lanes] { return std::make_unique<FibreTokenKernels>(lanes); }});
  }
#endif
  if (open_first_gpu() != nullptr) {
    all.push_back({"gpu", [] { return std::make_unique<StagedTokenKernels>(open_first_gpu()); }});
  }
  return all;
}

class TokenKernelsOf : public ::testing::TestWithParam<std::tuple<Runner, DataType>> {
 protected:
  std::unique_ptr<TokenKernels> kernels = std::get<0>(GetParam()).make();
  DataType type = std::get<1>(GetParam());
};

INSTANTIATE_TEST_SUITE_P(, TokenKernelsOf,
                         ::testing::Combine(::testing::ValuesIn(runners()),
                                            ::testing::Values(DataType::f32, DataType::bf16)),
                         [](const auto& tested) {
                           return std::get<0>(tested.param).name + "_" + std::string(name(std::get<1>(tested.param)));
                         });

/// Their numbers are f32 always.
class CandidatesOf : public ::testing::TestWithParam<Runner> {
 protected:
  std::unique_ptr<TokenKernels> kernels = GetParam().make();
};

INSTANTIATE_TEST_SUITE_P(, CandidatesOf, ::testing::ValuesIn(runners()),
                         [](const auto& tested) { return tested.param.name; });

TEST_P(TokenKernelsOf, embedding_gathers_rows_and_leaves_zeros_for_tokens_of_other_shards) {
  for (const std::int64_t hidden : {1, 17, 768}) {
    const std::int64_t rows = 5;
    Typed table(type, normals(static_cast<std::size_t>(rows * hidden), 1));
    const std::vector<std::int32_t> tokens{12, 10, 14, 9, 15, 0};
    std::vector<float> output(tokens.size() * static_cast<std::size_t>(hidden), NAN);
    kernels->run(EmbeddingArgs{.tokens = tokens.data(),
                               .count = static_cast<std::int64_t>(tokens.size()),
                               .table = table.data(),
                               .type = type,
                               .rows = rows,
                               .first_row = 10,
                               .hidden = hidden,
                               .output = output.data()});
    for (std::size_t t = 0; t < tokens.size(); ++t) {
      for (std::int64_t i = 0; i < hidden; ++i) {
        const bool here = tokens[t] >= 10 && tokens[t] < 15;
        const double expected = here ? table[static_cast<std::size_t>((tokens[t] - 10) * hidden + i)] : 0.0;
        EXPECT_EQ(output[t * static_cast<std::size_t>(hidden) + static_cast<std::size_t>(i)], expected);
      }
    }
  }
}

TEST_P(TokenKernelsOf, residual_norm_adds_and_normalises_each_row) {
  for (const std::int64_t hidden : {1, 33, 768, 1000}) {
    for (const std::int64_t stride : {1, 3}) {
      for (const bool with_delta : {false, true}) {
        const std::int64_t count = 4;
        const auto size = static_cast<std::size_t>(count * stride * hidden);
        const std::vector<float> before = normals(size, 2, 3.0F);
        const std::vector<float> delta = normals(size, 3);
        const std::vector<float> weight = normals(static_cast<std::size_t>(hidden), 4);
        std::vector<float> residual = before;
        Typed output(type, std::vector<float>(static_cast<std::size_t>(count * hidden), NAN));
        kernels->run(ResidualNormArgs{.residual = residual.data(),
                                      .delta = with_delta ? delta.data() : nullptr,
                                      .weight = weight.data(),
                                      .output = output.data(),
                                      .output_type = type,
                                      .count = count,
                                      .row_stride = stride,
                                      .hidden = hidden,
                                      .epsilon = 1e-2F});
        for (std::int64_t row = 0; row < count * stride; ++row) {
          const auto at = static_cast<std::size_t>(row * hidden);
          const bool touched = row % stride == 0;
          double squares = 0.0;
          for (std::size_t i = at; i < at + static_cast<std::size_t>(hidden); ++i) {
            EXPECT_EQ(residual[i], touched && with_delta ? before[i] + delta[i] : before[i]);
            squares += static_cast<double>(residual[i]) * residual[i];
          }
          if (!touched) continue;
          for (std::size_t i = 0; i < static_cast<std::size_t>(hidden); ++i) {
            const double expected =
                residual[at + i] / std::sqrt(squares / static_cast<double>(hidden) + 1e-2) * weight[i];
            const double got = output[static_cast<std::size_t>(row / stride * hidden) + i];
            EXPECT_NEAR(got, expected, roundoff(type) * std::abs(expected) + 1e-30);
          }
        }
      }
    }
  }
}

/// Where a key or value lies, by the layout that token_kernels.hpp states.
std::size_t key_index(const KeyValueCache& cache, std::int64_t sequence, std::int64_t head, std::int64_t position,
                      std::int64_t d) {
  const std::int64_t page = (sequence * cache.kv_heads + head) * cache.pages + position / kv_page;
  return static_cast<std::size_t>((page * cache.head_dim + d) * kv_page + position % kv_page);
}
std::size_t value_index(const KeyValueCache& cache, std::int64_t sequence, std::int64_t head, std::int64_t position,
                        std::int64_t d) {
  const std::int64_t page = (sequence * cache.kv_heads + head) * cache.pages + position / kv_page;
  return static_cast<std::size_t>((page * kv_page + position % kv_page) * cache.head_dim + d);
}

std::size_t cache_size(const KeyValueCache& cache) {
  return static_cast<std::size_t>(cache.batch * cache.kv_heads * cache.pages * kv_page * cache.head_dim);
}

TEST_P(TokenKernelsOf, rope_turns_pairs_scales_queries_and_fills_the_cache_at_its_positions) {
  const std::int64_t heads = 6;
  const std::int64_t length = 5;
  const std::int64_t start = 61;  // crosses a page
  for (const std::int64_t head_dim : {16, 48, 128}) {
    KeyValueCache cache{.type = type, .batch = 2, .kv_heads = 3, .pages = 2, .head_dim = head_dim};
    Typed keys(type, std::vector<float>(cache_size(cache), 0.0F));
    Typed values = keys;
    cache.keys = keys.data();
    cache.values = values.data();
    const std::int64_t width = (heads + 2 * cache.kv_heads) * head_dim;
    const std::vector<float> before = normals(static_cast<std::size_t>(cache.batch * length * width), 5);
    std::vector<float> qkv = before;
    std::vector<float> rotations;
    for (std::int64_t position = 0; position < start + length; ++position) {
      for (const bool sine : {false, true}) {
        for (std::int64_t i = 0; i < head_dim / 2; ++i) {
          const double angle = 0.1 * static_cast<double>(position * (i + 1));
          rotations.push_back(static_cast<float>(sine ? std::sin(angle) : std::cos(angle)));
        }
      }
    }
    kernels->run(RopeArgs{.qkv = qkv.data(),
                          .rotations = rotations.data(),
                          .cache = cache,
                          .length = length,
                          .start = start,
                          .heads = heads});
    for (std::int64_t row = 0; row < cache.batch * length; ++row) {
      const std::int64_t sequence = row / length;
      const std::int64_t position = start + row % length;
      const auto turned = [&](std::int64_t head, std::int64_t d) {
        const auto at = static_cast<std::size_t>(row * width + head * head_dim);
        const std::int64_t half = head_dim / 2;
        const std::int64_t i = d % half;
        const double angle = 0.1 * static_cast<double>(position * (i + 1));
        const double low = before[at + static_cast<std::size_t>(i)];
        const double high = before[at + static_cast<std::size_t>(half + i)];
        return d < half ? low * std::cos(angle) - high * std::sin(angle)
                        : high * std::cos(angle) + low * std::sin(angle);
      };
      for (std::int64_t d = 0; d < head_dim; ++d) {
        for (std::int64_t head = 0; head < heads; ++head) {
          EXPECT_NEAR(qkv[static_cast<std::size_t>(row * width + head * head_dim + d)],
                      turned(head, d) / std::sqrt(static_cast<double>(head_dim)), 1e-6);
        }
        for (std::int64_t head = 0; head < cache.kv_heads; ++head) {
          const double key = turned(heads + head, d);
          EXPECT_NEAR(keys[key_index(cache, sequence, head, position, d)], key, roundoff(type) * std::abs(key) + 1e-6);
          const auto input = static_cast<std::size_t>(row * width + (heads + cache.kv_heads + head) * head_dim + d);
          EXPECT_NEAR(values[value_index(cache, sequence, head, position, d)], before[input],
                      roundoff(type) * std::abs(before[input]));
        }
      }
    }
  }
}

struct AttentionShape {
  std::int64_t batch, heads, kv_heads, head_dim, start, length;
};

void expect_attention(TokenKernels& kernels, DataType type, const AttentionShape& shape) {
  const std::int64_t total = shape.start + shape.length;
  KeyValueCache cache{.type = type,
                      .batch = shape.batch,
                      .kv_heads = shape.kv_heads,
                      .pages = (total + kv_page - 1) / kv_page + 1,
                      .head_dim = shape.head_dim};
  // Every position is filled: what lies beyond a row's own must not show.
  Typed keys(type, normals(cache_size(cache), 6, 2.0F));
  Typed values(type, normals(cache_size(cache), 7));
  cache.keys = keys.data();
  cache.values = values.data();
  const std::int64_t stride = (shape.heads + 2 * shape.kv_heads) * shape.head_dim;
  // Scores with a standard deviation of 2, whatever the size of a head.
  const std::vector<float> queries = normals(static_cast<std::size_t>(shape.batch * shape.length * stride), 8,
                                             1.0F / std::sqrt(static_cast<float>(shape.head_dim)));
  const auto outputs = static_cast<std::size_t>(shape.batch * shape.length * shape.heads * shape.head_dim);
  Typed output(type, std::vector<float>(outputs, NAN));
  kernels.run(AttentionArgs{.queries = queries.data(),
                            .row_stride = stride,
                            .cache = cache,
                            .length = shape.length,
                            .start = shape.start,
                            .heads = shape.heads,
                            .output = output.data()});
  for (std::int64_t row = 0; row < shape.batch * shape.length; ++row) {
    const std::int64_t sequence = row / shape.length;
    const std::int64_t position = shape.start + row % shape.length;
    for (std::int64_t head = 0; head < shape.heads; ++head) {
      const std::int64_t kv_head = head / (shape.heads / shape.kv_heads);
      std::vector<double> weights;
      double sum = 0.0;
      for (std::int64_t p = 0; p <= position; ++p) {
        double score = 0.0;
        for (std::int64_t d = 0; d < shape.head_dim; ++d) {
          score += queries[static_cast<std::size_t>(row * stride + head * shape.head_dim + d)] *
                   keys[key_index(cache, sequence, kv_head, p, d)];
        }
        weights.push_back(std::exp(score));
        sum += weights.back();
      }
      for (std::int64_t d = 0; d < shape.head_dim; ++d) {
        double expected = 0.0;
        double magnitude = 0.0;
        for (std::int64_t p = 0; p <= position; ++p) {
          const double term =
              weights[static_cast<std::size_t>(p)] / sum * values[value_index(cache, sequence, kv_head, p, d)];
          expected += term;
          magnitude += std::abs(term);
        }
        const double got = output[static_cast<std::size_t>((row * shape.heads + head) * shape.head_dim + d)];
        ASSERT_NEAR(got, expected, 1e-5 * magnitude + (type == DataType::bf16 ? 0x1p-8 * std::abs(expected) : 0.0))
            << "row " << row << " head " << head << " dimension " << d;
      }
    }
  }
}

TEST_P(TokenKernelsOf, attention_is_the_causal_softmax_over_the_cache) {
  expect_attention(*kernels, type, {1, 1, 1, 16, 0, 1});      // nothing but itself
  expect_attention(*kernels, type, {2, 12, 4, 64, 0, 37});    // a prompt; groups of 3 do not divide tiles of 8
  expect_attention(*kernels, type, {1, 8, 1, 32, 0, 65});     // one position on a second page
  expect_attention(*kernels, type, {3, 6, 2, 48, 63, 1});     // a step that fills a page
  expect_attention(*kernels, type, {2, 4, 4, 128, 64, 1});    // a step that opens one; no groups
  expect_attention(*kernels, type, {1, 16, 1, 256, 130, 3});  // groups larger than a tile; a stretch in the middle
}

TEST_P(TokenKernelsOf, attention_over_a_long_context_is_the_same_when_it_is_split) {
  expect_attention(*kernels, type, {1, 4, 1, 64, 4000, 1});  // a single tile: split among threads too
  expect_attention(*kernels, type, {2, 3, 1, 16, 450, 1});   // pages that the splits do not divide
  expect_attention(*kernels, type, {1, 1, 1, 16, 0, 257});   // rows that see nothing of a split
}

TEST_P(TokenKernelsOf, attention_keeps_its_sums_when_scores_are_large) {
  // Scores of +-1000: exp() of them overflows unless the largest is taken off first, on every page again.
  const std::int64_t head_dim = 16;
  const std::int64_t positions = 3 * kv_page;
  KeyValueCache cache{.type = type, .batch = 1, .kv_heads = 1, .pages = 3, .head_dim = head_dim};
  std::vector<float> key_values(cache_size(cache), 0.0F);
  std::vector<float> value_values(cache_size(cache), 0.0F);
  for (std::int64_t p = 0; p < positions; ++p) {
    key_values[key_index(cache, 0, 0, p, 0)] = p == 100 ? 1000.0F : -1000.0F;
    value_values[value_index(cache, 0, 0, p, 3)] = p == 100 ? 5.0F : -7.0F;
  }
  Typed keys(type, key_values);
  Typed values(type, value_values);
  cache.keys = keys.data();
  cache.values = values.data();
  std::vector<float> query(static_cast<std::size_t>(head_dim), 0.0F);
  query[0] = 1.0F;
  Typed output(type, std::vector<float>(static_cast<std::size_t>(head_dim), NAN));
  kernels->run(AttentionArgs{.queries = query.data(),
                             .row_stride = head_dim,
                             .cache = cache,
                             .length = 1,
                             .start = positions - 1,
                             .heads = 1,
                             .output = output.data()});
  EXPECT_EQ(output[3], 5.0);
  EXPECT_EQ(output[0], 0.0);
}

TEST_P(TokenKernelsOf, attention_hands_a_nan_on) {
  KeyValueCache cache{.type = type, .batch = 1, .kv_heads = 1, .pages = 1, .head_dim = 16};
  std::vector<float> key_values(cache_size(cache), 0.0F);
  key_values[key_index(cache, 0, 0, 2, 5)] = NAN;
  Typed keys(type, key_values);
  Typed values(type, std::vector<float>(cache_size(cache), 1.0F));
  cache.keys = keys.data();
  cache.values = values.data();
  const std::vector<float> query(16, 1.0F);
  Typed output(type, std::vector<float>(16, 0.0F));
  kernels->run(AttentionArgs{.queries = query.data(),
                             .row_stride = 16,
                             .cache = cache,
                             .length = 1,
                             .start = 4,
                             .heads = 1,
                             .output = output.data()});
  EXPECT_TRUE(std::isnan(output[0]));
}

TEST_P(TokenKernelsOf, swiglu_gates_each_element) {
  for (const std::int64_t width : {1, 31, 2048}) {
    const std::int64_t count = 3;
    std::vector<float> gate_up = normals(static_cast<std::size_t>(count * 2 * width), 9, 4.0F);
    gate_up[0] = 300.0F;  // exp(300) is no f32
    gate_up[static_cast<std::size_t>(2 * width)] = -300.0F;
    Typed output(type, std::vector<float>(static_cast<std::size_t>(count * width), NAN));
    kernels->run(SwigluArgs{
        .gate_up = gate_up.data(), .output = output.data(), .output_type = type, .count = count, .width = width});
    for (std::int64_t i = 0; i < count; ++i) {
      for (std::int64_t j = 0; j < width; ++j) {
        const double gate = gate_up[static_cast<std::size_t>(2 * i * width + j)];
        const double up = gate_up[static_cast<std::size_t>((2 * i + 1) * width + j)];
        const double expected = gate / (1.0 + std::exp(-gate)) * up;
        EXPECT_NEAR(output[static_cast<std::size_t>(i * width + j)], expected,
                    roundoff(type) * std::abs(expected) + 1e-30);
      }
    }
  }
}

std::vector<Candidate> largest(const std::vector<float>& logits, std::int64_t first, std::size_t count) {
  std::vector<Candidate> all;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > -1e38F) all.push_back({logits[i], static_cast<std::int32_t>(first) + static_cast<std::int32_t>(i)});
  }
  std::stable_sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) { return a.logit > b.logit; });
  all.resize(count, {-std::numeric_limits<float>::infinity(), -1});
  return all;
}

TEST_P(CandidatesOf, are_the_largest_in_order_and_equal_ones_by_token) {
  for (const std::size_t width : {1UL, 7UL, 255UL, 257UL, 4000UL, 32000UL}) {
    for (const std::int64_t count : {1, 5, 40, 300}) {
      if (count == 300 && width > 4000) continue;
      std::vector<float> logits = normals(2 * width, 10);
      // Many equal ones in the second row, and what no candidate may come from.
      for (std::size_t i = width; i < 2 * width; ++i) logits[i] = std::round(logits[i]);
      logits[width / 2] = NAN;
      logits[width + width / 3] = -std::numeric_limits<float>::infinity();
      std::vector<Candidate> output(static_cast<std::size_t>(2 * count), {NAN, -7});
      kernels->run(CandidatesArgs{.logits = logits.data(),
                                  .count = 2,
                                  .width = static_cast<std::int64_t>(width),
                                  .first_token = 1000,
                                  .candidates = count,
                                  .output = output.data()});
      for (std::size_t row = 0; row < 2; ++row) {
        const std::vector<float> part(logits.begin() + static_cast<std::ptrdiff_t>(row * width),
                                      logits.begin() + static_cast<std::ptrdiff_t>((row + 1) * width));
        const std::vector<Candidate> expected = largest(part, 1000, static_cast<std::size_t>(count));
        for (std::size_t i = 0; i < expected.size(); ++i) {
          const Candidate& got = output[row * static_cast<std::size_t>(count) + i];
          ASSERT_EQ(got.token, expected[i].token) << "width " << width << " row " << row << " place " << i;
          ASSERT_EQ(got.logit, expected[i].logit);
        }
      }
    }
  }
}

TEST(TokenKernels, threads_and_instruction_sets_do_not_change_which_token_wins) {
  const std::vector<float> logits = normals(32000, 11);
  for (const host::Isa isa : host::supported_isas()) {
    for (const int threads : {1, tokens_fixture::several_threads}) {
      Candidate best{};
      make_host_token_kernels(threads, isa)
          ->run(CandidatesArgs{.logits = logits.data(), .count = 1, .width = 32000, .candidates = 1, .output = &best});
      EXPECT_EQ(best.token, std::max_element(logits.begin(), logits.end()) - logits.begin());
    }
  }
}

TEST(TokenKernels, refuse_what_their_scratch_or_cache_cannot_hold) {
  const auto kernels = make_host_token_kernels(1);
  std::vector<float> some(64, 0.0F);
  KeyValueCache cache{
      .keys = some.data(), .values = some.data(), .type = DataType::f32, .batch = 1, .kv_heads = 1, .pages = 1};
  AttentionArgs attention{.queries = some.data(), .row_stride = 24, .cache = cache, .length = 1, .heads = 1};
  attention.cache.head_dim = 24;
  EXPECT_THROW(kernels->run(attention), Error);
  attention.cache.head_dim = 272;
  EXPECT_THROW(kernels->run(attention), Error);
  attention.cache.head_dim = 16;
  attention.start = kv_page;
  EXPECT_THROW(kernels->run(attention), Error);
  attention.start = 0;
  attention.cache.type = DataType::f64;
  EXPECT_THROW(kernels->run(attention), Error);
  EXPECT_THROW(kernels->run(CandidatesArgs{.candidates = max_candidates + 1}), Error);
  EXPECT_THROW(kernels->run(SwigluArgs{.output_type = DataType::i8}), Error);
}

}  // namespace
}  // namespace rackproof
