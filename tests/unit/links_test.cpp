// The verdict on links from a file alone.
#include "results/links.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>
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

/// Fifteen rounds of 16 nodes, three repetitions and two cases apart.
RunHeader header(std::int64_t message) {
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
    bool any_wrong = false;
    block.columns = samples;
    for (int rank = 0; rank < nodes; ++rank) {
      const int partner = pairing[static_cast<std::size_t>(rank)];
      block.partner.push_back(partner);
      block.samples.push_back(partner < 0 ? 0 : samples);
      const bool wrong = partner >= 0 && wrong_data(rank, partner);
      block.verify_error.push_back(wrong && rank < partner ? wrong_error : 0.0);
      any_wrong = any_wrong || wrong;
      const double factor = partner < 0 ? 1.0 : fault(rank, partner);
      // Both of a pair are slow alike; the upper one is done a little later.
      std::mt19937 random(static_cast<unsigned>(which * 1000) +
                          static_cast<unsigned>(partner < 0 ? rank : std::min(rank, partner)));
      std::normal_distribution<double> normal;
      const double noise = std::exp(noise_scale * normal(random));
      for (int i = 0; i < samples; ++i) {
        block.time.push_back(1e-4 * factor * noise * (rank > partner ? 1.0 : 0.999) * (1.0 + 1e-3 * (i % 7)));
        block.begin.push_back(i);
      }
    }
    writer.write_block(0, which, block);
    CaseOutcome outcome;
    outcome.status = any_wrong ? Status::failed : Status::passed;
    for (int i = 0; i < samples; ++i) outcome.figure_time.push_back(1e-4);
    writer.finish_case(0, which, outcome);
  }

  /// The rounds; where `again`, the pair 3, 7 is met again three times, and alone and with 1, 2.
  std::filesystem::path write(const Fault& fault, bool again, const Fault& apart) {
    const auto path = folder / "x.h5";
    std::filesystem::remove(path);
    RunHeader head = header(message);
    if (!machines.empty()) head.provenance["machines"] = machines;
    if (!configuration.empty()) head.provenance["configuration"] = configuration;
    for (RankHeader& rank : head.ranks) rank.node_index = one_node ? 0 : rank.node_index;
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

  /// On one line.
  static std::string verdict(const std::filesystem::path& path) {
    const ResultFile file(path);
    std::string text = link_verdicts(file, link_series(file, 0));
    std::replace(text.begin(), text.end(), '\n', ' ');
    for (std::size_t i = text.find("  "); i != std::string::npos; i = text.find("  ")) text.erase(i, 1);
    return text;
  }

  TemporaryFolder folder;
  double noise_scale = 0.01;
  std::int64_t message = 1 << 20;  ///< B
  std::string machines;            ///< of the provenance, as JSON
  std::string configuration;
  bool one_node = false;  ///< all ranks on the first
  std::function<bool(int, int)> wrong_data = [](int, int) { return false; };
  double wrong_error = 2.0;  ///< of the lower of the two ranks
};

TEST_F(Links, nobody_is_blamed_where_ranks_share_hardware_threads) {
  std::string list;
  for (int i = 0; i < nodes; ++i) {
    list += (i == 0 ? "" : ",") + std::string(R"({"cpu": {"threads": )") + (i == 9 ? "0" : "1") + "}}";
  }
  machines = "[" + list + "]";
  EXPECT_THAT(verdict(write(slow_link(), true, slow_link())), HasSubstr("link node-3"));
  // All on the first node: 16 ranks on 1.
  one_node = true;
  const std::string text = verdict(write(slow_link(), true, slow_link()));
  EXPECT_THAT(text, HasSubstr("not judged: node-0 has 16 ranks on 1 hardware thread,"));
  EXPECT_THAT(text, Not(HasSubstr("takes")));
  for (const char* odd :
       {"[]", "{}", "[1]", "no json", R"([{"cpu": 3}])", R"([{"cpu": [1]}])", R"([{"cpu": {"threads": "1"}}])"}) {
    machines = odd;
    EXPECT_THAT(verdict(write(slow_link(), true, slow_link())), Not(HasSubstr("hardware thread"))) << odd;
  }
}

TEST_F(Links, small_messages_judge_nobody_where_nodes_are_one_machine) {
  std::string list;
  for (int i = 0; i < nodes; ++i) {
    list += (i == 0 ? "" : ",") + std::string(R"({"boot_id": "a", "cpu": {"threads": 15}})");
  }
  machines = "[" + list + "]";
  EXPECT_THAT(verdict(write(slow_link(), true, slow_link())), HasSubstr("link node-3")) << "the cable takes its time";
  message = 8;
  EXPECT_THAT(
      verdict(write(slow_link(), true, slow_link())),
      HasSubstr("not judged: 16 nodes (node-0 to node-15) are one machine, with 16 ranks on 15 hardware threads"));
  std::size_t place = 0;
  while ((place = machines.find("15", place)) != std::string::npos) machines.replace(place, 2, "16");
  EXPECT_THAT(verdict(write(slow_link(), true, slow_link())), HasSubstr("link node-3")) << "a thread a rank";
}

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

