// The verdict on links from a file alone.
#include "results/links.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "common/measure/tournament.hpp"
#include "results/recover.hpp"
#include "results/show.hpp"
#include "tests/unit/result_file_fixture.hpp"

namespace rackproof::results {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using testing::TemporaryFolder;

constexpr int nodes = 16;
constexpr int samples = 30;
constexpr std::int64_t message = 1 << 20;

/// Fifteen rounds of 16 nodes, three repetitions and two cases apart.
RunHeader header() {
  RunHeader made = testing::example_header();
  made.ranks.clear();
  for (int i = 0; i < nodes; ++i) {
    made.ranks.push_back({"node-" + std::to_string(i), "cuda:0", "GPU", "SN-" + std::to_string(i), i, 0});
  }
  SuiteHeader links{"links", {}, true};
  const auto add = [&](const char* stage, int number) {
    CaseHeader one;
    one.name = std::string("links/1MiB/both-ways/") + stage + "-" + std::to_string(number);
    one.parameters = {
        {"direction", std::string("both-ways")}, {"stage", std::string(stage)}, {"number", std::int64_t{number}}};
    one.message_size = message;
    one.figures = {{"bandwidth", "GB/s", FigureHeader::Kind::rate, static_cast<double>(message) / 1e9}};
    links.cases.push_back(std::move(one));
  };
  for (int i = 0; i < nodes - 1; ++i) add("round", i);
  for (int i = 0; i < 3; ++i) add("again", i);
  for (int i = 0; i < 2; ++i) add("apart", i);
  made.suites = {links};
  return made;
}

using Fault = std::function<double(int, int)>;

class Links : public ::testing::Test {
 protected:
  void write_case(Writer& writer, std::size_t which, const Pairing& pairing, const Fault& fault) {
    RankBlock block;
    block.columns = samples;
    for (int rank = 0; rank < nodes; ++rank) {
      const int partner = pairing[static_cast<std::size_t>(rank)];
      block.partner.push_back(partner);
      block.samples.push_back(partner < 0 ? 0 : samples);
      block.verify_error.push_back(0.0);
      const double factor = partner < 0 ? 1.0 : fault(rank, partner);
      // Both of a pair are slow alike; the upper one is done a little later.
      std::mt19937 random(static_cast<unsigned>(which * 1000) +
                          static_cast<unsigned>(partner < 0 ? rank : std::min(rank, partner)));
      std::normal_distribution<double> normal;
      const double noise = std::exp(0.01 * normal(random));
      for (int i = 0; i < samples; ++i) {
        block.time.push_back(1e-4 * factor * noise * (rank > partner ? 1.0 : 0.999) * (1.0 + 1e-3 * (i % 7)));
        block.begin.push_back(i);
      }
    }
    writer.write_block(0, which, block);
    CaseOutcome outcome;
    outcome.status = Status::passed;
    for (int i = 0; i < samples; ++i) outcome.figure_time.push_back(1e-4);
    writer.finish_case(0, which, outcome);
  }

  /// The rounds; where `again`, the pair 3, 7 is met again three times, and alone and with 1, 2.
  std::filesystem::path write(const Fault& fault, bool again, const Fault& apart) {
    const auto path = folder / "x.h5";
    const RunHeader head = header();
    Writer writer(path, head);
    const auto rounds = round_robin(nodes);
    std::size_t which = 0;
    for (const Pairing& round : rounds) write_case(writer, which++, round, fault);
    const std::vector<std::pair<int, int>> wanted{{3, 7}};
    for (int i = 0; i < 3; ++i, ++which) {
      if (again) write_case(writer, which, round_with(nodes, wanted, 5U + static_cast<unsigned>(i)), fault);
    }
    const std::vector<std::pair<int, int>> alone{{3, 7}, {10, 11}};
    const std::vector<std::pair<int, int>> with_others{{3, 7}, {10, 11}, {1, 2}};
    if (again) write_case(writer, which, only(nodes, alone), apart);
    if (again) write_case(writer, which + 1, only(nodes, with_others), fault);
    writer.finish();
    return path;
  }

  static Fault healthy() {
    return [](int, int) { return 1.0; };
  }
  static Fault slow_link() {
    return [](int a, int b) { return std::minmax(a, b) == std::minmax(3, 7) ? 1.3 : 1.0; };
  }

