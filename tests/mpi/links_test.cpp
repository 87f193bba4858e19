// The links suite on real ranks: what is exchanged is checked, and a pair that is slow on purpose is named.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/backends/mpi/mpi_collective.hpp"
#include "common/core/random.hpp"
#include "common/measure/sampler.hpp"
#include "common/mpi/communicator.hpp"
#include "common/mpi/global_clock.hpp"
#include "common/stats/order_statistics.hpp"
#include "suites/links/payload.hpp"
#include "suites/links/session.hpp"
#include "suites/links/workload.hpp"
#include "suites/suite.hpp"
#include "tests/fakes/fake_clock.hpp"
#include "tests/fakes/far_device.hpp"
#include "tests/fakes/faulty_collective.hpp"
#include "tests/fakes/test_device.hpp"

namespace rackproof {

std::unique_ptr<Suite> make_links_suite();

namespace {

using links::Direction;
using links::LinksSession;
using links::PairWorkload;
using ::testing::Each;
using ::testing::HasSubstr;
using Outcome = Verification::Outcome;

/// MPI's messages, wrong on purpose, or late.
class LateCollective final : public FaultyCollective {
 public:
  explicit LateCollective(const mpi::Communicator& ranks) : FaultyCollective(std::make_unique<MpiCollective>(ranks)) {}
  std::function<void(int peer)> before_message;  ///< called before each message to a peer
  std::optional<int> wrong_from;                 ///< what comes from this rank has a wrong bit

  void send_recv(const void* send, int to, void* receive, int from, std::size_t count, DataType type) override {
    if (before_message && to != nobody) before_message(to);
    FaultyCollective::send_recv(send, to, receive, from, count, type);
    if (wrong_from == from && count > 0) *static_cast<std::byte*>(receive) ^= std::byte{1};
  }
};

class Links : public ::testing::Test {
 protected:
  Links() {
    platform.topology = mpi::single_node_topology(world.size());
    for (const OptionSpec& option : suite->options()) options.values[option.name] = option.default_value;
  }

  /// Ranks meet their neighbours: 0 and 1, 2 and 3, ...; the last of an odd number waits.
  [[nodiscard]] int neighbour() const {
    const int other = world.rank() ^ 1;
    return other < world.size() ? other : -1;
  }

  /// Before a fault is set that would also meet this.
  void agree_on_buffers(std::uint64_t message) {
    const Context context{device, collective, platform, options};
    EXPECT_EQ(session.buffers(message, context).message, message);
  }

  Verification run(std::uint64_t message, Direction direction, int steps) {
    const Context context{device, collective, platform, options};
    PairWorkload workload(message, direction, neighbour(), session, context);
    EXPECT_EQ(workload.partner(), neighbour());
    EXPECT_EQ(workload.takes_part(), neighbour() >= 0);
    for (int i = 0; i < steps; ++i) {
      workload.prepare();
      workload.step();
    }
    return workload.verify();
  }

