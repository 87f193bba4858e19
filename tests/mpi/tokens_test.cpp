// The token engine shared by ranks: the same tokens and logits as on one, and faults that the check must see.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/backends/backend.hpp"
#include "common/core/error.hpp"
#include "common/mpi/communicator.hpp"
#include "suites/suite.hpp"
#include "suites/tokens/engine.hpp"
#include "suites/tokens/workload.hpp"
#include "tests/fakes/faulty_collective.hpp"
#include "tests/unit/tokens_fixture.hpp"

namespace rackproof {

std::unique_ptr<Suite> make_tokens_suite();

namespace tokens {
namespace {

using tokens_fixture::DeviceWithFault;

/// Passes everything on, except for what a test changes in the result of an all-reduce.
class CollectiveWithFault final : public FaultyCollective {
 public:
  /// Called with each all-reduce, in order, after it.
  using Change = std::function<void(int call, float* data, std::size_t count)>;
  CollectiveWithFault(std::unique_ptr<Collective> real, Change change)
      : FaultyCollective(std::move(real)), change_(std::move(change)) {}

  void all_reduce(const void* send, void* receive, std::size_t count, DataType type, Reduction reduction) override {
    FaultyCollective::all_reduce(send, receive, count, type, reduction);
    if (type == DataType::f32) change_(calls_++, static_cast<float*>(receive), count);
  }
  [[nodiscard]] std::unique_ptr<Collective> split(int color) override {
    return std::make_unique<CollectiveWithFault>(FaultyCollective::split(color), change_);
  }

 private:
  Change change_;
  int calls_ = 0;
};

class Tokens : public ::testing::Test {
 protected:
  mpi::Communicator world = mpi::Communicator::world();
  std::vector<std::unique_ptr<Backend>> backends = make_all_backends();
  std::unique_ptr<Device> device = choose_device_backend(backends, "host").open_device({0, world.size(), 1});
  std::unique_ptr<Collective> collective = choose_collective_backend(backends, "host").open_collective(world, *device);
  std::unique_ptr<Suite> suite = make_tokens_suite();
  Platform platform{.topology = mpi::discover_topology(world), .peaks = {}, .memory_available = 0, .known = false};

  [[nodiscard]] Options options(const std::string& sampling = "greedy") const {
    Options result;
    for (const OptionSpec& spec : suite->options()) result.values[spec.name] = spec.default_value;
    result.values["model"] = "tiny";
    result.values["prompt"] = "21";
    result.values["context"] = "21";
    result.values["batch"] = "2";
    result.values["sampling"] = sampling;
    return result;
  }

  /// Ranks that share tiny in a world of this size.
  [[nodiscard]] int tp() const {
    const int size = world.size();
    return size % 4 == 0 ? 4 : size % 2 == 0 ? 2 : 1;
  }
  [[nodiscard]] std::unique_ptr<Collective> group() const { return collective->split(world.rank() / tp()); }

  /// The value of every rank, on every rank.
  [[nodiscard]] std::vector<double> all(double value) const {
    std::vector<double> values = world.gather(value);
    values.resize(static_cast<std::size_t>(world.size()));
    world.broadcast(values);
    return values;
  }

  [[nodiscard]] static Plan plan(Phase phase, DataType type) {
    return {
        .shape = find_shape("tiny"), .type = type, .phase = phase, .batch = 2, .length = 21, .seed = 1, .sampling = {}};
  }

