// The functors on a team with several lanes, each a thread: what a GPU's thread block does. Catches a functor that
// relies on lanes being one, and, under the thread sanitizer, a barrier that is missing.
#include "common/backends/team.hpp"

#include <gtest/gtest.h>

#include <barrier>
#include <cmath>
#include <memory>
#include <thread>
#include <vector>

#include "common/backends/host/token_kernels.hpp"
#include "common/backends/kernels/attention.hpp"
#include "common/backends/kernels/candidates.hpp"
#include "common/backends/kernels/embedding.hpp"
#include "common/backends/kernels/residual_norm.hpp"
#include "common/backends/kernels/rope.hpp"
#include "common/backends/kernels/swiglu.hpp"
#include "tests/unit/tokens_fixture.hpp"

namespace rackproof {
namespace {

namespace functors = kernels::RACKPROOF_ISA;
using tokens_fixture::normals;
using tokens_fixture::Typed;

/// One lane of a team whose lanes are threads.
class ThreadTeam {
 public:
  struct Shared {
    explicit Shared(std::int64_t lanes) : meeting(lanes), partial(static_cast<std::size_t>(lanes)) {}
    std::barrier<> meeting;
    std::vector<float> partial;
  };
  static constexpr std::int64_t width = 1;
  using Wide = float;

  ThreadTeam(Shared& shared, std::int64_t lane) : shared_(shared), lane_(lane) {}
  [[nodiscard]] std::int64_t lane() const { return lane_; }
  [[nodiscard]] std::int64_t lanes() const { return static_cast<std::int64_t>(shared_.partial.size()); }
  void barrier() const { shared_.meeting.arrive_and_wait(); }

  [[nodiscard]] static float load_wide(const float* from) { return *from; }
  [[nodiscard]] static float load_wide(const functors::Bf16* from) { return functors::load(*from); }
  static void store_wide(float value, float* to) { *to = value; }

  template <typename Body>
  void for_each(std::int64_t n, Body body) const {
    for (std::int64_t i = lane_; i < n; i += lanes()) body(i);
    barrier();
  }
  template <typename Body>
  void for_each_wide(std::int64_t n, Body body) const {
    for_each(n, body);
  }
  /// Parts of one lane.
  template <typename Body>
  void for_each_part(std::int64_t n, Body body) const {
    for (std::int64_t i = lane_; i < n; i += lanes()) {
      Shared alone(1);
      body(ThreadTeam(alone, 0), i);
    }
    barrier();
  }
  template <typename Body>
  [[nodiscard]] float reduce_sum(std::int64_t n, Body body) const {
    return reduce(n, body, 0.0F, [](float a, float b) { return a + b; });
  }
  template <typename Body>
  [[nodiscard]] float reduce_max(std::int64_t n, Body body) const {
    return reduce(n, body, -3.4e38F, [](float a, float b) { return b > a ? b : a; });
  }

 private:
  template <typename Body, typename Combine>
  [[nodiscard]] float reduce(std::int64_t n, Body body, float identity, Combine combine) const {
    barrier();
    float own = identity;
    for (std::int64_t i = lane_; i < n; i += lanes()) own = combine(own, body(i));
    shared_.partial[static_cast<std::size_t>(lane_)] = own;
    barrier();
    float all = identity;
    for (const float partial : shared_.partial) all = combine(all, partial);
    barrier();
    return all;
  }