  const mpi::Communicator world = mpi::Communicator::world();
  TestDevice device{1U << 20U};
  LateCollective collective{world};
  Platform platform;
  Options options;
  std::unique_ptr<Suite> suite = make_links_suite();
  LinksSession session{links::choose_endpoints("ranks", mpi::single_node_topology(world.size())), 1};
};

TEST_F(Links, messages_of_every_size_arrive_both_ways_hot_and_cold) {
  for (const bool cold : {false, true}) {
    options.cold_buffers = cold;
    for (const std::uint64_t message : {8U, 4096U, 65536U, 1U << 20U}) {
      for (const Direction direction : {Direction::one_way, Direction::both_ways}) {
        const Verification result = run(message, direction, 5);
        EXPECT_EQ(result.outcome, Outcome::passed) << message << ": " << result.detail;
      }
    }
  }
}

TEST_F(Links, slots_that_come_round_many_times_are_right) {
  EXPECT_EQ(run(1U << 19U, Direction::both_ways, 40).outcome, Outcome::passed);
}

TEST_F(Links, a_wrong_byte_fails_and_names_the_sender) {
  agree_on_buffers(2048);
  if (world.rank() == 0) {
    collective.after = [](std::byte* data, std::size_t bytes, DataType) { data[bytes - 1] ^= std::byte{1}; };
  }
  const Verification result = run(4096, Direction::one_way, 3);
  if (world.rank() == 0 && world.size() > 1) {
    EXPECT_EQ(result.outcome, Outcome::failed);
    EXPECT_THAT(result.detail, HasSubstr("from rank 1 are wrong"));
    EXPECT_THAT(result.detail, HasSubstr("at byte 4088"));
  } else {
    EXPECT_EQ(result.outcome, Outcome::passed) << result.detail;
  }
}

TEST_F(Links, a_message_of_another_rank_is_told_as_such) {
  // What this rank itself would have sent: a reflection.
  const std::vector<std::byte> own = links::text_of(world.rank(), options.seed);
  agree_on_buffers(16);
  collective.after = [&](std::byte* data, std::size_t bytes, DataType) { std::copy_n(own.begin(), bytes, data); };
  const Verification result = run(8, Direction::both_ways, 1);
  if (neighbour() < 0) return;
  EXPECT_EQ(result.outcome, Outcome::failed);
  EXPECT_THAT(result.detail, HasSubstr("which is what rank " + std::to_string(world.rank()) + " sends"));
}

TEST_F(Links, what_is_left_from_the_case_before_is_no_message) {
  ASSERT_EQ(run(4096, Direction::both_ways, 30).outcome, Outcome::passed);
  collective.skips = true;
  const Verification result = run(4096, Direction::both_ways, 30);
  EXPECT_EQ(result.outcome, neighbour() < 0 ? Outcome::passed : Outcome::failed);
}

TEST_F(Links, copies_are_checked) {
  FarDevice far;
  const Context context{far, collective, platform, options};
  for (const auto kind : {links::CopyKind::device, links::CopyKind::to_device, links::CopyKind::to_host}) {
    for (const auto memory : {links::HostMemory::pinned, links::HostMemory::pageable}) {
      const int allocations = far.host_allocations;
      links::CopyWorkload workload(kind, memory, 1U << 20U, context);
      const bool pins = kind != links::CopyKind::device && memory == links::HostMemory::pinned;
      EXPECT_EQ(far.host_allocations - allocations, pins ? 1 : 0);
      for (int i = 0; i < 3; ++i) {
        workload.prepare();
        workload.step();
      }
      workload.finish();
      EXPECT_EQ(workload.verify().outcome, Outcome::passed);
      workload.prepare();  // a step that is not made
      EXPECT_EQ(workload.verify().outcome, Outcome::failed);
    }
  }
}

/// Runs the cases of the suite in order, as `rackproof run` does.
class Tournament : public Links {
 protected:
  Observation measure_case(const Case& which, const Context& context) {
    const auto workload = suite->make(which, context);
    StoppingRule rule;
    rule.min_samples = 3;
    rule.max_samples = 3;
    rule.budget = 0.02;
    const Samples samples = measure(*workload, world, global_clock, rule);
    const double median =
        workload->takes_part() ? stats::median(samples.time) : std::numeric_limits<double>::quiet_NaN();
    const bool failed = workload->verify().outcome == Outcome::failed;
    const std::vector<double> row{median, static_cast<double>(workload->partner()), failed ? 1.0 : 0.0};
    std::vector<double> rows = world.gather(std::span<const double>(row));
    rows.resize(row.size() * static_cast<std::size_t>(world.size()));
    world.broadcast(std::span<double>(rows));
    Observation seen;
    for (std::size_t i = 0; i < rows.size(); i += row.size()) {
      seen.seconds.push_back(rows[i]);
      seen.partner.push_back(static_cast<int>(rows[i + 1]));
      seen.failed.push_back(rows[i + 2] > 0.0);
    }
    return seen;
  }