  static Verification verify_after(Device& on, std::unique_ptr<Collective> ranks, const Plan& which, int steps) {
    const auto workload = make_workload(on, std::move(ranks), which);
    for (int i = 0; i < steps; ++i) {
      workload->prepare();
      workload->step();
    }
    return workload->verify();
  }
};

TEST_F(Tokens, every_case_passes_its_own_check_on_every_rank) {
  for (const std::string sampling : {"greedy", "random"}) {
    const Options chosen = options(sampling);
    const Context context{*device, *collective, platform, chosen};
    for (const Case& one : suite->cases(chosen, platform)) {
      if (one.parameters.text("type") == "bf16" && !device->supports(DataType::bf16)) continue;
      EXPECT_EQ(one.parameters.integer("tp"), tp());
      EXPECT_EQ(one.parameters.integer("dp"), world.size() / tp());
      const auto workload = suite->make(one, context);
      EXPECT_EQ(workload->is_collective(), one.collective);
      for (int step = 0; step < 9; ++step) {
        workload->prepare();
        workload->step();
      }
      const Verification result = workload->verify();
      EXPECT_EQ(result.outcome, Verification::Outcome::passed) << one.name << ": " << result.detail;
      EXPECT_EQ(result.detail, "");
      EXPECT_TRUE(result.digest_is_shared);
      const auto low = all(static_cast<double>(result.digest & 0xffffffffU));
      const auto high = all(static_cast<double>(result.digest >> 32U));
      EXPECT_EQ(std::count(low.begin(), low.end(), low.front()), world.size());
      EXPECT_EQ(std::count(high.begin(), high.end(), high.front()), world.size());
    }
  }
}

TEST_F(Tokens, logits_shared_by_ranks_are_those_of_one_rank) {
  const ModelShape shape = find_shape("tiny");
  const std::int64_t length = 30;
  for (const DataType type : {DataType::f32, DataType::bf16}) {
    if (!device->supports(type)) continue;
    const auto ranks = group();
    const Engine::Setup setup{.shape = shape, .type = type, .seed = 5, .batch = 2, .capacity = 40, .packed_for = 60};
    Engine shared(*device, ranks.get(), setup);
    Engine alone(*device, nullptr, setup);
    EXPECT_EQ(shared.ranks(), tp());
    std::vector<std::int32_t> tokens = make_prompt(shape, 5, 0, length);
    const std::vector<std::int32_t> second = make_prompt(shape, 5, 1, length);
    tokens.insert(tokens.end(), second.begin(), second.end());
    const auto compare = [&] {
      const std::vector<float> got = shared.logits();
      const std::vector<float> expected = alone.logits();
      ASSERT_EQ(got.size(), expected.size());
      double squares = 0.0;
      for (const float value : expected) squares += static_cast<double>(value) * value;
      const double allowed = logit_tolerance(shape, type) * std::sqrt(squares / static_cast<double>(expected.size()));
      for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], expected[i], allowed) << i;
    };
    shared.forward(tokens, length, 0);
    alone.forward(tokens, length, 0);
    compare();
    for (std::int64_t at = length; at < 40; ++at) {
      const std::vector<std::int32_t> next{static_cast<std::int32_t>(at), static_cast<std::int32_t>(500 - at)};
      shared.forward(next, 1, at);
      alone.forward(next, 1, at);
    }
    compare();
  }
}

TEST_F(Tokens, candidates_of_all_ranks_hold_the_largest_logits) {
  const ModelShape shape = find_shape("tiny");
  const auto ranks = group();
  Engine engine(*device, ranks.get(), {.shape = shape, .seed = 6, .capacity = 8, .packed_for = 8});
  engine.forward(make_prompt(shape, 6, 0, 8), 8, 0);
  const std::vector<Candidate> expected = largest_logits(engine.logits(), 10);
  std::vector<Candidate> got = engine.candidates(10);
  ASSERT_EQ(got.size(), static_cast<std::size_t>(10 * tp()));
  std::sort(got.begin(), got.end(), [](const Candidate& a, const Candidate& b) { return a.logit > b.logit; });
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(got[i].token, expected[i].token);
}

TEST_F(Tokens, a_wrong_sum_of_one_all_reduce_fails_the_check) {
  if (tp() == 1) GTEST_SKIP() << "one rank has no all-reduce";
  for (const Phase phase : {Phase::prefill, Phase::decode}) {
    // Every result is a little off in one element, on all ranks alike, as from a faulty reducing switch.
    const auto ranks = std::make_unique<CollectiveWithFault>(
        group(), [](int call, float* data, std::size_t) { data[3] += call % 5 == 2 ? 0.05F : 0.0F; });
    const Verification result = verify_after(*device, ranks->split(0), plan(phase, DataType::f32), 6);
    EXPECT_EQ(result.outcome, Verification::Outcome::failed);
  }
}

TEST_F(Tokens, a_nan_from_an_all_reduce_fails_the_check) {
  if (tp() == 1) GTEST_SKIP() << "one rank has no all-reduce";
  auto ranks = std::make_unique<CollectiveWithFault>(
      group(), [](int call, float* data, std::size_t) { data[0] = call == 2 ? NAN : data[0]; });
  const Verification result = verify_after(*device, std::move(ranks), plan(Phase::prefill, DataType::f32), 1);
  EXPECT_EQ(result.outcome, Verification::Outcome::failed);
  EXPECT_TRUE(std::isnan(result.error));
}

TEST_F(Tokens, a_flipped_weight_on_the_last_rank_fails_the_check_of_its_replica_only) {
  const ModelShape shape = find_shape("tiny");
  const int faulty_rank = world.size() - 1;
  const auto down = static_cast<std::size_t>(shape.ffn / tp() * shape.hidden) * sizeof(float);
  bool done = false;
  DeviceWithFault faulty(*device, [&](int, std::byte* data, std::size_t bytes) {
    if (world.rank() != faulty_rank || bytes != down || done) return;
    data[4 * 1000 + 3] ^= std::byte{0x20};  // an exponent bit of element 1000
    done = true;
  });
  const Verification result = verify_after(faulty, group(), plan(Phase::decode, DataType::f32), 5);
  EXPECT_EQ(done, world.rank() == faulty_rank);
  const bool in_replica = world.rank() / tp() == faulty_rank / tp();
  EXPECT_EQ(result.outcome, in_replica ? Verification::Outcome::failed : Verification::Outcome::passed)
      << result.detail;
}

TEST_F(Tokens, a_fault_in_one_part_of_the_head_is_found_by_the_rank_that_holds_it) {
  const ModelShape shape = find_shape("tiny");
  const int faulty_rank = world.size() - 1;
  const std::int64_t rows = shape.vocabulary / tp();
  const auto part = static_cast<std::size_t>(rows * shape.hidden) * sizeof(float);
  // The part of the head comes second, after that of the embedding. Its first row becomes zeros: the logit of one
  // token, not the best one, is lost.
  int seen = 0;
  DeviceWithFault faulty(*device, [&](int, std::byte* data, std::size_t bytes) {
    if (world.rank() != faulty_rank || bytes != part || ++seen != 2) return;
    std::fill(data, data + shape.hidden * static_cast<std::int64_t>(sizeof(float)), std::byte{0});
  });
  const Verification result = verify_after(faulty, group(), plan(Phase::prefill, DataType::f32), 3);
  EXPECT_EQ(result.outcome, world.rank() == faulty_rank ? Verification::Outcome::failed : Verification::Outcome::passed)
      << result.detail;
}

TEST_F(Tokens, a_rank_that_cannot_hold_its_part_stops_all_ranks_of_its_model) {
  const int full_rank = world.size() - 1;
  DeviceWithFault full(*device, [&](int copy, std::byte*, std::size_t) {
    if (world.rank() == full_rank && copy == 3) throw infrastructure_error("no memory is left");
  });
  std::string message;
  int where = -1;
  try {
    (void)make_workload(full, group(), plan(Phase::decode, DataType::f32));
  } catch (const Error& error) {
    message = error.what();
    where = error.place().rank;
  }
  const bool same_model = world.rank() / tp() == full_rank / tp();
  EXPECT_EQ(message, same_model ? "no memory is left" : "");
  if (same_model && tp() > 1) {
    EXPECT_EQ(where, full_rank);
  }
  world.barrier();
}

}  // namespace
}  // namespace tokens
}  // namespace rackproof