  TemporaryFolder folder;
};

TEST_F(Links, a_healthy_machine_is_said_to_be_so) {
  const auto path = write(healthy(), false, healthy());
  const std::string text = show(path);
  EXPECT_THAT(text, HasSubstr("no link and no node stands out"));
  EXPECT_THAT(text, HasSubstr("1 MiB both-ways"));
  // One row for all rounds, unless they are asked for.
  EXPECT_THAT(text, Not(HasSubstr("round-3")));
  EXPECT_THAT(show(path, {.case_regex = "round"}), HasSubstr("links/1MiB/both-ways/round-3"));
  EXPECT_THAT(show(path, {.case_regex = {}, .ranks = true}), HasSubstr("links/1MiB/both-ways/round-3"));
}

TEST_F(Links, a_slow_link_is_named_with_its_nodes_devices_and_evidence) {
  const ResultFile file(write(slow_link(), true, slow_link()));
  const auto all = link_series(file, 0);
  ASSERT_THAT(all, SizeIs(1));
  ASSERT_THAT(all.front().verdict.blamed, SizeIs(1));
  const stats::SlowPart& part = all.front().verdict.blamed.front();
  EXPECT_EQ(part.kind, stats::SlowPart::Kind::link);
  EXPECT_NEAR(part.slowdown, 0.3, 0.05);
  EXPECT_GT(part.confidence, 0.99);
  std::string text = show(file.path());
  std::replace(text.begin(), text.end(), '\n', ' ');
  EXPECT_THAT(text, HasSubstr("link node-3 (rank 3, cuda:0, serial SN-3) <-> node-7 (rank 7, cuda:0, serial SN-7)"));
  EXPECT_THAT(text, HasSubstr("slow in 4 of 4 meetings"));
  EXPECT_THAT(text, HasSubstr("is slow alone too"));
}

TEST_F(Links, a_link_that_is_slow_only_with_others_says_with_which) {
  const ResultFile file(write(slow_link(), true, healthy()));
  const std::string verdict = link_verdicts(file, link_series(file, 0));
  std::string text = verdict;
  std::replace(text.begin(), text.end(), '\n', ' ');
  EXPECT_THAT(text, HasSubstr("node-3 <-> node-7 is slow only with others: with node-1 <-> node-2")) << verdict;
}

TEST_F(Links, a_suspicion_without_repetitions_is_not_settled) {
  const std::string text = show(write(slow_link(), false, healthy()));
  EXPECT_THAT(text, HasSubstr("not settled: link node-3"));
}

TEST_F(Links, a_slow_node_is_named) {
  const ResultFile file(write([](int a, int b) { return a == 5 || b == 5 ? 1.15 : 1.0; }, false, healthy()));
  const auto all = link_series(file, 0);
  ASSERT_THAT(all.front().verdict.blamed, SizeIs(1));
  std::string text = link_verdicts(file, all);
  std::replace(text.begin(), text.end(), '\n', ' ');
  EXPECT_THAT(text, HasSubstr("node node-5 (rank 5, cuda:0, serial SN-5): takes 1"));
  EXPECT_THAT(text, HasSubstr("slow in 15 of 15 pairs"));
}

TEST_F(Links, the_time_of_a_pair_is_that_of_the_rank_that_was_done_later) {
  const ResultFile file(write(healthy(), false, healthy()));
  const auto all = link_series(file, 0);
  EXPECT_THAT(all.front().times, SizeIs(120));
  const RankBlock block = file.block(0, 0, 0, nodes);
  const stats::PairTime& first = all.front().times.front();
  EXPECT_EQ(first.a, 0);
  EXPECT_EQ(first.b, block.partner[0]);
  const auto partner = static_cast<std::size_t>(first.b);
  EXPECT_NEAR(first.seconds, block.time[partner * samples] * (1.0 + 3e-3), 1e-7);
}

TEST_F(Links, who_met_whom_survives_a_recovery) {
  const auto path = folder / "y.h5";
  {
    Writer writer(path, header());
    write_case(writer, 0, round_robin(nodes).front(), healthy());
  }
  static_cast<void>(recover(path.string() + ".part"));
  const ResultFile file(path);
  EXPECT_TRUE(file.header().suites.front().pairs);
  EXPECT_EQ(file.block(0, 0, 0, nodes).partner[0], round_robin(nodes).front()[0]);
  EXPECT_EQ(file.block(0, 1, 0, nodes).partner[0], -1);
  EXPECT_THAT(link_series(file, 0).front().times, SizeIs(8));
}

TEST_F(Links, a_suite_without_pairs_has_no_partners) {
  const auto path = testing::write_example(folder / "z.h5");
  const ResultFile file(path);
  EXPECT_FALSE(file.header().suites.front().pairs);
  EXPECT_TRUE(file.block(0, 0, 0, 1).partner.empty());
  EXPECT_TRUE(link_series(file, 0).empty());
}

}  // namespace
}  // namespace rackproof::results