  Shared& shared_;
  std::int64_t lane_;
};

template <typename Functor>
void run_with_lanes(const Functor& functor, std::int64_t lanes) {
  std::vector<float> scratch(static_cast<std::size_t>(functors::Attention<float>::scratch(max_head_dim)), NAN);
  ThreadTeam::Shared shared(lanes);
  std::vector<std::jthread> threads;
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    threads.emplace_back([&, lane] {
      const ThreadTeam team(shared, lane);
      for (std::int64_t block = 0; block < functor.blocks(); ++block) {
        functor(team, block, scratch.data());
        team.barrier();  // the next block gets the same scratch
      }
    });
  }
}

class FunctorsOnLanes : public ::testing::TestWithParam<std::int64_t> {
 protected:
  std::unique_ptr<TokenKernels> host = make_host_token_kernels(1);
};
INSTANTIATE_TEST_SUITE_P(, FunctorsOnLanes, ::testing::Values(1, 3, 8));

void expect_close(const Typed& got, const Typed& expected, std::size_t count) {
  // Sums are taken in another order: one unit of the last place of the type, or some of f32.
  const double relative = expected.type == DataType::bf16 ? 0x1p-7 : 1e-5;
  for (std::size_t i = 0; i < count; ++i) {
    ASSERT_NEAR(got[i], expected[i], relative * std::abs(expected[i]) + 1e-6) << "element " << i;
  }
}

template <template <typename> class Functor, typename Args>
void run_typed(const Args& args, DataType type, std::int64_t lanes) {
  if (type == DataType::bf16) {
    run_with_lanes(Functor<functors::Bf16>{args}, lanes);
  } else {
    run_with_lanes(Functor<float>{args}, lanes);
  }
}

TEST_P(FunctorsOnLanes, embedding_norm_and_swiglu_give_what_the_host_gives) {
  const std::int64_t hidden = 50;
  const std::int64_t count = 3;
  const auto size = static_cast<std::size_t>(count * hidden);
  for (const DataType type : {DataType::f32, DataType::bf16}) {
    Typed table(type, normals(4 * static_cast<std::size_t>(hidden), 1));
    const std::vector<std::int32_t> tokens{2, 9, 0};
    std::vector<std::vector<float>> rows(2, std::vector<float>(size, NAN));
    EmbeddingArgs embedding{
        .tokens = tokens.data(), .count = count, .table = table.data(), .type = type, .rows = 4, .hidden = hidden};
    embedding.output = rows[0].data();
    host->run(embedding);
    embedding.output = rows[1].data();
    run_typed<functors::Embedding>(embedding, type, GetParam());
    EXPECT_EQ(rows[1], rows[0]);

    const std::vector<float> delta = normals(size, 2);
    const std::vector<float> weight = normals(static_cast<std::size_t>(hidden), 3);
    std::vector<Typed> normed(2, Typed(type, std::vector<float>(size, NAN)));
    ResidualNormArgs norm{.delta = delta.data(),
                          .weight = weight.data(),
                          .output_type = type,
                          .count = count,
                          .hidden = hidden,
                          .epsilon = 1e-5F};
    norm.residual = rows[0].data();
    norm.output = normed[0].data();
    host->run(norm);
    norm.residual = rows[1].data();
    norm.output = normed[1].data();
    run_typed<functors::ResidualNorm>(norm, type, GetParam());
    EXPECT_EQ(rows[1], rows[0]);
    expect_close(normed[1], normed[0], size);

    std::vector<Typed> gated(2, Typed(type, std::vector<float>(size / 2, NAN)));
    SwigluArgs swiglu{.gate_up = rows[0].data(), .output_type = type, .count = count, .width = hidden / 2};
    swiglu.output = gated[0].data();
    host->run(swiglu);
    swiglu.output = gated[1].data();
    run_typed<functors::Swiglu>(swiglu, type, GetParam());
    expect_close(gated[1], gated[0], size / 2);
  }
}

TEST_P(FunctorsOnLanes, rope_and_attention_give_what_the_host_gives) {
  const std::int64_t heads = 6;
  const std::int64_t length = 7;
  const std::int64_t start = 60;
  for (const DataType type : {DataType::f32, DataType::bf16}) {
    KeyValueCache cache{.type = type, .batch = 2, .kv_heads = 2, .pages = 2, .head_dim = 32};
    const auto cached = static_cast<std::size_t>(cache.batch * cache.kv_heads * cache.pages * kv_page * cache.head_dim);
    const std::int64_t width = (heads + 2 * cache.kv_heads) * cache.head_dim;
    std::vector<std::vector<float>> qkv(2, normals(static_cast<std::size_t>(cache.batch * length * width), 4));
    std::vector<Typed> keys(2, Typed(type, normals(cached, 5)));
    std::vector<Typed> values(2, Typed(type, normals(cached, 6)));
    const std::vector<float> rotations = normals(static_cast<std::size_t>((start + length) * cache.head_dim), 7, 0.5F);
    const auto outputs = static_cast<std::size_t>(cache.batch * length * heads * cache.head_dim);
    std::vector<Typed> output(2, Typed(type, std::vector<float>(outputs, NAN)));
    for (const std::size_t on_lanes : {0UL, 1UL}) {
      cache.keys = keys[on_lanes].data();
      cache.values = values[on_lanes].data();
      const RopeArgs rope{.qkv = qkv[on_lanes].data(),
                          .rotations = rotations.data(),
                          .cache = cache,
                          .length = length,
                          .start = start,
                          .heads = heads};
      const AttentionArgs attention{.queries = qkv[on_lanes].data(),
                                    .row_stride = width,
                                    .cache = cache,
                                    .length = length,
                                    .start = start,
                                    .heads = heads,
                                    .output = output[on_lanes].data()};
      if (on_lanes == 1) {
        run_typed<functors::Rope>(rope, type, GetParam());
        run_typed<functors::Attention>(attention, type, GetParam());
      } else {
        host->run(rope);
        host->run(attention);
      }
    }
    expect_close(keys[1], keys[0], cached);
    expect_close(values[1], values[0], cached);
    expect_close(output[1], output[0], outputs);
  }
}

TEST_P(FunctorsOnLanes, candidates_are_those_of_the_host) {
  std::vector<float> logits = normals(2 * 3000, 8);
  for (std::size_t i = 0; i < 3000; ++i) logits[i] = std::round(logits[i] * 4.0F);
  std::vector<std::vector<Candidate>> output(2, std::vector<Candidate>(2 * 25));
  CandidatesArgs args{.logits = logits.data(), .count = 2, .width = 3000, .candidates = 25};
  args.output = output[0].data();
  host->run(args);
  args.output = output[1].data();
  run_with_lanes(functors::Candidates{args}, GetParam());
  for (std::size_t i = 0; i < output[0].size(); ++i) {
    EXPECT_EQ(output[1][i].token, output[0][i].token);
    EXPECT_EQ(output[1][i].logit, output[0][i].logit);
  }
}

TEST(Arithmetic, exponential_is_exact_to_f32_and_keeps_nan) {
  for (float x = -87.0F; x <= 88.0F; x += 0.00731F) {
    const double expected = std::exp(static_cast<double>(x));
    ASSERT_NEAR(functors::exponential(x), expected, 3e-7 * expected) << x;
  }
  EXPECT_EQ(functors::exponential(0.0F), 1.0F);
  EXPECT_LT(functors::exponential(-1e30F), 2e-38F);
  EXPECT_GT(functors::exponential(1e30F), 1e38F);
  EXPECT_TRUE(std::isnan(functors::exponential(NAN)));
}

TEST(Arithmetic, bf16_rounds_as_the_rest_of_the_program_does) {
  for (std::uint64_t i = 0; i < 100000; ++i) {
    const float value = functors::float_of_bits(static_cast<std::uint32_t>(random_bits(1, i)));
    functors::Bf16 stored{};
    functors::store(value, stored);
    ASSERT_EQ(stored.bits, to_bf16(value));
    ASSERT_EQ(functors::bits_of_float(functors::load(stored)), static_cast<std::uint32_t>(stored.bits) << 16U);
  }
}

}  // namespace
}  // namespace rackproof
