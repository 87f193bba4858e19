// The all-reduce suite's workload, over the MPI library and over collectives that are wrong on purpose.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "common/backends/mpi/mpi_collective.hpp"
#include "common/core/clock.hpp"
#include "common/measure/sampler.hpp"
#include "common/mpi/communicator.hpp"
#include "common/mpi/global_clock.hpp"
#include "suites/allreduce/workload.hpp"
#include "suites/suite.hpp"
#include "tests/fakes/test_device.hpp"

namespace rackproof {
namespace {

using allreduce::AllReduceWorkload;
using ::testing::HasSubstr;
using Outcome = Verification::Outcome;

constexpr DataType types[] = {DataType::f64, DataType::f32, DataType::bf16, DataType::i32};

/// The MPI library's collectives, with a fault before or after the sum.
class FaultyCollective final : public Collective {
 public:
  using Fault = std::function<void(std::byte* data, std::size_t count, DataType type)>;

  explicit FaultyCollective(const mpi::Communicator& ranks) : real_(ranks) {}
  Fault before;        ///< changes what this rank sends
  Fault after;         ///< changes what this rank received
  bool skips = false;  ///< does nothing at all

  [[nodiscard]] int rank() const override { return real_.rank(); }
  [[nodiscard]] int size() const override { return real_.size(); }
  [[nodiscard]] std::string implementation() const override { return "faulty"; }
  void all_reduce(const void* send, void* receive, std::size_t count, DataType type) override {
    if (skips) return;
    std::vector<std::byte> sent(count * size_of(type));
    std::memcpy(sent.data(), send, sent.size());
    if (before) before(sent.data(), count, type);
    real_.all_reduce(sent.data(), receive, count, type);
    if (after) after(static_cast<std::byte*>(receive), count, type);
  }
  void all_gather(const void* send, void* receive, std::size_t count, DataType type) override {
    real_.all_gather(send, receive, count, type);
  }
  void broadcast(void* data, std::size_t count, DataType type, int root) override {
    real_.broadcast(data, count, type, root);
  }
  void send_recv(const void* send, int to, void* receive, int from, std::size_t count, DataType type) override {
    real_.send_recv(send, to, receive, from, count, type);
  }
  void barrier() override { real_.barrier(); }
  [[nodiscard]] std::unique_ptr<Collective> split(int color) override { return real_.split(color); }

 private:
  MpiCollective real_;
};

class AllReduce : public ::testing::Test {
 protected:
  AllReduce() { platform.topology = mpi::single_node_topology(world.size()); }

  /// Runs some steps, then verifies.
  Verification run(DataType type, std::size_t count, bool in_place, int steps) {
    const Context context{*device, collective, platform, options};
    AllReduceWorkload workload(type, count, in_place, context);
    for (int i = 0; i < steps; ++i) {
      workload.prepare();
      workload.step();
    }
    return workload.verify();
  }

