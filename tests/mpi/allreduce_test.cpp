// The all-reduce suite's workload: every collective, over the MPI library and over collectives that are wrong on
// purpose.
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
#include "suites/buffer_limits.hpp"
#include "suites/suite.hpp"
#include "tests/fakes/faulty_collective.hpp"
#include "tests/fakes/test_device.hpp"

namespace rackproof {
namespace {

using allreduce::Arrivals;
using allreduce::CollectiveWorkload;
using allreduce::Inputs;
using allreduce::Operation;
using allreduce::Spec;
using ::testing::HasSubstr;
using Outcome = Verification::Outcome;

constexpr DataType types[] = {DataType::f64, DataType::f32, DataType::bf16, DataType::i32};

class AllReduce : public ::testing::Test {
 protected:
  AllReduce() { platform.topology = mpi::single_node_topology(world.size()); }

  /// An all-reduce, until changed.
  [[nodiscard]] Spec spec(DataType type, std::size_t count, bool in_place = false) const {
    Spec made;
    made.type = type;
    made.count = count;
    made.in_place = in_place;
    made.groups = allreduce::make_groups("world", platform.topology);
    return made;
  }
  [[nodiscard]] Context context() { return {*device, collective, platform, options}; }

  /// Runs some steps, then verifies.
  Verification run(const Spec& spec, int steps) {
    CollectiveWorkload workload(spec, context());
    for (int i = 0; i < steps; ++i) {
      workload.prepare();
      workload.step();
    }
    return workload.verify();
  }
  Verification run(DataType type, std::size_t count, bool in_place, int steps) {
    return run(spec(type, count, in_place), steps);
  }