TEST_F(Links, a_link_that_delivers_wrong_data_is_named_and_takes_no_other_pair_with_it) {
  wrong_data = [](int a, int b) { return std::minmax(a, b) == std::minmax(2, 9); };
  for (const double error : {2.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    wrong_error = error;
    const auto path = write(healthy(), false, healthy());
    const ResultFile file(path);
    const auto all = link_series(file, 0);
    ASSERT_THAT(all, SizeIs(1));
    EXPECT_THAT(all.front().times, SizeIs(119));
    EXPECT_TRUE(std::none_of(all.front().times.begin(), all.front().times.end(),
                             [&](const stats::PairTime& time) { return wrong_data(time.a, time.b); }));
    const std::string text = verdict(path);
    EXPECT_THAT(text, HasSubstr("link node-2 (rank 2, cuda:0, serial SN-2) <-> node-9 (rank 9, cuda:0, serial SN-9): "
                                "delivered wrong data in 1 of 1 meetings"));
    EXPECT_THAT(text, Not(HasSubstr("stands out")));
  }
}

TEST_F(Links, a_run_may_look_closer_than_is_usual_and_no_file_less_close) {
  noise_scale = 0.001;
  const auto slow_by = [this](double factor, const std::string& floor) {
    configuration = floor.empty() ? "" : R"({"suite_options": {"link-floor": ")" + floor + R"("}})";
    const Fault fault = [factor](int a, int b) { return std::minmax(a, b) == std::minmax(3, 7) ? factor : 1.0; };
    return verdict(write(fault, true, fault));
  };
  const std::string named = "link node-3 (rank 3, cuda:0, serial SN-3) <-> node-7";
  EXPECT_THAT(slow_by(1.08, ""), Not(HasSubstr(named)));
  EXPECT_THAT(slow_by(1.08, "5%"), HasSubstr(named));
  EXPECT_THAT(slow_by(1.30, "50%"), HasSubstr(named));
  EXPECT_THAT(slow_by(1.30, "nonsense"), HasSubstr(named));
}

TEST_F(Links, wrong_data_hides_no_slow_link) {
  // 1, 2 is wrong wherever it is met: in its round and in the second case apart at least.
  wrong_data = [](int a, int b) { return std::minmax(a, b) == std::minmax(1, 2); };
  const ResultFile file(write(slow_link(), true, slow_link()));
  const auto all = link_series(file, 0);
  ASSERT_THAT(all.front().wrong_data, SizeIs(1));
  EXPECT_GE(all.front().wrong_data.front().wrong, 2);
  EXPECT_EQ(all.front().wrong_data.front().meetings, all.front().wrong_data.front().wrong);
  ASSERT_THAT(all.front().verdict.blamed, SizeIs(1));
  const std::string text = verdict(file.path());
  EXPECT_THAT(text, HasSubstr("delivered wrong data in "));
  EXPECT_THAT(text, HasSubstr("slow in 4 of 4 meetings"));
  EXPECT_THAT(text, HasSubstr("is slow alone too"));
}

TEST_F(Links, data_that_is_wrong_now_and_then_is_counted_among_all_meetings) {
  int met = 0;
  wrong_data = [&](int a, int b) { return a == 3 && b == 7 && ++met == 2; };
  const auto path = write(slow_link(), true, slow_link());
  // A round, three repetitions, two cases apart.
  EXPECT_THAT(verdict(path), HasSubstr("delivered wrong data in 1 of 6 meetings"));
}

TEST_F(Links, that_nothing_stands_out_says_what_would_not_have_been_seen) {
  const auto path = write(healthy(), false, healthy());
  const ResultFile file(path);
  const stats::PairVerdict judged = link_series(file, 0).front().verdict;
  EXPECT_GE(judged.least_link, 0.10);
  EXPECT_LT(judged.least_link, 0.20);
  const std::string text = verdict(path);
  EXPECT_THAT(text, HasSubstr("no link and no node stands out (noise "));
  EXPECT_THAT(text, HasSubstr("% slow, of a node "));
  EXPECT_THAT(text, HasSubstr("would not be seen)"));
}

TEST_F(Links, what_could_have_been_seen_is_where_the_judge_begins_to_see) {
  noise_scale = 0.05;
  const auto judged = [&](double slowdown) {
    const auto fault = [&](int a, int b) { return std::minmax(a, b) == std::minmax(3, 7) ? 1.0 + slowdown : 1.0; };
    const ResultFile file(write(fault, false, healthy()));
    return link_series(file, 0).front().verdict;
  };
  const stats::PairVerdict quiet = judged(0.0);
  ASSERT_THAT(quiet.suspects, SizeIs(0));
  ASSERT_GT(quiet.least_link, 0.10);
  // The pair's own noise, up to three scales, adds to it or takes from it.
  const double own = 3.0 * quiet.noise;
  EXPECT_THAT(judged(std::expm1(std::log1p(quiet.least_link) + own)).suspects, SizeIs(1));
  EXPECT_THAT(judged(std::max(0.0, std::expm1(std::log1p(quiet.least_link) - own))).suspects, SizeIs(0));
}

TEST_F(Links, noise_that_hides_everything_is_said_to_do_so) {
  noise_scale = 0.45;
  const std::string text = verdict(write(healthy(), false, healthy()));
  EXPECT_THAT(text, HasSubstr("too noisy to judge: noise "));
  EXPECT_THAT(text, Not(HasSubstr("stands out")));
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
    Writer writer(path, header(1 << 20));
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