  const mpi::Communicator world = mpi::Communicator::world();
  std::unique_ptr<TestDevice> device = std::make_unique<TestDevice>();
  FaultyCollective collective{world};
  Platform platform;
  Options options;
};

TEST_F(AllReduce, passes_for_every_type_and_length_both_ways_hot_and_cold) {
  for (const DataType type : types) {
    for (const std::size_t count : {1U, 3U, 1000U, 33333U}) {
      for (const bool in_place : {false, true}) {
        for (const bool cold : {false, true}) {
          options.cold_buffers = cold;
          const Verification result = run(type, count, in_place, 3);
          EXPECT_EQ(result.outcome, Outcome::passed)
              << name(type) << ' ' << count << (in_place ? " in place: " : ": ") << result.detail;
          EXPECT_EQ(result.error, 0.0);
        }
      }
    }
  }
}

TEST_F(AllReduce, goes_on_being_right_when_every_slot_was_used_many_times) {
  device = std::make_unique<TestDevice>(256);  // a small cache: 5 slots out of place, 10 in place
  for (const bool in_place : {false, true}) {
    for (const int steps : {1, 4, 5, 6, 9, 10, 11, 40}) {
      EXPECT_EQ(run(DataType::f32, 16, in_place, steps).outcome, Outcome::passed) << steps;
    }
  }
}

TEST_F(AllReduce, digest_is_shared_and_the_same_on_every_rank) {
  const Verification result = run(DataType::bf16, 1001, false, 5);
  EXPECT_TRUE(result.digest_is_shared);
  EXPECT_NE(result.digest, 0U);
  const auto digests = world.gather(result.digest);
  for (const std::uint64_t d : digests) EXPECT_EQ(d, digests[0]);
  // Another step, another content.
  EXPECT_NE(run(DataType::bf16, 1001, false, 6).digest, result.digest);
}

TEST_F(AllReduce, is_mistrusted_when_nothing_was_run) {
  const Verification result = run(DataType::f32, 10, false, 0);
  EXPECT_EQ(result.outcome, Outcome::mistrusted);
  EXPECT_NE(result.detail, "");
}

TEST_F(AllReduce, names_the_rank_that_was_left_out) {
  if (world.size() == 1) GTEST_SKIP() << "needs at least 2 ranks";
  const int culprit = std::min(2, world.size() - 1);
  if (world.rank() == culprit) {
    collective.before = [](std::byte* data, std::size_t count, DataType type) {
      std::memset(data, 0, count * size_of(type));
    };
  }
  for (const DataType type : types) {
    for (const bool in_place : {false, true}) {
      const Verification result = run(type, 500, in_place, 3);
      EXPECT_EQ(result.outcome, Outcome::failed);
      EXPECT_GT(result.error, 1.0);
      EXPECT_THAT(result.detail, HasSubstr("as if rank " + std::to_string(culprit) + " had been left out"))
          << name(type);
    }
  }
}

TEST_F(AllReduce, names_the_rank_that_was_counted_twice) {
  if (world.size() == 1) GTEST_SKIP() << "needs at least 2 ranks";
  const int culprit = world.size() / 2;
  if (world.rank() == culprit) {
    collective.before = [](std::byte* data, std::size_t count, DataType /*i32*/) {
      auto* const values = reinterpret_cast<std::int32_t*>(data);
      for (std::size_t i = 0; i < count; ++i) values[i] *= 2;
    };
  }
  const Verification result = run(DataType::i32, 500, false, 3);
  EXPECT_EQ(result.outcome, Outcome::failed);
  EXPECT_THAT(result.detail, HasSubstr("as if rank " + std::to_string(culprit) + " had been counted twice"));
}

TEST_F(AllReduce, one_wrong_bit_on_one_rank_is_seen_there_and_in_its_digest) {
  const int culprit = world.size() - 1;
  if (world.rank() == culprit) {
    collective.after = [](std::byte* data, std::size_t count, DataType /*f32*/) {
      data[(count - 1) * 4] ^= std::byte{1};
    };
  }
  const Verification result = run(DataType::f32, 777, false, 4);
  EXPECT_EQ(result.outcome, world.rank() == culprit ? Outcome::failed : Outcome::passed);
  if (world.rank() == culprit) {
    EXPECT_THAT(result.detail, HasSubstr("element 776"));
  }
  const auto digests = world.gather(result.digest);
  for (int r = 0; r + 1 < static_cast<int>(digests.size()); ++r) {
    EXPECT_NE(digests[static_cast<std::size_t>(r)], digests[static_cast<std::size_t>(culprit)]);
  }
}

TEST_F(AllReduce, nan_does_not_pass) {
  collective.after = [](std::byte* data, std::size_t count, DataType type) {
    if (type == DataType::f32) reinterpret_cast<float*>(data)[count / 2] = std::numeric_limits<float>::quiet_NaN();
    if (type == DataType::f64) reinterpret_cast<double*>(data)[count / 2] = std::numeric_limits<double>::quiet_NaN();
    if (type == DataType::bf16) reinterpret_cast<std::uint16_t*>(data)[count / 2] = 0x7fc0;
  };
  for (const DataType type : {DataType::f32, DataType::f64, DataType::bf16}) {
    const Verification result = run(type, 64, false, 2);
    EXPECT_EQ(result.outcome, Outcome::failed);
    EXPECT_THAT(result.detail, HasSubstr("element 32"));
    EXPECT_THAT(result.detail, HasSubstr("nan"));
  }
}

TEST_F(AllReduce, output_that_nobody_wrote_does_not_pass) {
  for (const bool in_place : {false, true}) {
    if (world.size() == 1 && in_place) continue;  // the sum of one rank is what it sends
    collective.skips = true;
    EXPECT_EQ(run(DataType::i32, 64, in_place, 1).outcome, Outcome::failed);
    EXPECT_EQ(run(DataType::f64, 64, in_place, 3).outcome, Outcome::failed);
  }
}

TEST_F(AllReduce, output_of_the_time_before_does_not_pass) {
  for (const bool cold : {false, true}) {
    options.cold_buffers = cold;
    device = std::make_unique<TestDevice>(256);
    const Context context{*device, collective, platform, options};
    collective.skips = false;
    AllReduceWorkload workload(DataType::f32, 64, false, context);
    for (int i = 0; i < 20; ++i) {
      if (i == 19) collective.skips = true;  // the slot holds the right sum of an earlier step
      workload.prepare();
      workload.step();
    }
    EXPECT_EQ(workload.verify().outcome, Outcome::failed);
  }
}

TEST_F(AllReduce, is_measured_by_the_sampler_and_right_afterwards) {
  const Context context{*device, collective, platform, options};
  const SteadyClock clock(true);
  mpi::GlobalClock global(world, clock);
  AllReduceWorkload workload(DataType::bf16, 4096, true, context);
  StoppingRule rule;
  rule.budget = 0.2;
  rule.max_samples = 100;
  const Samples samples = measure(workload, world, global, rule);
  EXPECT_GE(samples.figure.size(), 3U);
  EXPECT_EQ(workload.verify().outcome, Outcome::passed);
}

}  // namespace
}  // namespace rackproof
