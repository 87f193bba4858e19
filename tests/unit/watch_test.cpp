// When a run hangs, who is behind, and what is seen of processes. On a virtual clock, and on processes of its own.
// no threads
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/core/error.hpp"
#include "common/watch/board.hpp"
#include "common/watch/channel.hpp"
#include "common/watch/hang_rule.hpp"
#include "common/watch/node_watch.hpp"
#include "common/watch/process_state.hpp"
#include "common/watch/stack.hpp"

namespace rackproof::watch {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr double timeout = 120.0;
constexpr double interval = 1.0;

/// Seconds until the rule says that the run hangs, at most `most`; `what` tells for each second what was seen.
struct SeenThen {
  bool moved = false;
  bool works = false;
};
std::optional<double> time_of_alarm(const std::function<SeenThen(int second)>& what, int most) {
  HangRule rule(timeout, interval);
  for (int second = 0; second <= most; ++second) {
    const SeenThen seen = what(second);
    if (rule.look(second, seen.moved, seen.works)) return second;
  }
  return std::nullopt;
}

TEST(HangRule, run_in_which_nobody_moves_hangs_after_the_timeout_and_not_before) {
  const auto alarm = time_of_alarm([](int second) { return SeenThen{second < 30, false}; }, 1000);
  ASSERT_TRUE(alarm.has_value());
  EXPECT_GE(*alarm, 30 + timeout - interval);
  EXPECT_LE(*alarm, 30 + timeout + interval);
}

TEST(HangRule, run_in_which_some_rank_moves_once_in_a_while_is_slow_and_does_not_hang) {
  EXPECT_FALSE(time_of_alarm([](int second) { return SeenThen{second % 119 == 0, false}; }, 100000).has_value());
}

TEST(HangRule, rank_that_works_alone_has_ten_times_as_long) {
  EXPECT_FALSE(time_of_alarm([](int second) { return SeenThen{second % 1100 == 0, true}; }, 10000).has_value());
  const auto alarm = time_of_alarm([](int) { return SeenThen{false, true}; }, 10000);
  ASSERT_TRUE(alarm.has_value());
  EXPECT_NEAR(*alarm, 10 * timeout, interval);
}

TEST(HangRule, seconds_of_work_and_seconds_of_nothing_are_counted_apart) {
  // 100 s of work, then nothing.
  const auto alarm = time_of_alarm([](int second) { return SeenThen{false, second <= 100}; }, 10000);
  ASSERT_TRUE(alarm.has_value());
  EXPECT_NEAR(*alarm, 100 + timeout, interval);
}

TEST(HangRule, watcher_that_was_stopped_itself_accuses_nobody) {
  HangRule rule(timeout, interval);
  EXPECT_FALSE(rule.look(0.0, true, false));
  // The whole job was suspended for a day, again and again; between that it runs for some seconds.
  for (int day = 1; day <= 10; ++day) EXPECT_FALSE(rule.look(86400.0 * day, false, false));
  EXPECT_LE(rule.stood(), 10 * 3 * interval);
}

TEST(Silence, counts_from_the_last_sign_of_life) {
  Silence silence(interval);
  EXPECT_EQ(silence.look(0.0, true), 0.0);
  EXPECT_EQ(silence.look(1.0, false), 1.0);
  EXPECT_EQ(silence.look(2.0, false), 2.0);
  EXPECT_EQ(silence.look(3.0, true), 0.0);
  EXPECT_EQ(silence.look(1000.0, false), 3.0 * interval);
}

RankReport rank_at(int rank, std::uint64_t calls, std::uint64_t samples = 0, char state = 'R') {
  RankReport report;
  report.rank = rank;
  report.host = "node" + std::to_string(rank / 2);
  report.device = "cuda:" + std::to_string(rank % 2);
  report.pid = 100 + rank;
  report.state = state;
  report.progress = {Phase::sampling, false, 2, calls, samples, 0.0};
  report.still = 121.0;
  return report;
}

TEST(FindBehind, rank_that_has_not_come_to_the_call_in_which_the_others_wait_is_behind) {
  EXPECT_THAT(find_behind({rank_at(0, 41), rank_at(1, 41), rank_at(2, 40), rank_at(3, 41)}), ElementsAre(2));
}

TEST(FindBehind, root_of_a_gather_that_waits_is_not_behind_the_one_that_it_waits_for) {
  // 0 is still in the gather; 1 and 3 have sent and went on to the next call; 2 has not come.
  EXPECT_THAT(find_behind({rank_at(0, 41), rank_at(1, 43), rank_at(2, 40), rank_at(3, 43)}), ElementsAre(2));
}

TEST(FindBehind, rank_with_fewer_samples_is_behind) {
  EXPECT_THAT(find_behind({rank_at(0, 40, 7), rank_at(1, 40, 6)}), ElementsAre(1));
}

TEST(FindBehind, stopped_or_dead_process_is_what_all_wait_for_wherever_the_others_are) {
  EXPECT_THAT(find_behind({rank_at(0, 41), rank_at(1, 43, 0, 'T'), rank_at(2, 40)}), ElementsAre(1));
  EXPECT_THAT(find_behind({rank_at(0, 41), rank_at(1, 41, 0, 0), rank_at(2, 41, 0, 'Z')}), ElementsAre(1, 2));
  auto silent = rank_at(1, 0);
  silent.known = false;
  EXPECT_THAT(find_behind({rank_at(0, 41), silent}), ElementsAre(1));
}

TEST(FindBehind, nobody_is_where_all_are_equally_far) {
  EXPECT_THAT(find_behind({rank_at(0, 41), rank_at(1, 41)}), IsEmpty());
  EXPECT_THAT(find_behind({}), IsEmpty());
}

TEST(ReportLines, name_who_where_in_what_and_in_which_state) {
  const std::vector<std::string> cases{"gemm/f32", "allreduce/f32/8B", "links/1"};
  auto culprit = rank_at(3, 40, 17, 'T');
  culprit.kernel_place = "do_signal_stop";
  culprit.stack = {"MPI_Barrier (libmpi.so.40)", "rackproof+0x42"};
  const auto lines = report_lines(Reason::hang, 120.5, {rank_at(0, 41, 17), culprit}, cases);
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_EQ(lines[0], "the run hangs: for 120.5 s no rank got any further; 1 of 2 ranks behind");
  EXPECT_EQ(lines[1],
            "  rank 3 on node1 (cuda:1, pid 103): stopped (T), in allreduce/f32/8B (case 2 of 3), sampling (after 17 "
            "samples, warm-up included), for 121.0 s, in the kernel at do_signal_stop");
  EXPECT_EQ(lines[2], "    rank 3 is in: MPI_Barrier (libmpi.so.40) < rackproof+0x42");
  EXPECT_THAT(lines[3], HasSubstr("the furthest: rank 0 on node0"));
  EXPECT_THAT(lines[3], HasSubstr("waiting for the others"));
}

TEST(ReportLines, accuse_nobody_where_all_are_equally_far) {
  const auto lines = report_lines(Reason::hang, 120.5, {rank_at(0, 41), rank_at(1, 41)}, {});
  EXPECT_THAT(lines.front(), HasSubstr("all are equally far"));
  EXPECT_THAT(lines, Not(Contains(HasSubstr("behind"))));
}

TEST(ReportLines, of_a_node_that_only_waits_is_one_line) {
  EXPECT_EQ(waiting_line({rank_at(4, 41, 17), rank_at(5, 41)}, {"gemm/f32", "allreduce/f32/8B"}).substr(0, 74),
            "  node2, rank 4 and 1 more, cannot go on: in allreduce/f32/8B (case 2 of 2");
}

TEST(ReportLines, of_a_thousand_ranks_tell_a_few) {
  std::vector<RankReport> ranks{rank_at(0, 41)};
  for (int rank = 1; rank < 1000; ++rank) ranks.push_back(rank_at(rank, 40));
  const auto lines = report_lines(Reason::hang, 120.5, ranks, {});
  EXPECT_LE(lines.size(), 12U);
  EXPECT_THAT(lines, Contains(HasSubstr("and 991 more ranks")));
}

/// A process of its own that runs until it is told or killed.
class Child {
 public:
  explicit Child(const std::function<void()>& action) : pid_(::fork()) {
    if (pid_ == 0) {
      action();
      ::_exit(0);
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    ::kill(pid_, SIGKILL);
    reap();
  }
  [[nodiscard]] int pid() const { return pid_; }
  void signal(int number) const { ::kill(pid_, number); }
  void reap() const { ::waitpid(pid_, nullptr, 0); }
  /// Until it is in this state, at most some seconds.
  [[nodiscard]] bool comes_to(char letter) const {
    for (int i = 0; i < 1000; ++i) {
      if (read_process_state(pid_).letter == letter) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

 private:
  int pid_;
};

void sleep_for_ever() {
  for (;;) ::pause();
}

TEST(ProcessState, tells_a_stopped_an_ended_and_a_missing_process_apart) {
  const Child child(sleep_for_ever);
  EXPECT_TRUE(child.comes_to('S'));
  const std::uint64_t started = read_process_state(child.pid()).started;
  EXPECT_GT(started, 0U);
  child.signal(SIGSTOP);
  EXPECT_TRUE(child.comes_to('T'));
  EXPECT_TRUE(read_process_state(child.pid()).is_stopped());
  EXPECT_EQ(read_process_state(child.pid()).started, started);
  child.signal(SIGKILL);
  EXPECT_TRUE(child.comes_to('Z'));
  EXPECT_TRUE(read_process_state(child.pid()).is_gone());
  child.reap();
  EXPECT_TRUE(read_process_state(child.pid()).is_gone());
  EXPECT_EQ(read_process_state(child.pid()).letter, 0);
  EXPECT_EQ(words(read_process_state(child.pid()).letter), "gone");
}

void fill(BoardSlot& slot, int rank, int pid) {
  slot.rank = rank;
  slot.pid = pid;
  slot.started = read_process_state(pid).started;
}

TEST(Board, is_shared_under_its_name_and_nothing_is_left_of_it) {
  std::string path;
  {
    Board board(2);
    path = board.path();
    const Board other(path, 2);
    board.unlink();
    EXPECT_NE(::access(path.c_str(), F_OK), 0);
    board.slot(1).progress.begin_case(7);
    board.slot(1).progress.begin_call();
    const ProgressReading seen = other.slot(1).progress.read();
    EXPECT_EQ(seen.case_number, 7U);
    EXPECT_EQ(seen.phase, Phase::setting_up);
    EXPECT_TRUE(seen.alone);
    EXPECT_TRUE(seen.waits());
    EXPECT_EQ(other.slot(0).progress.read().case_number, 0U);
  }
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
}

TEST(Board, of_another_size_is_refused) {
  const Board board(2);
  EXPECT_THROW(Board(board.path(), 3), Error);
  EXPECT_THROW(Board("/dev/shm/rackproof-no-such-board", 2), Error);
}

TEST(Board, outlives_the_process_that_wrote_there) {
  const Board board(1);
  const Child child([&] {
    board.slot(0).progress.begin_case(3);
    sleep_for_ever();
  });
  for (int i = 0; i < 1000 && board.slot(0).progress.read().case_number == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  child.signal(SIGKILL);
  EXPECT_TRUE(child.comes_to('Z'));
  EXPECT_EQ(board.slot(0).progress.read().case_number, 3U);
}

TEST(NodeWatch, sees_who_moves_who_is_stopped_and_who_is_lost) {
  const Child child(sleep_for_ever);
  const Board board(2);
  fill(board.slot(0), 4, ::getpid());
  fill(board.slot(1), 5, child.pid());
  NodeWatch node(board, "node7", interval);
  double now = 0.0;
  (void)node.look(now++);
  EXPECT_FALSE(node.look(now++).moved);
  board.slot(0).progress.end_sample(now);
  EXPECT_TRUE(node.look(now++).moved);
  EXPECT_FALSE(node.look(now++).stopped);

  child.signal(SIGSTOP);
  ASSERT_TRUE(child.comes_to('T'));
  EXPECT_TRUE(node.look(now++).stopped);
  EXPECT_THAT(node.others(::getpid()), ElementsAre(child.pid()));
  EXPECT_EQ(node.report().at(1).rank, 5);
  EXPECT_EQ(node.report().at(1).host, "node7");
  EXPECT_EQ(node.report().at(1).state, 'T');
  EXPECT_EQ(node.report().at(1).still, 4.0);
  EXPECT_EQ(node.report().at(0).still, 2.0);

  child.signal(SIGKILL);
  ASSERT_TRUE(child.comes_to('Z'));
  EXPECT_FALSE(node.look(now++).lost) << "its own words and the launcher come first";
  bool lost = false;
  for (int i = 0; i < 5; ++i) lost = node.look(now++).lost;
  EXPECT_TRUE(lost);
  EXPECT_THAT(node.others(::getpid()), IsEmpty());
}

/// Waits in the kernel, in state D, for as long as a child of its own sleeps: what vfork() does.
void wait_in_kernel(useconds_t microseconds) {
  if (::vfork() == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::usleep(microseconds);
    ::_exit(0);
  }
  sleep_for_ever();
}

TEST(NodeWatch, tells_who_is_stuck_in_the_kernel_and_not_who_passes_through) {
  constexpr useconds_t a_moment = 20'000;
  constexpr useconds_t for_ever = 600'000'000;
  const Child passing([] { wait_in_kernel(a_moment); });
  const Child stuck([] { wait_in_kernel(for_ever); });
  const Board board(2);
  fill(board.slot(0), 4, passing.pid());
  fill(board.slot(1), 5, stuck.pid());
  ASSERT_TRUE(stuck.comes_to('D'));
  const std::vector<RankReport> reports = NodeWatch(board, "node7", interval).report();
  EXPECT_NE(reports.at(0).state, 'D');
  EXPECT_EQ(reports.at(1).state, 'D');
  EXPECT_THAT(find_behind(reports), ElementsAre(1U));
}

TEST(NodeWatch, tells_of_a_rank_that_cannot_go_on_because_of_others) {
  const Board board(2);
  const Board of_its_neighbour(2);
  fill(board.slot(0), 4, ::getpid());
  fill(board.slot(1), 5, ::getpid());
  NodeWatch node(board, "node7", interval);
  EXPECT_FALSE(node.look(0.0).asking);
  ++of_its_neighbour.asking();
  EXPECT_FALSE(node.look(1.0).asking);
  ++board.asking();
  EXPECT_TRUE(node.look(2.0).asking);
  NodeLook unsent;
  unsent |= node.look(3.0);
  EXPECT_TRUE(unsent.asking);
}

TEST(NodeWatch, process_that_ends_after_its_run_is_not_lost) {
  const Child child([] {});
  const Board board(1);
  ASSERT_TRUE(child.comes_to('Z'));
  fill(board.slot(0), 0, child.pid());
  board.slot(0).progress.enter(Phase::done);
  NodeWatch node(board, "node7", interval);
  for (int second = 0; second < 20; ++second) EXPECT_FALSE(node.look(second).lost);
}

TEST(NodeWatch, another_process_with_the_number_of_a_rank_is_not_that_rank) {
  const Board board(1);
  fill(board.slot(0), 0, ::getpid());
  board.slot(0).started = 1;
  NodeWatch node(board, "node7", interval);
  bool lost = false;
  for (int second = 0; second < 6; ++second) lost = node.look(second).lost;
  EXPECT_TRUE(lost);
}

TEST(NodeWatch, only_work_alone_that_uses_the_processor_counts_as_work) {
  const Child child([] {
    for (std::atomic<unsigned> i{0};; ++i) {
    }
  });
  const Child sleeper(sleep_for_ever);
  const auto works = [&](int pid, bool alone) {
    const Board board(1);
    fill(board.slot(0), 0, pid);
    board.slot(0).progress.enter(Phase::checking, alone);
    NodeWatch node(board, "node7", interval);
    bool any = false;
    for (int i = 0; i < 40 && !any; ++i) {
      any = node.look(0.02 * i).works;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return any;
  };
  EXPECT_TRUE(works(child.pid(), true));
  EXPECT_FALSE(works(child.pid(), false));
  EXPECT_FALSE(works(sleeper.pid(), true));
}

TEST(Stack, of_another_process_is_told_by_the_names_of_its_functions) {
  const Board board(1);
  const Child child([&] {
    BoardSlot& slot = board.slot(0);
    const StackAnswer answer(slot);
    fill(slot, 0, ::getpid());
    sleep_for_ever();
  });
  for (int i = 0; i < 1000 && board.slot(0).pid.load() == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  const std::vector<std::string> stack = ask_for_stack(board.slot(0), 5.0);
  EXPECT_THAT(stack, Contains(HasSubstr("libc")));
  EXPECT_THAT(stack, Contains(HasSubstr("watch_test")));
  child.signal(SIGSTOP);
  ASSERT_TRUE(child.comes_to('T'));
  EXPECT_THAT(ask_for_stack(board.slot(0), 0.1), IsEmpty());
}

/// What comes within some seconds.
std::vector<Message> receive_some(Channel& channel) {
  for (int i = 0; i < 500; ++i) {
    std::vector<Message> messages = channel.receive();
    if (!messages.empty() || !channel.is_open()) return messages;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return {};
}

Channel accept_one(const Listener& listener) {
  for (int i = 0; i < 500; ++i) {
    Channel channel = listener.accept();
    if (channel.is_open()) return channel;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return Channel(-1);
}

TEST(Channel, brings_messages_whole_and_in_order_and_tells_when_the_other_end_is_gone) {
  const Listener listener;
  std::optional<Channel> client(Channel::connect({"127.0.0.1"}, listener.port(), 5.0));
  ASSERT_TRUE(client->is_open());
  Channel server = accept_one(listener);
  ASSERT_TRUE(server.is_open());
  const std::string large(300000, 'x');
  client->send({1, 2, 3, "hello"});
  client->send({4, 5, 6, large});
  std::vector<Message> got;
  while (got.size() < 2 && server.is_open()) {
    client->flush();
    for (Message& one : receive_some(server)) got.push_back(std::move(one));
  }
  ASSERT_EQ(got.size(), 2U);
  EXPECT_EQ(got[0].kind, 1U);
  EXPECT_EQ(got[0].number, 2U);
  EXPECT_EQ(got[0].flags, 3U);
  EXPECT_EQ(got[0].body, "hello");
  EXPECT_EQ(got[1].body, large);
  client.reset();
  EXPECT_THAT(receive_some(server), IsEmpty());
  EXPECT_FALSE(server.is_open());
}

TEST(Channel, is_closed_where_nobody_listens) {
  int port = 0;
  {
    const Listener listener;
    port = listener.port();
  }
  EXPECT_FALSE(Channel::connect({"no address", "127.0.0.1"}, port, 1.0).is_open());
}

TEST(OwnAddresses, end_with_the_loopback) {
  const std::vector<std::string> addresses = own_addresses();
  EXPECT_THAT(addresses, Contains("127.0.0.1"));
}

}  // namespace
}  // namespace rackproof::watch
