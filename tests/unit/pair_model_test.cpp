// no threads
// The pair model against simulated machines: healthy ones, and such with one fault. All seeds are fixed, so that rates
// are the same numbers in every run.
#include "common/stats/pair_model.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <functional>
#include <random>
#include <vector>

#include "common/core/error.hpp"
#include "common/measure/tournament.hpp"

namespace rackproof::stats {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

/// A machine whose pairs take 100 us, give or take log-normal noise and rare disturbances, with what `fault`
/// multiplies.
struct Machine {
  int endpoints = 64;
  double noise = 0.03;
  double node_noise = 0.005;  ///< how much healthy endpoints differ
  double disturbed = 0.002;   ///< share of measurements that take 1.2 to 3 times as long
  std::function<double(int, int)> fault = [](int, int) { return 1.0; };
};

class Lab {
 public:
  Lab(const Machine& machine, unsigned seed) : machine_(machine), random_(seed) {
    for (int i = 0; i < machine.endpoints; ++i) nodes_.push_back(std::exp(machine.node_noise * normal_(random_)));
  }

  void measure(const Pairing& round, bool again) {
    for (const auto& [a, b] : pairs_of(round)) {
      double seconds = 1e-4 * nodes_[static_cast<std::size_t>(a)] * nodes_[static_cast<std::size_t>(b)];
      seconds *= machine_.fault(a, b) * std::exp(machine_.noise * normal_(random_));
      if (uniform_(random_) < machine_.disturbed) seconds *= 1.2 + 1.8 * uniform_(random_);
      times_.push_back({a, b, seconds, 0.0, again});
    }
  }

  /// The planned rounds, and as many as `most` rounds of repetitions while something is suspicious.
  PairVerdict judge(std::uint64_t seed, int most = 8, const PairOptions& options = {}) {
    for (const Pairing& round : planned_rounds(machine_.endpoints, seed)) measure(round, false);
    PairVerdict verdict = judge_pairs(times_, machine_.endpoints, options);
    for (int i = 0; i < most; ++i) {
      const auto wanted = pairs_to_repeat(verdict, times_);
      if (wanted.empty()) break;
      measure(round_with(machine_.endpoints, wanted, seed + static_cast<std::uint64_t>(i)), true);
      verdict = judge_pairs(times_, machine_.endpoints, options);
    }
    return verdict;
  }

  [[nodiscard]] const std::vector<PairTime>& times() const { return times_; }

