#include "launch/run_plant.hpp"

#include <gmock/gmock.h>

#include "common/core/error.hpp"
#include "common/measure/workload.hpp"
#include "common/mpi/topology.hpp"
#include "tests/fakes/fake_clock.hpp"

namespace rackproof {
namespace {

using ::testing::ElementsAre;

/// Ranks 0 and 1 on node-a, 2 and 3 on node-b.
mpi::Topology two_nodes() {
  mpi::Topology topology;
  topology.nodes = 2;
  topology.ranks = {{"node-a", 0, 0}, {"node-a", 0, 1}, {"node-b", 1, 0}, {"node-b", 1, 1}};
  return topology;
}

/// Takes 1 s of a clock a step.
class OneSecond final : public Workload {
 public:
  explicit OneSecond(FakeClock& clock, int partner = -1) : clock_(clock), partner_(partner) {}
  void step() override { clock_.advance(1.0); }
  Verification verify() override { return {}; }
  [[nodiscard]] double device_seconds() override { return 2.0; }
  [[nodiscard]] bool is_collective() const override { return false; }
  [[nodiscard]] int partner() const override { return partner_; }

 private:
  FakeClock& clock_;
  int partner_;
};

TEST(RunPlant, what_was_asked_for_is_understood) {
  const Plant slow = parse_plant("slow=node-a:5%");
  EXPECT_EQ(slow.kind, Plant::Kind::slow);
  EXPECT_THAT(slow.places, ElementsAre("node-a"));
  EXPECT_DOUBLE_EQ(slow.share, 0.05);
  const Plant link = parse_plant("slow-link=node-a,rank3:30%");
  EXPECT_THAT(link.places, ElementsAre("node-a", "rank3"));
  const Plant jump = parse_plant("clock-jump=rank1:10ms@7");
  EXPECT_DOUBLE_EQ(jump.seconds, 0.01);
  EXPECT_EQ(jump.at_case, 7);
  EXPECT_EQ(parse_plant("full-disk@3").at_case, 3);
  EXPECT_EQ(parse_plant("other-library=rank1:/a:b/c").folder, "/a:b/c");
}

TEST(RunPlant, what_makes_no_sense_is_refused) {
  for (const char* text : {"", "slow", "slow=", "slow=rank1", "slow=rank1:5", "slow=rank1:5%@2", "slow=rank1,rank2:5%",
                           "slow-link=rank1:5%", "freeze=rank1:5%", "melt=rank1", "clock-jump=rank1:5%",
                           "full-disk=rank1", "kill=rank1@0", "slow=rank1:100%"}) {
    EXPECT_THROW((void)parse_plant(text), Error) << text;
  }
}

TEST(RunPlant, a_place_is_a_host_or_a_rank) {
  EXPECT_THAT(ranks_at("node-b", two_nodes()), ElementsAre(2, 3));
  EXPECT_THAT(ranks_at("rank1", two_nodes()), ElementsAre(1));
  EXPECT_THROW((void)ranks_at("rank4", two_nodes()), Error);
  EXPECT_THROW((void)ranks_at("node-c", two_nodes()), Error);
}

TEST(RunPlant, a_slow_rank_takes_as_much_longer_as_was_asked_for_and_others_do_not) {
  for (const int rank : {1, 2}) {
    FakeClock clock(1e-3);
    Planting planting({parse_plant("slow=node-b:20%")}, two_nodes(), rank, clock);
    planting.begin_case(1, "gemm", "");
    const auto workload = planting.workload(std::make_unique<OneSecond>(clock));
    const double before = clock.now();
    workload->step();
    workload->finish();
    EXPECT_NEAR(clock.now() - before, rank == 2 ? 1.25 : 1.0, 0.02) << rank;
    EXPECT_NEAR(workload->device_seconds(), rank == 2 ? 2.5 : 2.0, 1e-9) << rank;
  }
}

TEST(RunPlant, a_slow_link_holds_back_messages_between_its_ends_alone) {
  const auto seconds = [](int rank, int partner) {
    FakeClock clock(1e-3);
    Planting planting({parse_plant("slow-link=node-a,rank2:50%")}, two_nodes(), rank, clock);
    const auto workload = planting.workload(std::make_unique<OneSecond>(clock, partner));
    const double before = clock.now();
    workload->step();
    workload->finish();
    return clock.now() - before;
  };
  EXPECT_NEAR(seconds(0, 2), 2.0, 0.02);
  EXPECT_NEAR(seconds(2, 1), 2.0, 0.02);
  EXPECT_NEAR(seconds(0, 3), 1.0, 0.02);
  EXPECT_NEAR(seconds(0, 1), 1.0, 0.02);
  EXPECT_NEAR(seconds(3, 2), 1.0, 0.02);
}

TEST(RunPlant, a_clock_jumps_once_in_the_case_that_was_named) {
  FakeClock clock(0.0);
  Planting planting({parse_plant("clock-jump=rank1:10s@2")}, two_nodes(), 1, clock);
  const double before = planting.clock().now();
  for (int number = 1; number <= 3; ++number) {
    planting.begin_case(number, "allreduce", "");
    const auto workload = planting.workload(std::make_unique<OneSecond>(clock));
    for (int step = 0; step < 5; ++step) workload->step();
    EXPECT_NEAR(planting.clock().now() - before, 5.0 * number + (number >= 2 ? 10.0 : 0.0), 1e-9);
  }
}

TEST(RunPlant, who_has_no_part_in_it_is_left_alone) {
  FakeClock clock(0.0);
  Planting planting({parse_plant("freeze=rank3")}, two_nodes(), 0, clock);
  auto workload = std::make_unique<OneSecond>(clock);
  const Workload* const own = workload.get();
  EXPECT_EQ(planting.workload(std::move(workload)).get(), own);
  EXPECT_EQ(&planting.clock(), &clock);
  EXPECT_EQ(planting.record(), R"(["freeze=rank3"])");
}

}  // namespace
}  // namespace rackproof