  /// By a clock that moves with the messages alone, each takes 100 us and a little that differs from pair to pair;
  /// those between ranks 1 and 2 take twenty times as long.
  void slow_down_1_and_2() {
    collective.before_message = [this](int peer) {
      const auto [a, b] = std::minmax({peer, world.rank()});
      const double noise = 0.02 * random_uniform(static_cast<std::uint64_t>(a), static_cast<std::uint64_t>(b));
      clock.advance(1e-4 * (1.0 + noise) * (a == 1 && b == 2 ? 20.0 : 1.0));
    };
  }

  /// All cases of 8 B that have something to do: stage and what was seen.
  std::vector<std::pair<std::string, Observation>> run_all() {
    options.values["link-sizes"] = "8B";
    const auto state = suite->begin(options, platform);
    const Context context{device, collective, platform, options, state.get()};
    std::vector<std::pair<std::string, Observation>> all;
    for (const Case& which : suite->cases(options, platform)) {
      if (!which.pairs || !suite->reason_to_skip(which, context).empty()) continue;
      all.emplace_back(which.parameters.text("stage"), measure_case(which, context));
      state->observe(which, all.back().second);
    }
    return all;
  }

  const FakeClock clock;
  mpi::GlobalClock global_clock{world, clock};
};

TEST_F(Tournament, a_pair_that_is_slow_is_met_again_and_blamed) {
  if (world.size() < 4) return;
  slow_down_1_and_2();
  std::vector<stats::PairTime> times;
  int again = 0;
  int apart = 0;
  for (const auto& [stage, seen] : run_all()) {
    EXPECT_THAT(seen.failed, Each(false)) << stage;
    if (stage != "round") {
      EXPECT_EQ(seen.partner[1], 2) << stage;
    }
    if (stage == "apart") {
      ++apart;
      continue;
    }
    const bool repeated = stage == "again";
    if (repeated) ++again;
    for (int a = 0; a < world.size(); ++a) {
      const int b = seen.partner[static_cast<std::size_t>(a)];
      const auto later =
          std::max(seen.seconds[static_cast<std::size_t>(a)], seen.seconds[static_cast<std::size_t>(b < 0 ? a : b)]);
      if (b > a) times.push_back({a, b, later, 0.0, repeated});
    }
  }
  const stats::PairVerdict verdict = stats::judge_pairs(times, world.size());
  ASSERT_EQ(verdict.blamed.size(), 1U) << "noise " << verdict.noise;
  EXPECT_EQ(verdict.blamed.front().kind, stats::SlowPart::Kind::link);
  EXPECT_EQ(verdict.blamed.front().a, 1);
  EXPECT_EQ(verdict.blamed.front().b, 2);
  EXPECT_GT(verdict.blamed.front().confidence, 0.99);
  EXPECT_EQ(again, stats::repetitions_needed);
  EXPECT_EQ(apart, 1);  // slow alone: nothing more to ask
}

TEST_F(Tournament, a_pair_whose_data_comes_wrong_fails_and_its_time_is_no_suspicion) {
  if (world.size() < 4) return;
  slow_down_1_and_2();
  if (world.rank() == 2) collective.wrong_from = 1;
  int met = 0;
  for (const auto& [stage, seen] : run_all()) {
    EXPECT_EQ(stage, "round");  // nothing to repeat: nobody else is slow
    for (int rank = 0; rank < world.size(); ++rank) {
      const bool wrong = rank == 2 && seen.partner[2] == 1;
      met += wrong ? 1 : 0;
      EXPECT_EQ(seen.failed[static_cast<std::size_t>(rank)], wrong) << "rank " << rank;
    }
  }
  EXPECT_EQ(met, links::passes_of(world.size()));
}

TEST_F(Tournament, ranks_that_cannot_meet_skip_and_few_are_not_judged) {
  const auto cases = suite->cases(options, platform);
  for (const Case& which : cases) {
    EXPECT_EQ(which.skip_reason.empty(), !which.pairs || world.size() > 1) << which.name;
    const bool planned = !which.pairs || which.parameters.text("stage") == "round";
    EXPECT_TRUE(planned || world.size() >= 4) << which.name;
  }
}

}  // namespace
}  // namespace rackproof