  const mpi::Communicator world = mpi::Communicator::world();
  std::unique_ptr<TestDevice> device = std::make_unique<TestDevice>();
  FaultyCollective collective{std::make_unique<MpiCollective>(world)};
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
    collective.skips = false;
    CollectiveWorkload workload(spec(DataType::f32, 64), context());
    for (int i = 0; i < 20; ++i) {
      if (i == 19) collective.skips = true;  // the slot holds the right sum of an earlier step
      workload.prepare();
      workload.step();
    }
    EXPECT_EQ(workload.verify().outcome, Outcome::failed);
  }
}

/// Every operation, with what it can reduce by.
std::vector<Spec> all_specs(const Spec& base) {
  std::vector<Spec> made;
  for (const Operation operation : allreduce::all_operations()) {
    for (const Reduction reduction : {Reduction::sum, Reduction::min, Reduction::max, Reduction::prod}) {
      if (reduction != Reduction::sum && !reduces(operation)) continue;
      if (reduces(operation) && !can_reduce(base.type, reduction)) continue;
      Spec spec = base;
      spec.operation = operation;
      spec.reduction = reduction;
      spec.in_place = operation == Operation::broadcast;
      made.push_back(spec);
    }
  }
  return made;
}

std::string describe(const Spec& spec) {
  return std::string(name(spec.operation)) + ' ' + std::string(name(spec.type)) + ' ' +
         std::string(name(spec.reduction)) + ' ' + spec.groups.name;
}

TEST_F(AllReduce, every_collective_and_reduction_of_every_type_passes_hot_and_cold) {
  device = std::make_unique<TestDevice>(4096);
  for (const DataType type : {DataType::f64, DataType::f32, DataType::bf16, DataType::i32, DataType::i8}) {
    for (const bool cold : {false, true}) {
      options.cold_buffers = cold;
      const std::size_t block = cold ? 1001 : 1;
      for (const Spec& one : all_specs(spec(type, block * static_cast<std::size_t>(world.size())))) {
        const Verification result = run(one, 5);
        EXPECT_EQ(result.outcome, Outcome::passed) << describe(one) << ' ' << block << ": " << result.detail;
        EXPECT_EQ(result.error, 0.0);
      }
    }
  }
}

TEST_F(AllReduce, groups_work_at_the_same_time_and_apart) {
  std::vector<std::string> names{"world", "every-1"};
  for (int size = 2; size <= world.size(); ++size) {
    if (world.size() % size != 0) continue;
    names.push_back("tp" + std::to_string(size));
    names.push_back("every-" + std::to_string(world.size() / size));
  }
  for (const std::string& groups : names) {
    Spec base = spec(DataType::i32, 0);
    base.groups = allreduce::make_groups(groups, platform.topology);
    base.count = 10 * static_cast<std::size_t>(base.groups.ranks);
    for (const Spec& one : all_specs(base)) {
      const Verification result = run(one, 3);
      EXPECT_EQ(result.outcome, Outcome::passed) << describe(one) << ": " << result.detail;
      EXPECT_TRUE(base.groups.is_world() || !result.digest_is_shared);
    }
  }
}

TEST_F(AllReduce, data_of_another_group_does_not_pass) {
  if (world.size() != 4 && world.size() != 8) GTEST_SKIP() << "needs two groups of equal size";
  Spec one = spec(DataType::f32, 100);
  one.operation = Operation::send_recv;
  one.groups = allreduce::make_groups("every-2", platform.topology);
  MpiCollective whole(world);
  // Each rank of a group receives from the neighbour in the world, who is of the other group.
  std::vector<std::byte> stolen(400);
  collective.after = [&](std::byte* data, std::size_t count, DataType type) {
    const int n = world.size();
    whole.send_recv(data, (world.rank() + 1) % n, stolen.data(), (world.rank() + n - 1) % n, count, type);
    std::memcpy(data, stolen.data(), count * size_of(type));
  };
  EXPECT_EQ(run(one, 2).outcome, Outcome::failed);
}

TEST_F(AllReduce, one_wrong_bit_is_seen_by_whoever_received_it_in_every_collective) {
  const int culprit = world.size() - 1;
  if (world.rank() == culprit) {
    collective.after = [](std::byte* data, std::size_t count, DataType /*f32*/) {
      data[(count - 1) * 4] ^= std::byte{1};
    };
  }
  for (const Spec& one : all_specs(spec(DataType::f32, 40 * static_cast<std::size_t>(world.size())))) {
    const Verification result = run(one, 3);
    // Of a reduce only the root receives anything.
    const bool hit = world.rank() == culprit && (one.operation != Operation::reduce || culprit == 0);
    EXPECT_EQ(result.outcome, hit ? Outcome::failed : Outcome::passed) << describe(one);
    if (hit) {
      EXPECT_THAT(result.detail, HasSubstr("the first is element")) << describe(one);
    }
  }
}

TEST_F(AllReduce, what_nobody_moved_does_not_pass_in_any_collective) {
  collective.skips = true;
  for (const Spec& one : all_specs(spec(DataType::i32, 30 * static_cast<std::size_t>(world.size())))) {
    const Verification result = run(one, 2);
    const bool holds_already =
        world.rank() == 0 ? one.operation == Operation::broadcast : one.operation == Operation::reduce;
    EXPECT_EQ(result.outcome, holds_already ? Outcome::passed : Outcome::failed) << describe(one);
  }
}

TEST_F(AllReduce, names_the_rank_whose_data_is_wrong_and_whose_came_instead) {
  const int n = world.size();
  if (n < 3) GTEST_SKIP() << "needs at least 3 ranks";
  // The blocks of ranks 1 and 2 change places on the last rank.
  if (world.rank() == n - 1) {
    collective.after = [n](std::byte* data, std::size_t count, DataType type) {
      const std::size_t block = count / static_cast<std::size_t>(n) * size_of(type);
      std::swap_ranges(data + block, data + 2 * block, data + 2 * block);
    };
  }
  Spec one = spec(DataType::f32, 50 * static_cast<std::size_t>(n));
  one.operation = Operation::all_gather;
  Verification result = run(one, 2);
  if (world.rank() == n - 1) {
    EXPECT_THAT(result.detail, HasSubstr("the first is element 50, of rank 1: expected"));
  }
  // A broadcast that does nothing: all keep their own.
  collective.after = nullptr;
  one.operation = Operation::broadcast;
  one.in_place = true;
  collective.skips = true;
  result = run(one, 1);
  if (world.rank() != 0) {
    EXPECT_THAT(result.detail, HasSubstr("of rank 0: expected"));
    EXPECT_THAT(result.detail, HasSubstr("as if rank " + std::to_string(world.rank()) + " had sent it"));
  }
}

TEST_F(AllReduce, names_the_rank_left_out_of_min_max_and_product) {
  if (world.size() < 2) GTEST_SKIP() << "needs at least 2 ranks";
  const int culprit = world.size() - 1;
  // It sends what changes nothing.
  for (const Reduction reduction : {Reduction::min, Reduction::max, Reduction::prod}) {
    if (world.rank() == culprit) {
      collective.before = [reduction](std::byte* data, std::size_t count, DataType /*f32*/) {
        const float neutral = reduction == Reduction::prod ? 1.0F : reduction == Reduction::min ? 1e30F : -1e30F;
        std::fill_n(reinterpret_cast<float*>(data), count, neutral);
      };
    }
    Spec one = spec(DataType::f32, 400);
    one.reduction = reduction;
    const Verification result = run(one, 2);
    EXPECT_EQ(result.outcome, Outcome::failed);
    EXPECT_THAT(result.detail, HasSubstr("as if rank " + std::to_string(culprit) + " had been left out"))
        << name(reduction);
  }
}

TEST_F(AllReduce, names_the_rank_and_the_bit_that_it_sends_wrong) {
  if (world.size() < 2) GTEST_SKIP() << "needs at least 2 ranks";
  const int culprit = world.size() / 2;
  if (world.rank() == culprit) {
    collective.before = [](std::byte* data, std::size_t count, DataType /*f32*/) {
      for (std::size_t i = 0; i < count; ++i) data[4 * i + 2] ^= std::byte{0x20};
    };
  }
  const Verification result = run(DataType::f32, 300, false, 3);
  EXPECT_EQ(result.outcome, Outcome::failed);
  EXPECT_THAT(result.detail,
              HasSubstr("as if rank " + std::to_string(culprit) + " had sent bit 21 the other way round"));
}

TEST_F(AllReduce, an_input_that_was_written_to_does_not_pass) {
  collective.scribble = [](std::byte* data, std::size_t count, DataType /*f32*/) { data[count] ^= std::byte{1}; };
  Spec one = spec(DataType::f32, 40 * static_cast<std::size_t>(world.size()));
  for (const Operation operation : {Operation::all_reduce, Operation::all_gather, Operation::reduce}) {
    one.operation = operation;
    const Verification result = run(one, 2);
    EXPECT_EQ(result.outcome, Outcome::failed) << name(operation);
    EXPECT_THAT(result.detail, HasSubstr("what this rank sends was changed")) << name(operation);
  }
}

TEST_F(AllReduce, sums_of_normals_are_within_their_bound_and_say_whether_they_are_reproducible) {
  if (world.size() < 2) GTEST_SKIP() << "needs at least 2 ranks";
  for (const DataType type : {DataType::f64, DataType::f32, DataType::bf16}) {
    for (const bool in_place : {false, true}) {
      Spec one = spec(type, 5000, in_place);
      one.inputs = Inputs::normals;
      const Verification result = run(one, 4);
      EXPECT_EQ(result.outcome, Outcome::passed) << name(type) << ": " << result.detail;
      EXPECT_LE(result.error, 1.0);
      EXPECT_GT(result.error, 0.0) << "a sum of normals that is never rounded is none";
      EXPECT_NE(result.digest, 0U);
      EXPECT_FALSE(result.digest_is_shared);
      EXPECT_THAT(result.detail, HasSubstr("bitwise reproducible"));
      EXPECT_THAT(result.detail, HasSubstr(std::to_string(world.size()) + " ranks"));
    }
  }
}

TEST_F(AllReduce, sees_bits_that_change_from_one_sum_to_the_next) {
  if (world.size() < 2) GTEST_SKIP() << "needs at least 2 ranks";
  int calls = 0;
  if (world.rank() == 1) {
    collective.after = [&calls](std::byte* data, std::size_t /*count*/, DataType type) {
      if (type != DataType::f32) return;              // what the ranks tell each other about their results
      if (++calls % 3 == 0) data[0] ^= std::byte{1};  // the last place of one sum: within the bound
    };
  }
  Spec one = spec(DataType::f32, 100);
  one.inputs = Inputs::normals;
  const Verification result = run(one, 1);
  EXPECT_THAT(result.detail, HasSubstr("not bitwise reproducible: 2 different results of 8 sums"));
  EXPECT_THAT(result.detail, HasSubstr("up to 2 on one rank"));
}

TEST_F(AllReduce, normals_that_are_too_far_off_do_not_pass) {
  for (const float wrong : {100.0F, std::numeric_limits<float>::quiet_NaN()}) {
    collective.after = [wrong](std::byte* data, std::size_t count, DataType /*f32*/) {
      reinterpret_cast<float*>(data)[count / 2] = wrong;
    };
    Spec one = spec(DataType::f32, 100);
    one.inputs = Inputs::normals;
    const Verification result = run(one, 2);
    EXPECT_EQ(result.outcome, Outcome::failed);
    EXPECT_THAT(result.detail, HasSubstr("the first is element 50"));
  }
}

TEST_F(AllReduce, is_measured_back_to_back) {
  device = std::make_unique<TestDevice>(4096);
  const SteadyClock clock(true);
  mpi::GlobalClock global(world, clock);
  for (Spec one : all_specs(spec(DataType::i32, 24 * static_cast<std::size_t>(world.size())))) {
    if (one.in_place) continue;
    one.streamed = true;
    CollectiveWorkload workload(one, context());
    StoppingRule rule;
    rule.budget = 0.05;
    rule.max_samples = 10;
    const Samples samples = measure(workload, world, global, rule);
    EXPECT_GT(samples.operations, 1) << describe(one);
    const Verification result = workload.verify();
    EXPECT_EQ(result.outcome, Outcome::passed) << describe(one) << ": " << result.detail;
  }
}

TEST_F(AllReduce, is_measured_with_ranks_that_arrive_late) {
  const SteadyClock clock(true);
  mpi::GlobalClock global(world, clock);
  for (const Arrivals arrivals : {Arrivals::one_late, Arrivals::linear, Arrivals::random}) {
    Spec one = spec(DataType::f32, 256);
    one.arrivals = arrivals;
    one.spread = 1e-3;
    CollectiveWorkload workload(one, context());
    StoppingRule rule;
    rule.budget = 0.2;
    rule.max_samples = 30;
    const Samples samples = measure(workload, world, global, rule);
    EXPECT_EQ(workload.verify().outcome, Outcome::passed);
    if (world.size() == 1) continue;
    for (std::size_t i = 0; i < samples.figure.size(); ++i) {
      std::vector<double> latest{samples.begin[i], samples.begin[i] + samples.time[i]};
      world.all_reduce_max(latest);
      EXPECT_DOUBLE_EQ(samples.figure[i], latest[1] - latest[0]);
    }
  }
}

TEST_F(AllReduce, is_measured_by_the_sampler_and_right_afterwards) {
  const SteadyClock clock(true);
  mpi::GlobalClock global(world, clock);
  CollectiveWorkload workload(spec(DataType::bf16, 4096, true), context());
  StoppingRule rule;
  rule.budget = 0.2;
  rule.max_samples = 100;
  const Samples samples = measure(workload, world, global, rule);
  EXPECT_GE(samples.figure.size(), 3U);
  EXPECT_EQ(workload.verify().outcome, Outcome::passed);
}

/// Its memory cannot be asked for.
class ForgetfulDevice final : public TestDevice {
 public:
  [[nodiscard]] std::size_t memory_available() const override { throw infrastructure_error("who knows"); }
};

TEST_F(AllReduce, buffers_lie_by_the_largest_cache_and_the_smallest_memory) {
  const auto rank = static_cast<std::size_t>(world.rank());
  TestDevice own(1000 + rank, 100'000 - rank);
  const BufferLimits limits = agree_on_buffer_limits({own, collective, platform, options});
  EXPECT_EQ(limits.cache, 1000U + static_cast<std::size_t>(world.size()) - 1U);
  EXPECT_EQ(limits.memory, 100'000U - static_cast<std::size_t>(world.size()) + 1U);
}

TEST_F(AllReduce, a_rank_that_cannot_tell_its_memory_fails_all_of_them) {
  const int last = world.size() - 1;
  if (world.rank() == last) device = std::make_unique<ForgetfulDevice>();
  try {
    CollectiveWorkload workload(spec(DataType::f32, 4), context());
    FAIL() << "nothing was thrown";
  } catch (const mpi::AgreedError& error) {
    EXPECT_EQ(error.place().rank, last);
    EXPECT_THAT(error.what(), HasSubstr("who knows"));
  }
}

}  // namespace
}  // namespace rackproof
