// The token engine on a GPU's device, on fake GPUs (RACKPROOF_FAKES): the host twins of the kernels, cuBLASLt's
// products by the host, streams and graphs as a GPU has them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <memory>
#include <vector>

#include "common/backends/cuda/cuda_device.hpp"
#include "common/core/error.hpp"
#include "suites/tokens/engine.hpp"
#include "suites/tokens/workload.hpp"
#include "tests/unit/tokens_fixture.hpp"

namespace rackproof::tokens {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using tokens_fixture::open_host;
using tokens_fixture::SoloCollective;

class CudaTokens : public ::testing::Test {
 protected:
  static std::unique_ptr<Device> open_gpu() {
    setenv("RACKPROOF_FAKE_GPUS", "1xH100", 1);
    return std::make_unique<cuda::CudaDevice>(DeviceRequest{.local_rank = 0, .ranks_on_node = 1, .threads = 1});
  }
  static Plan plan(Phase phase, DataType type) {
    return {.shape = find_shape("tiny"), .type = type, .phase = phase, .batch = 2, .length = 70, .sampling = {}};
  }
};

TEST_F(CudaTokens, steps_pass_the_checks_of_the_suite) {
  const auto gpu = open_gpu();
  for (const DataType type : {DataType::f32, DataType::bf16}) {
    for (const Phase phase : {Phase::prefill, Phase::decode}) {
      const auto workload = make_workload(*gpu, std::make_unique<SoloCollective>(), plan(phase, type));
      for (int step = 0; step < 3; ++step) {
        workload->prepare();
        workload->step();
        workload->finish();
        EXPECT_GT(workload->device_seconds(), 0.0);
      }
      const Verification checked = workload->verify();
      EXPECT_EQ(checked.outcome, Verification::Outcome::passed) << checked.detail;
    }
  }
}

TEST_F(CudaTokens, are_those_of_the_host) {
  const ModelShape shape = find_shape("tiny");
  const auto gpu = open_gpu();
  const auto host = open_host();
  const Engine::Setup setup{.shape = shape, .type = DataType::f32, .batch = 1, .capacity = 400, .packed_for = 400};
  Engine on_gpu(*gpu, nullptr, setup);
  Engine on_host(*host, nullptr, setup);
  const auto prompt = make_prompt(shape, 1, 0, 301);  // long enough for its attention to be split
  for (Engine* engine : {&on_gpu, &on_host}) {
    engine->forward(std::span(prompt).first(300), 300, 0);
    engine->forward(std::span(prompt).last(1), 1, 300);
  }
  const std::vector<float> got = on_gpu.logits();
  const std::vector<float> expected = on_host.logits();
  double squares = 0.0;
  for (const float logit : expected) squares += static_cast<double>(logit) * logit;
  const double allowed =
      logit_tolerance(shape, DataType::f32) * std::sqrt(squares / static_cast<double>(expected.size()));
  for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(got[i], expected[i], allowed);
}

/// Tokens and logits of steps from position 8 on, which are recorded or not.
std::vector<float> run_steps(Device& device, bool recorded) {
  const ModelShape shape = find_shape("tiny");
  Engine engine(device, nullptr, {.shape = shape, .type = DataType::f32, .batch = 1, .capacity = 32, .packed_for = 8});
  engine.forward(make_prompt(shape, 1, 0, 8), 8, 0);
  if (recorded) {
    for (std::int64_t at = 8; at < 14; ++at) engine.record_advance(at, 1);
  }
  std::vector<float> seen;
  std::vector<std::int32_t> token{5};
  for (std::int64_t at = 8; at < 14; ++at) {
    engine.advance(token, at, 1);
    token[0] = choose_token(engine.fetch_candidates(1), {}, 0, at);
    const std::vector<float> logits = engine.logits();
    seen.push_back(static_cast<float>(token[0]));
    seen.insert(seen.end(), logits.begin(), logits.end());
  }
  return seen;
}

TEST_F(CudaTokens, of_a_recorded_step_are_bit_for_bit_those_of_the_step) {
  const auto gpu = open_gpu();
  EXPECT_EQ(run_steps(*gpu, true), run_steps(*gpu, false));
  const auto host = open_host();
  EXPECT_EQ(run_steps(*host, true), run_steps(*host, false));
}

TEST_F(CudaTokens, a_step_that_waits_for_the_device_cannot_be_recorded_and_says_so) {
  const auto gpu = open_gpu();
  const auto buffer = gpu->allocate(64);
  std::vector<float> values(16);
  try {
    static_cast<void>(gpu->record([&] { gpu->copy_to_host(values.data(), buffer->data(), 64); }));
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_THAT(error.line(), AllOf(HasSubstr("captur"), HasSubstr("cuda:0"), Not(HasSubstr("\n"))));
  }
  // And the device goes on.
  gpu->copy_to_host(values.data(), buffer->data(), 64);
  EXPECT_EQ(run_steps(*gpu, true).size(), 6 * (1 + static_cast<std::size_t>(find_shape("tiny").vocabulary)));
}

}  // namespace
}  // namespace rackproof::tokens