 private:
  const Machine& machine_;
  std::mt19937 random_;
  std::normal_distribution<double> normal_;
  std::uniform_real_distribution<double> uniform_;
  std::vector<double> nodes_;
  std::vector<PairTime> times_;
};

struct Rates {
  double found = 0.0;         ///< share of runs in which exactly the fault was blamed
  double false_alarms = 0.0;  ///< share of runs in which something else was blamed
};

template <typename IsFault>
Rates rates_of(const Machine& machine, int seeds, IsFault is_fault, int most_again = 8) {
  Rates rates;
  for (int seed = 0; seed < seeds; ++seed) {
    Lab lab(machine, 1000U + static_cast<unsigned>(seed));
    const PairVerdict verdict = lab.judge(static_cast<std::uint64_t>(seed), most_again);
    EXPECT_TRUE(verdict.decided);
    bool found = false;
    bool other = false;
    for (const SlowPart& part : verdict.blamed) (is_fault(part) ? found : other) = true;
    rates.found += found && !other ? 1.0 / seeds : 0.0;
    rates.false_alarms += other ? 1.0 / seeds : 0.0;
  }
  return rates;
}

void print(const char* what, const Rates& rates) {
  std::printf("  %-52s found %6.2f %%, something else blamed %5.2f %%\n", what, 100.0 * rates.found,
              100.0 * rates.false_alarms);
}

bool nothing(const SlowPart& /*part*/) { return false; }

auto link(int a, int b) {
  return [a, b](const SlowPart& part) {
    return part.kind == SlowPart::Kind::link && part.a == std::min(a, b) && part.b == std::max(a, b);
  };
}

auto endpoint(int a) {
  return [a](const SlowPart& part) { return part.kind == SlowPart::Kind::endpoint && part.a == a; };
}

std::function<double(int, int)> slow_link(int a, int b, double factor) {
  return [=](int i, int j) { return (i == a && j == b) || (i == b && j == a) ? factor : 1.0; };
}

std::function<double(int, int)> slow_endpoint(int a, double factor) {
  return [=](int i, int j) { return i == a || j == a ? factor : 1.0; };
}

TEST(PairModel, healthy_machines_are_not_accused) {
  for (const int endpoints : {4, 8, 16, 64}) {
    for (const double noise : {0.02, 0.03}) {
      Machine machine;
      machine.endpoints = endpoints;
      machine.noise = noise;
      const Rates rates = rates_of(machine, endpoints == 64 ? 100 : 400, nothing);
      print(("healthy, " + std::to_string(endpoints) + " endpoints, noise " + std::to_string(noise)).c_str(), rates);
      EXPECT_LT(rates.false_alarms, 0.01) << endpoints;
    }
  }
}

TEST(PairModel, healthy_machines_with_many_disturbances_are_not_accused) {
  Machine machine;
  machine.disturbed = 0.02;
  const Rates rates = rates_of(machine, 100, nothing);
  print("healthy, 64 endpoints, 2 % of measurements disturbed", rates);
  EXPECT_LT(rates.false_alarms, 0.01);
}

TEST(PairModel, healthy_machines_of_512_endpoints_are_not_accused) {
  Machine machine;
  machine.endpoints = 512;
  const Rates rates = rates_of(machine, 10, nothing);
  print("healthy, 512 endpoints, 27 rounds", rates);
  EXPECT_EQ(rates.false_alarms, 0.0);
}

TEST(PairModel, a_link_that_is_30_percent_slow_is_found) {
  for (const int endpoints : {8, 16, 64}) {
    Machine machine;
    machine.endpoints = endpoints;
    machine.fault = slow_link(2, 5, 1.3);
    const Rates rates = rates_of(machine, 100, link(2, 5));
    print(("link 30 % slow, " + std::to_string(endpoints) + " endpoints").c_str(), rates);
    EXPECT_GE(rates.found, 0.95) << endpoints;
    EXPECT_LT(rates.false_alarms, 0.01);
  }
}

TEST(PairModel, an_endpoint_that_is_10_percent_slow_is_found) {
  for (const int endpoints : {16, 64, 512}) {
    Machine machine;
    machine.endpoints = endpoints;
    machine.fault = slow_endpoint(3, 1.1);
    const Rates rates = rates_of(machine, endpoints == 512 ? 20 : 100, endpoint(3));
    print(("endpoint 10 % slow, " + std::to_string(endpoints) + " endpoints").c_str(), rates);
    EXPECT_GE(rates.found, endpoints == 16 ? 0.9 : 0.98) << endpoints;
    EXPECT_LT(rates.false_alarms, 0.01);
  }
}

TEST(PairModel, a_slow_link_is_found_at_512_endpoints_where_it_was_measured) {
  Machine machine;
  machine.endpoints = 512;
  int found = 0;
  constexpr int seeds = 10;
  for (int seed = 0; seed < seeds; ++seed) {
    const auto [a, b] = pairs_of(planned_rounds(512, static_cast<std::uint64_t>(seed)).at(4)).at(10);
    machine.fault = slow_link(a, b, 1.3);
    Lab lab(machine, static_cast<unsigned>(seed));
    const PairVerdict verdict = lab.judge(static_cast<std::uint64_t>(seed));
    found += verdict.blamed.size() == 1 && link(a, b)(verdict.blamed.front()) ? 1 : 0;
  }
  std::printf("  link 30 %% slow, 512 endpoints: found in %d of %d\n", found, seeds);
  EXPECT_GE(found, seeds - 1);
}

TEST(PairModel, a_slow_link_and_a_slow_endpoint_are_told_apart) {
  Machine machine;
  machine.fault = [](int i, int j) {
    return slow_endpoint(7, 1.2)(i, j) * slow_link(3, 40, 1.5)(i, j) * slow_link(7, 9, 1.5)(i, j);
  };
  Lab lab(machine, 1);
  const PairVerdict verdict = lab.judge(1);
  ASSERT_THAT(verdict.blamed, SizeIs(3));
  const SlowPart& node = verdict.blamed[2];  // the least slow
  EXPECT_EQ(node.kind, SlowPart::Kind::endpoint);
  EXPECT_EQ(node.a, 7);
  EXPECT_NEAR(node.slowdown, 0.2, 0.03);
  EXPECT_EQ(node.pairs, 63);
  EXPECT_GE(node.slow_pairs, 60);
  EXPECT_GT(node.confidence, 0.999);
  for (int i = 0; i < 2; ++i) {
    const SlowPart& slow = verdict.blamed[static_cast<std::size_t>(i)];
    EXPECT_TRUE(link(3, 40)(slow) || link(7, 9)(slow));
    EXPECT_NEAR(slow.slowdown, 0.5, 0.1);
    EXPECT_EQ(slow.pairs, 4);  // one planned, three again
    ASSERT_FALSE(slow.evidence.empty());
    const PairTime& first = lab.times()[static_cast<std::size_t>(slow.evidence.front())];
    EXPECT_EQ(std::minmax(first.a, first.b), std::minmax(slow.a, slow.b));
  }
}

TEST(PairModel, pairs_of_a_slow_cable_are_blamed_though_rounds_do_not_suffice_to_repeat_them_all) {
  // 8 leaf switches with 8 nodes each; the pairs of leaf 1 with others whose numbers sum to 3 modulo 8 meet the cable.
  const auto meets = [](int a, int b) { return (a / 8 == 1) != (b / 8 == 1) && (a + b) % 8 == 3; };
  Machine machine;
  machine.noise = 0.01;
  machine.fault = [meets](int a, int b) { return meets(a, b) ? 1.0 / 0.7 : 1.0; };
  Lab lab(machine, 5);
  // 56 pairs, of which 8 at a time have no node in common: 21 rounds would settle them all.
  const PairVerdict verdict = lab.judge(1, 9);
  EXPECT_THAT(verdict.blamed, SizeIs(testing::Ge(20U)));
  EXPECT_THAT(verdict.suspects, Not(IsEmpty()));
  for (const SlowPart& part : verdict.blamed) {
    EXPECT_EQ(part.kind, SlowPart::Kind::link);
    EXPECT_TRUE(meets(part.a, part.b)) << part.a << " - " << part.b;
  }
}

TEST(PairModel, what_was_slow_once_is_a_suspect_and_cleared_when_measured_again) {
  Machine machine;
  machine.disturbed = 0.0;
  Lab lab(machine, 3);
  for (const Pairing& round : planned_rounds(64, 1)) lab.measure(round, false);
  std::vector<PairTime> times = lab.times();
  times[100].seconds *= 2.0;
  PairVerdict verdict = judge_pairs(times, 64);
  EXPECT_THAT(verdict.blamed, IsEmpty());
  ASSERT_THAT(verdict.suspects, SizeIs(1));
  const SlowPart suspect = verdict.suspects.front();
  EXPECT_NEAR(suspect.slowdown, 1.0, 0.15);
  EXPECT_THAT(suspect.evidence, ElementsAre(100));

  EXPECT_THAT(pairs_to_repeat(verdict, times), ElementsAre(std::pair(suspect.a, suspect.b)));
  for (int i = 0; i < repetitions_needed; ++i) times.push_back({suspect.a, suspect.b, 1e-4, 0.0, true});
  verdict = judge_pairs(times, 64);
  EXPECT_THAT(pairs_to_repeat(verdict, times), IsEmpty());
  EXPECT_THAT(verdict.blamed, IsEmpty());
  EXPECT_THAT(verdict.suspects, IsEmpty());
  EXPECT_THAT(verdict.cleared, SizeIs(1));
}

TEST(PairModel, few_endpoints_are_not_judged) {
  const std::vector<PairTime> three{{0, 1, 2e-4}, {0, 2, 1e-4}, {1, 2, 1e-4}};
  const PairVerdict verdict = judge_pairs(three, 3);
  EXPECT_FALSE(verdict.decided);
  EXPECT_FALSE(verdict.reason.empty());
  EXPECT_FALSE(judge_pairs({}, 8).decided);
  std::vector<PairTime> one_round;
  for (const auto& [a, b] : pairs_of(round_robin(8).front())) one_round.push_back({a, b, 1e-4});
  const PairVerdict of_one_round = judge_pairs(one_round, 8);
  EXPECT_FALSE(of_one_round.decided);
  EXPECT_NE(of_one_round.reason.find("too few pairs"), std::string::npos) << of_one_round.reason;
}

TEST(PairModel, a_grossly_slow_link_is_found_among_four_endpoints) {
  Machine machine;
  machine.endpoints = 4;
  machine.noise = 0.1;
  machine.disturbed = 0.0;
  machine.fault = slow_link(1, 2, 50.0);
  const Rates rates = rates_of(machine, 200, link(1, 2));
  print("link 50 x slow, 4 endpoints, noise 10 %", rates);
  EXPECT_GE(rates.found, 0.95);
}

TEST(PairModel, equal_times_accuse_nobody) {
  std::vector<PairTime> times;
  for (const Pairing& round : round_robin(16)) {
    for (const auto& [a, b] : pairs_of(round)) times.push_back({a, b, 1e-5});
  }
  const PairVerdict verdict = judge_pairs(times, 16);
  EXPECT_TRUE(verdict.decided);
  EXPECT_THAT(verdict.blamed, IsEmpty());
  EXPECT_THAT(verdict.suspects, IsEmpty());
}

TEST(PairModel, times_that_are_none_are_left_out) {
  std::vector<PairTime> times{{0, 1, std::nan("")}, {0, 2, 0.0}, {0, 3, -1.0}};
  for (const Pairing& round : round_robin(8)) {
    for (const auto& [a, b] : pairs_of(round)) times.push_back({a, b, 1e-5});
  }
  const PairVerdict verdict = judge_pairs(times, 9);
  EXPECT_TRUE(std::isnan(verdict.expected[0]));
  EXPECT_NEAR(verdict.expected[3], 1e-5, 1e-9);
  EXPECT_TRUE(std::isnan(verdict.effect[8]));
  EXPECT_NEAR(verdict.effect[0], 0.0, 1e-9);
}

TEST(PairModel, a_pair_of_unknown_endpoints_is_a_defect) {
  const std::vector<PairTime> out_of_range{{0, 4, 1e-5}};
  EXPECT_THROW(static_cast<void>(judge_pairs(out_of_range, 4)), Error);
  const std::vector<PairTime> itself{{2, 2, 1e-5}};
  EXPECT_THROW(static_cast<void>(judge_pairs(itself, 4)), Error);
}

/// 8 nodes of 4 endpoints; pairs inside a node are four times as fast.
struct Nodes {
  Machine machine;
  PairOptions options;
  Nodes() {
    machine.endpoints = 32;
    for (int i = 0; i < 32; ++i) options.node_of.push_back(i / 4);
  }
  [[nodiscard]] static double inside(int i, int j) { return i / 4 == j / 4 ? 0.25 : 1.0; }
};

TEST(PairModel, fast_pairs_inside_a_node_make_no_others_look_slow) {
  Nodes nodes;
  nodes.machine.fault = Nodes::inside;
  Lab lab(nodes.machine, 1);
  const PairVerdict verdict = lab.judge(1, 8, nodes.options);
  EXPECT_TRUE(verdict.decided);
  EXPECT_THAT(verdict.blamed, IsEmpty());
}

TEST(PairModel, slow_endpoints_of_one_node_are_blamed_as_the_node) {
  Nodes nodes;
  nodes.machine.fault = [](int i, int j) {
    return Nodes::inside(i, j) * (i / 4 == 5 ? 1.25 : 1.0) * (j / 4 == 5 ? 1.25 : 1.0);
  };
  Lab lab(nodes.machine, 1);
  const PairVerdict verdict = lab.judge(1, 8, nodes.options);
  ASSERT_THAT(verdict.blamed, SizeIs(1));
  EXPECT_EQ(verdict.blamed.front().kind, SlowPart::Kind::node);
  EXPECT_EQ(verdict.blamed.front().a, 5);
  EXPECT_NEAR(verdict.blamed.front().slowdown, 0.25, 0.05);
}

TEST(PairModel, slow_pairs_between_two_nodes_are_blamed_as_their_link) {
  Nodes nodes;
  nodes.machine.fault = [](int i, int j) {
    const bool crosses = std::minmax(i / 4, j / 4) == std::minmax(1, 6);
    return Nodes::inside(i, j) * (crosses ? 1.5 : 1.0);
  };
  Lab lab(nodes.machine, 1);
  const PairVerdict verdict = lab.judge(1, 14, nodes.options);
  ASSERT_THAT(verdict.blamed, SizeIs(1));
  EXPECT_EQ(verdict.blamed.front().kind, SlowPart::Kind::link_of_nodes);
  EXPECT_EQ(verdict.blamed.front().a, 1);
  EXPECT_EQ(verdict.blamed.front().b, 6);
}

}  // namespace
}  // namespace rackproof::stats
