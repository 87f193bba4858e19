// The engine against the fp64 reference, prefill against incremental decode, and the checks that each case makes of
// what it timed.
#include "suites/tokens/reference.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "common/core/error.hpp"
#include "suites/suite.hpp"
#include "suites/tokens/engine.hpp"
#include "suites/tokens/workload.hpp"
#include "tests/unit/tokens_fixture.hpp"

namespace rackproof {

std::unique_ptr<Suite> make_tokens_suite();

namespace tokens {
namespace {

using ::testing::HasSubstr;
using tokens_fixture::DeviceWithFault;
using tokens_fixture::open_host;
using tokens_fixture::SoloCollective;

ModelShape odd_shape() {
  // Nothing is a power of two, the head is tied, groups of three.
  return {.name = "odd",
          .layers = 3,
          .hidden = 90,
          .heads = 6,
          .kv_heads = 2,
          .head_dim = 48,
          .ffn = 77,
          .vocabulary = 301,
          .tied = true,
          .rope_theta = 10000.0};
}

double rms(std::span<const double> values) {
  double squares = 0.0;
  for (const double value : values) squares += value * value;
  return std::sqrt(squares / static_cast<double>(values.size()));
}

/// Largest difference in units of the tolerance.
double error_of(std::span<const float> got, std::span<const double> expected, const ModelShape& shape, DataType type) {
  double worst = 0.0;
  for (std::size_t i = 0; i < expected.size(); ++i) worst = std::max(worst, std::abs(got[i] - expected[i]));
  return worst / (logit_tolerance(shape, type) * rms(expected));
}

TEST(Reference, a_later_token_changes_no_logit_of_an_earlier_one) {
  const ModelShape shape = find_shape("tiny");
  const Reference reference(WeightSource(shape, 1), DataType::f32);
  std::vector<std::int32_t> tokens = make_prompt(shape, 1, 0, 6);
  const std::vector<double> before = reference.logits(tokens);
  tokens[4] = (tokens[4] + 1) % 512;
  const std::vector<double> after = reference.logits(tokens);
  const auto changed = std::mismatch(before.begin(), before.end(), after.begin()).first - before.begin();
  EXPECT_EQ(changed / shape.vocabulary, 4);
}

TEST(Reference, logits_depend_on_the_order_of_the_tokens) {
  const ModelShape shape = find_shape("tiny");
  const Reference reference(WeightSource(shape, 1), DataType::f32);
  const std::vector<double> one = reference.logits(std::vector<std::int32_t>{5, 9, 7});
  const std::vector<double> other = reference.logits(std::vector<std::int32_t>{9, 5, 7});
  EXPECT_GT(std::abs(one.back() - other.back()), 1e-6);
}

class EngineOf : public ::testing::TestWithParam<std::tuple<bool, DataType, std::int64_t>> {};
INSTANTIATE_TEST_SUITE_P(, EngineOf,
                         ::testing::Combine(::testing::Bool(), ::testing::Values(DataType::f32, DataType::bf16),
                                            ::testing::Values(1, 3)),
                         [](const auto& tested) {
                           return std::string(std::get<0>(tested.param) ? "odd_" : "tiny_") +
                                  std::string(name(std::get<1>(tested.param))) + "_batch" +
                                  std::to_string(std::get<2>(tested.param));
                         });

TEST_P(EngineOf, prefill_and_every_decode_step_match_the_fp64_reference) {
  const auto [odd, type, batch] = GetParam();
  const ModelShape shape = odd ? odd_shape() : find_shape("tiny");
  const auto device = open_host();
  if (!device->supports(type)) GTEST_SKIP() << "this CPU does not multiply " << name(type);
  Engine engine(*device, nullptr,
                {.shape = shape, .type = type, .seed = 3, .batch = batch, .capacity = 80, .packed_for = batch * 61});
  const Reference reference(WeightSource(shape, 3), type);
  std::vector<std::vector<std::int32_t>> sequences;
  std::vector<std::vector<double>> expected;
  for (std::int64_t sequence = 0; sequence < batch; ++sequence) {
    sequences.push_back(make_prompt(shape, 3, sequence, 70));
    expected.push_back(reference.logits(sequences.back()));
  }
  const auto vocabulary = static_cast<std::size_t>(shape.vocabulary);
  const auto run = [&](std::int64_t start, std::int64_t length) {
    std::vector<std::int32_t> tokens;
    for (const auto& sequence : sequences) {
      tokens.insert(tokens.end(), sequence.begin() + start, sequence.begin() + start + length);
    }
    engine.forward(tokens, length, start);
    const std::vector<float> logits = engine.logits();
    double worst = 0.0;
    for (std::size_t sequence = 0; sequence < sequences.size(); ++sequence) {
      const auto row = static_cast<std::size_t>(start + length - 1) * vocabulary;
      worst = std::max(worst, error_of(std::span(logits).subspan(sequence * vocabulary, vocabulary),
                                       std::span(expected[sequence]).subspan(row, vocabulary), shape, type));
    }
    return worst;
  };
  EXPECT_LE(run(0, 61), 1.0);                                                  // a prompt
  for (std::int64_t at = 61; at < 68; ++at) EXPECT_LE(run(at, 1), 1.0) << at;  // steps, across a page
  EXPECT_LE(run(68, 2), 1.0);                                                  // a stretch in the middle
  EXPECT_LE(run(0, 70), 1.0);                                                  // all at once
  EXPECT_LE(run(0, 1), 1.0);                                                   // and from the start again
}

TEST(Engine, tokens_are_the_same_for_any_number_of_threads) {
  const ModelShape shape = find_shape("tiny");
  std::vector<std::vector<std::int32_t>> chosen;
  for (const int threads : {1, tokens_fixture::several_threads}) {
    const auto device = open_host(threads);
    Engine engine(*device, nullptr, {.shape = shape, .seed = 1, .capacity = 40, .packed_for = 8});
    std::vector<std::int32_t> tokens;
    engine.forward(make_prompt(shape, 1, 0, 8), 8, 0);
    for (std::int64_t at = 8; at < 40; ++at) {
      tokens.push_back(choose_token(engine.candidates(1), {}, 0, at));
      engine.forward(std::span(&tokens.back(), 1), 1, at);
    }
    chosen.push_back(tokens);
  }
  EXPECT_EQ(chosen[0], chosen[1]);
}

// --- the suite's cases ----------------------------------------------------------------------------------------------

Options options_of(const std::map<std::string, std::string>& given) {
  Options options;
  for (const OptionSpec& spec : make_tokens_suite()->options()) options.values[spec.name] = spec.default_value;
  for (const auto& [key, value] : given) options.values.at(key) = value;
  return options;
}

Platform platform_of(int ranks, std::size_t memory = 0) {
  return {.topology = mpi::single_node_topology(ranks), .peaks = {}, .memory_available = memory, .known = false};
}

std::vector<Case> cases_of(const std::map<std::string, std::string>& given, int ranks, std::size_t memory = 0) {
  return make_tokens_suite()->cases(options_of(given), platform_of(ranks, memory));
}

std::string refusal_of(const std::map<std::string, std::string>& given, int ranks, std::size_t memory = 0) {
  try {
    (void)cases_of(given, ranks, memory);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::usage);
    return error.what();
  }
  return "nothing was refused";
}

TEST(Cases, quick_measures_both_small_models_in_both_types_and_phases) {
  std::vector<std::string> names;
  for (const Case& one : cases_of({}, 2)) names.push_back(one.name);
  EXPECT_THAT(names, ::testing::ElementsAre(
                         "tokens/tiny/f32/tp2/prefill/p128b1", "tokens/tiny/f32/tp2/decode/c128b1",
                         "tokens/tiny/bf16/tp2/prefill/p128b1", "tokens/tiny/bf16/tp2/decode/c128b1",
                         "tokens/llama-100m/f32/tp2/prefill/p128b1", "tokens/llama-100m/f32/tp2/decode/c128b1",
                         "tokens/llama-100m/bf16/tp2/prefill/p128b1", "tokens/llama-100m/bf16/tp2/decode/c128b1"));
}

TEST(Cases, ranks_that_the_model_cannot_be_divided_by_become_replicas) {
  const auto layout = [](int ranks) {
    const Case one = cases_of({{"model", "llama-100m"}}, ranks).front();
    return std::pair(one.parameters.integer("tp"), one.parameters.integer("dp"));
  };
  EXPECT_EQ(layout(1), std::pair(1L, 1L));
  EXPECT_EQ(layout(3), std::pair(1L, 3L));
  EXPECT_EQ(layout(4), std::pair(4L, 1L));
  EXPECT_EQ(layout(6), std::pair(2L, 3L));
  EXPECT_EQ(layout(8), std::pair(4L, 2L));
}

TEST(Cases, work_counts_flop_and_bytes_of_a_rank_and_tokens_of_the_job) {
  const ModelShape shape = find_shape("llama-100m");
  Platform platform = platform_of(8);
  platform.known = true;
  platform.peaks.flops = {{DataType::bf16, 1e12}};
  platform.peaks.memory_bandwidth = 1e10;
  const auto cases = make_tokens_suite()->cases(
      options_of({{"model", "llama-100m"}, {"token-types", "bf16"}, {"batch", "3"}, {"prompt", "100"}}), platform);
  ASSERT_EQ(cases.size(), 2U);
  const Case& prefill = cases[0];
  EXPECT_EQ(prefill.work.tokens, 2.0 * 3 * 100);
  EXPECT_EQ(prefill.work.flop, prefill_flop(shape, 3, 100.0) / 4.0);
  ASSERT_EQ(prefill.figures.size(), 3U);
  EXPECT_EQ(prefill.figures[0].amount, 600.0);
  EXPECT_EQ(prefill.figures[1].name, "ttft");
  EXPECT_EQ(prefill.figures[2].name, "mfu");
  EXPECT_DOUBLE_EQ(prefill.figures[2].amount, 100.0 * prefill.work.flop / 1e12);
  const Case& decode = cases[1];
  EXPECT_EQ(decode.work.tokens, 2.0 * 3);
  EXPECT_EQ(decode.work.bytes, decode_bytes(shape, DataType::bf16, 3, 128.0 + 63.0 / 2.0) / 4.0);
  ASSERT_EQ(decode.figures.size(), 4U);
  EXPECT_EQ(decode.figures[2].name, "mbu");
  EXPECT_DOUBLE_EQ(decode.figures[2].amount, 100.0 * decode.work.bytes / 1e10);
}

TEST(Cases, a_model_that_lies_in_the_caches_has_no_share_of_the_memorys_bandwidth) {
  Platform platform = platform_of(1);
  platform.known = true;
  platform.peaks.flops = {{DataType::f32, 1e11}, {DataType::bf16, 1e12}};
  platform.peaks.memory_bandwidth = 1e10;
  for (const Case& one : make_tokens_suite()->cases(options_of({}), platform)) {
    const bool has =
        std::any_of(one.figures.begin(), one.figures.end(), [](const Figure& f) { return f.name == "mbu"; });
    EXPECT_EQ(has, one.parameters.text("model") == "llama-100m" && one.parameters.text("phase") == "decode")
        << one.name;
  }
}

TEST(Cases, a_type_that_the_device_lacks_is_skipped_with_the_reason) {
  Platform platform = platform_of(1);
  platform.known = true;
  platform.peaks.flops = {{DataType::f32, 1e11}};
  for (const Case& one : make_tokens_suite()->cases(options_of({{"model", "tiny"}}), platform)) {
    EXPECT_EQ(!one.skip_reason.empty(), one.parameters.text("type") == "bf16") << one.name;
  }
}

TEST(Cases, a_tp_that_does_not_divide_is_refused_with_the_number_it_does_not_divide) {
  EXPECT_THAT(refusal_of({{"tp", "2"}}, 3), HasSubstr("--tp 2 does not divide the 3 ranks"));
  EXPECT_THAT(refusal_of({{"tp", "8"}, {"model", "llama-100m"}}, 8), HasSubstr("--tp 8 does not divide the 12 heads"));
  EXPECT_THAT(refusal_of({{"tp", "8"}, {"model", "tiny"}}, 8), HasSubstr("4 key and value heads of tiny"));
  EXPECT_THAT(refusal_of({{"tp", "0"}}, 2), HasSubstr("--tp"));
  EXPECT_THAT(refusal_of({{"tp", "two"}}, 2), HasSubstr("--tp"));
}

TEST(Cases, a_model_that_does_not_fit_is_refused_with_what_it_needs_and_what_there_is) {
  const std::size_t memory = std::size_t{4} << 30U;
  EXPECT_THAT(refusal_of({{"model", "llama-3-8b"}, {"token-types", "bf16"}}, 1, memory),
              ::testing::AllOf(HasSubstr("llama-3-8b in bf16 needs 17"), HasSubstr("4 GiB are available")));
  EXPECT_EQ(refusal_of({{"model", "llama-3-8b"}}, 1, 0), "nothing was refused") << "unknown memory, as in list";
  // Nobody asked for it: skipped, and the rest runs.
  const auto cases = cases_of({}, 1, std::size_t{100} << 20U);
  EXPECT_TRUE(cases.front().skip_reason.empty());
  EXPECT_THAT(cases.back().skip_reason, HasSubstr("llama-100m in bf16 needs"));
}

TEST(Cases, bad_options_are_refused_by_name) {
  EXPECT_THAT(refusal_of({{"model", "tiny,tiny"}}, 1), HasSubstr("twice"));
  EXPECT_THAT(refusal_of({{"model", ""}}, 1), HasSubstr("empty"));
  EXPECT_THAT(refusal_of({{"token-types", "i8"}}, 1), HasSubstr("choose among f32 and bf16"));
  EXPECT_THAT(refusal_of({{"token-types", "f17"}}, 1), HasSubstr("f17"));
  EXPECT_THAT(refusal_of({{"batch", "0"}}, 1), HasSubstr("--batch"));
  EXPECT_THAT(refusal_of({{"prompt", "12x"}}, 1), HasSubstr("--prompt"));
  EXPECT_THAT(refusal_of({{"context", "-1"}}, 1), HasSubstr("--context"));
  EXPECT_THAT(refusal_of({{"sampling", "best"}}, 1), HasSubstr("greedy or random"));
  EXPECT_THAT(refusal_of({{"top-k", "2000"}}, 1), HasSubstr("--top-k"));
  EXPECT_THAT(refusal_of({{"top-p", "0"}}, 1), HasSubstr("--top-p"));
  EXPECT_THAT(refusal_of({{"temperature", "nan"}}, 1), HasSubstr("--temperature"));
}

// --- what verify() sees ---------------------------------------------------------------------------------------------

Verification verify_after(Device& device, const Plan& plan, int steps) {
  const auto workload = make_workload(device, std::make_unique<SoloCollective>(), plan);
  for (int i = 0; i < steps; ++i) {
    workload->prepare();
    workload->step();
  }
  return workload->verify();
}

Plan tiny_plan(Phase phase, DataType type, std::int64_t length = 20, std::int64_t batch = 1) {
  return {.shape = find_shape("tiny"),
          .type = type,
          .phase = phase,
          .batch = batch,
          .length = length,
          .seed = 1,
          .sampling = {}};
}

TEST(Verify, what_was_timed_passes_in_both_phases_and_types_and_after_going_back_to_the_depth) {
  const auto device = open_host();
  for (const DataType type : {DataType::f32, DataType::bf16}) {
    if (!device->supports(type)) continue;
    for (const Phase phase : {Phase::prefill, Phase::decode}) {
      for (const int steps : {1, 5, static_cast<int>(decode_window) + 3}) {
        for (const std::int64_t length : {1, 20}) {
          const Verification result = verify_after(*device, tiny_plan(phase, type, length, 2), steps);
          EXPECT_EQ(result.outcome, Verification::Outcome::passed) << result.detail;
          EXPECT_GT(result.error, 0.0);
          EXPECT_NE(result.digest, 0U);
        }
      }
    }
  }
}

TEST(Verify, the_tolerance_holds_for_other_seeds_with_room) {
  const auto device = open_host();
  double worst = 0.0;
  for (const DataType type : {DataType::f32, DataType::bf16}) {
    if (!device->supports(type)) continue;
    for (std::uint64_t seed = 100; seed < 120; ++seed) {
      Plan plan = tiny_plan(Phase::decode, type);
      plan.seed = seed;
      worst = std::max(worst, verify_after(*device, plan, 10).error);
    }
  }
  EXPECT_LT(worst, 0.7);
}

TEST(Verify, random_sampling_is_checked_too) {
  const auto device = open_host();
  Plan plan = tiny_plan(Phase::decode, DataType::f32);
  plan.sampling = {.greedy = false, .top_k = 20, .top_p = 0.9, .temperature = 1.0, .seed = 4};
  const Verification result = verify_after(*device, plan, 30);
  EXPECT_EQ(result.outcome, Verification::Outcome::passed) << result.detail;
}

TEST(Verify, equal_runs_have_equal_digests_and_other_seeds_others) {
  const auto device = open_host();
  Plan plan = tiny_plan(Phase::decode, DataType::f32);
  const std::uint64_t first = verify_after(*device, plan, 7).digest;
  EXPECT_EQ(verify_after(*device, plan, 7).digest, first);
  EXPECT_NE(verify_after(*device, plan, 8).digest, first);
  plan.seed = 2;
  EXPECT_NE(verify_after(*device, plan, 7).digest, first);
}

/// Index of the copy that brings a matrix of `bytes` to the device, the `nth` of its size.
int copy_of_size(Device& device, const Plan& plan, std::size_t bytes, int nth) {
  int found = -1;
  DeviceWithFault watching(device, [&](int copy, std::byte*, std::size_t size) {
    if (size == bytes && nth-- == 0) found = copy;
  });
  (void)make_workload(watching, std::make_unique<SoloCollective>(), plan);
  return found;
}

TEST(Verify, one_weight_with_a_flipped_bit_fails) {
  const auto device = open_host();
  const ModelShape shape = find_shape("tiny");
  for (const Phase phase : {Phase::prefill, Phase::decode}) {
    const Plan plan = tiny_plan(phase, DataType::f32);
    const auto down = static_cast<std::size_t>(shape.ffn * shape.hidden) * sizeof(float);
    const int copy = copy_of_size(*device, plan, down, 1);
    ASSERT_GE(copy, 0);
    DeviceWithFault faulty(*device, [&](int at, std::byte* data, std::size_t) {
      if (at == copy) data[4 * 1000 + 3] ^= std::byte{0x20};  // an exponent bit of element 1000
    });
    const Verification result = verify_after(faulty, plan, 5);
    EXPECT_EQ(result.outcome, Verification::Outcome::failed);
    EXPECT_THAT(result.detail, HasSubstr("fp64 reference"));
  }
}

TEST(Verify, a_nan_fails) {
  const auto device = open_host();
  const Plan plan = tiny_plan(Phase::decode, DataType::f32);
  const ModelShape shape = find_shape("tiny");
  const auto head = static_cast<std::size_t>(shape.vocabulary * shape.hidden) * sizeof(float);
  const int copy = copy_of_size(*device, plan, head, 1);  // the first is the embedding
  ASSERT_GE(copy, 0);
  DeviceWithFault faulty(*device, [&](int at, std::byte* data, std::size_t) {
    const float nan = NAN;
    if (at == copy) std::memcpy(data + 64, &nan, sizeof nan);
  });
  const Verification result = verify_after(faulty, plan, 5);
  EXPECT_EQ(result.outcome, Verification::Outcome::failed);
  EXPECT_TRUE(std::isnan(result.error));
}

TEST(Verify, a_device_that_once_computes_something_else_in_a_repeated_step_fails) {
  const auto device = open_host();
  const Plan plan = tiny_plan(Phase::prefill, DataType::f32);
  // The prompt of the third step arrives with another last token: its first token differs from that of the others.
  int prompts = 0;
  DeviceWithFault faulty(*device, [&](int, std::byte* data, std::size_t bytes) {
    if (bytes != 20 * sizeof(std::int32_t) || ++prompts != 3) return;
    const std::int32_t token = 3;
    std::memcpy(data + 19 * sizeof(token), &token, sizeof token);
  });
  const Verification result = verify_after(faulty, plan, 6);
  EXPECT_EQ(result.outcome, Verification::Outcome::failed);
  EXPECT_THAT(result.detail, HasSubstr("chose another token"));
}

}  // namespace
}  // namespace tokens
}  // namespace rackproof
