#include "common/watch/watchdog.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "common/watch/board.hpp"
#include "common/watch/channel.hpp"
#include "common/watch/hang_rule.hpp"
#include "common/watch/node_watch.hpp"
#include "common/watch/process_state.hpp"
#include "common/watch/stack.hpp"

namespace rackproof::watch {
// Not in the nameless namespace: Watchdog::State has members of these types.

/// The ranks that share a board, and this one among them.
struct Neighbours {
  Board board;
  int local_rank;
};

/// What the leaders of all boards agree on.
struct Star {
  int group = 0;                        ///< of this board; rank 0's is 0
  std::vector<std::vector<int>> ranks;  ///< of each board; on rank 0 alone
  std::string token;
  int port = 0;
  std::vector<std::string> addresses;
};

namespace {

constexpr int exit_code = static_cast<int>(ExitCode::infrastructure);
/// s beyond the time-out: the next in line waits so much longer than the one that it stands in for.
constexpr double next_in_node = 2.0;
constexpr double next_node = 6.0;
/// s from a connection that ends without a word to a loss: see NodeWatch.
constexpr double mourning_a_connection = 4.0;
/// s for all nodes to tell where their ranks are; and more where some are silent, whose other ranks then speak.
constexpr double telling_time = 2.0;
constexpr double telling_time_of_others = 4.0;
/// s until processes that should end by themselves are killed.
constexpr double ending_time = 2.0;
constexpr double time_to_abort = 10.0;
constexpr double time_to_greet = 5.0;
/// s that a rank with an error of its own has to tell it, once others cannot go on.
constexpr double time_for_own_errors = 2.0;
/// s of silence that are enough then.
constexpr double silence_when_asking = 5.0;
/// s that a rank waits for what it asked for to be told.
constexpr double time_to_be_told = 15.0;
constexpr std::size_t most_stacks = 4;
/// Messages that rank 0's process shall take in a second.
constexpr double most_beats = 500.0;

enum Kind : std::uint32_t { hello = 1, beat, ask_ranks, tell_ranks, ask_stack, tell_stack, end_now, bye };
enum BeatFlag : std::uint64_t { beat_moved = 1, beat_works = 2, beat_stopped = 4, beat_lost = 8, beat_asking = 16 };

std::uint64_t flags_of(const NodeLook& look) {
  std::uint64_t flags = 0;
  if (look.moved) flags |= beat_moved;
  if (look.works) flags |= beat_works;
  if (look.stopped) flags |= beat_stopped;
  if (look.lost) flags |= beat_lost;
  if (look.asking) flags |= beat_asking;
  return flags;
}

NodeLook look_of(std::uint64_t flags) {
  return {(flags & beat_moved) != 0, (flags & beat_works) != 0, (flags & beat_stopped) != 0, (flags & beat_lost) != 0,
          (flags & beat_asking) != 0};
}

/// A RankReport on its way.
struct WireReport {
  std::int32_t rank = 0;
  std::int32_t pid = 0;
  std::int32_t state = 0;
  ProgressReading progress;
  double still = 0.0;
  std::array<char, 96> device{};
  std::array<char, 64> kernel_place{};
};

template <std::size_t N>
void put_text(std::array<char, N>& to, const std::string& from) {
  std::copy_n(from.begin(), std::min(from.size(), N - 1), to.begin());
}

template <std::size_t N>
std::string get_text(const std::array<char, N>& from) {
  return printable({from.data(), static_cast<std::size_t>(std::find(from.begin(), from.end(), '\0') - from.begin())});
}

std::string pack(const std::vector<RankReport>& reports) {
  std::string body;
  for (const RankReport& one : reports) {
    WireReport wire{one.rank, one.pid, one.state, one.progress, one.still, {}, {}};
    put_text(wire.device, one.device);
    put_text(wire.kernel_place, one.kernel_place);
    std::array<char, sizeof wire> bytes{};
    std::memcpy(bytes.data(), &wire, sizeof wire);
    body.append(bytes.data(), bytes.size());
  }
  return body;
}

std::vector<RankReport> unpack(const std::string& body, const std::string& host) {
  std::vector<RankReport> reports;
  WireReport wire{};
  for (std::size_t at = 0; at + sizeof wire <= body.size(); at += sizeof wire) {
    std::memcpy(&wire, body.data() + at, sizeof wire);
    RankReport one;
    one.rank = wire.rank;
    one.host = host;
    one.device = get_text(wire.device);
    one.pid = wire.pid;
    one.state = static_cast<char>(wire.state);
    one.progress = wire.progress;
    one.still = wire.still;
    one.kernel_place = get_text(wire.kernel_place);
    reports.push_back(std::move(one));
  }
  return reports;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(printable(text.substr(at, end - at)));
    at = end + 1;
  }
  return lines;
}

/// Past the library's streams, whose locks the main thread may hold.
void print_lines(const std::vector<std::string>& lines) {
  std::string text = "\n";  // there may be a progress line
  for (const std::string& line : lines) text += "rackproof: " + line + "\n";
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t written = ::write(STDERR_FILENO, text.data() + at, text.size() - at);
    if (written <= 0) return;
    at += static_cast<std::size_t>(written);
  }
}

/// Kills these processes when this one has ended: a launcher that sees the signal first takes it for the job's exit
/// code.
void kill_soon(const std::vector<int>& processes) {
  if (processes.empty() || ::fork() != 0) return;
  // Nothing but system calls: another thread may have held any lock when this child was made.
  ::setsid();
  for (int descriptor = 0; descriptor < 1024; ++descriptor) ::close(descriptor);
  const timespec pause{1, 0};
  (void)::nanosleep(&pause, nullptr);
  for (const int one : processes) (void)::kill(one, SIGKILL);
  ::_exit(0);
}

/// Not this rank's own processor, where another one is free.
void leave_the_processor() {
  cpu_set_t all;
  CPU_ZERO(&all);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) CPU_SET(cpu, &all);
  (void)::sched_setaffinity(0, sizeof all, &all);
}

/// Room for a connection a node.
void raise_limit_on_files(std::size_t wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, wanted);
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

std::string random_token() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

void fill(BoardSlot& slot, int rank) {
  slot.rank = rank;
  slot.pid = ::getpid();
  slot.started = read_process_state(::getpid()).started;
  slot.progress.enter(Phase::starting);
}

/// Collective. Ranks of one node, or each by itself where they do not see the same files.
Neighbours share_board(const mpi::Communicator& world) {
  mpi::Communicator node = world.split_node();
  std::optional<Board> board;
  std::string path;
  if (node.is_root()) {
    try {
      board.emplace(node.size());
      path = board->path();
    } catch (const Error&) {  // seen by all below
      path.clear();
    }
  }
  node.broadcast(path);
  if (!node.is_root() && !path.empty()) {
    try {
      board.emplace(path, node.size());
    } catch (const Error&) {  // containers with a /dev/shm each
      board.reset();
    }
  }
  double all_have_it = board ? 1.0 : 0.0;
  node.all_reduce_min({&all_have_it, 1});
  if (node.is_root() && board) board->unlink();
  if (all_have_it > 0.0) {
    fill(board->slot(node.rank()), world.rank());
    node.barrier();
    // Containers with processes of their own: nobody could tell whether another one is still there.
    double all_are_seen = 1.0;
    for (int local = 0; node.is_root() && local < node.size(); ++local) {
      const BoardSlot& slot = board->slot(local);
      const ProcessState process = read_process_state(slot.pid.load());
      if (process.is_gone() || process.started != slot.started.load()) all_are_seen = 0.0;
    }
    node.all_reduce_min({&all_are_seen, 1});
    if (all_are_seen > 0.0) return {std::move(*board), node.rank()};
  }
  Board alone(1);
  alone.unlink();
  fill(alone.slot(0), world.rank());
  return {std::move(alone), 0};
}

/// Collective, and an error of one is an error of all.
Neighbours share_board_or_throw(const mpi::Communicator& world) {
  std::optional<Neighbours> own;
  mpi::agree(world, [&] { own.emplace(share_board(world)); });
  return std::move(*own);
}

}  // namespace

struct Watchdog::State {
  State(const mpi::Communicator& world, const mpi::Topology& topology, double timeout_seconds)
      : own(share_board_or_throw(world)),
        timeout(timeout_seconds),
        interval(std::clamp(timeout_seconds / 20.0, 0.05, 1.0)),
        rank(world.rank()),
        rule(timeout, interval),
        node(own.board, topology.ranks[static_cast<std::size_t>(world.rank())].host, interval),
        leader_silence(static_cast<std::size_t>(own.local_rank), Silence(interval)),
        leader_heartbeat(static_cast<std::size_t>(own.local_rank), 0),
        root_silence(interval),
        root_gone(interval),
        wake(::eventfd(0, EFD_CLOEXEC)) {
    for (const mpi::RankPlace& place : topology.ranks) hosts.push_back(place.host);
    answer.emplace(slot());
    meet(world);
  }
  ~State() {
    if (wake >= 0) ::close(wake);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void meet(const mpi::Communicator& world);
  void run();
  void tick(double now);
  void tick_member(double now);
  void tick_leader(double now);
  void tick_root(double now);
  void take_connections(double now);
  void hear_node(std::size_t group, double now);
  void answer_root(const Message& message);
  void say_goodbye();
  [[noreturn]] void report_all(Reason reason);
  [[noreturn]] void report_missing();
  /// s of silence after which another one speaks.
  [[nodiscard]] double patience(double beyond_the_timeout) const;
  [[noreturn]] void report_own_node(Reason reason, const std::string& first_line, double stood);
  [[noreturn]] void end_node();
  void gather_reports(std::vector<RankReport>& reports);
  void gather_stacks(std::vector<RankReport>& reports);
  void print_report(Reason reason, double stood, const std::vector<RankReport>& reports,
                    std::vector<std::string> first);
  /// Sleeps, and goes on to be seen alive. True where this process shall stop watching.
  bool nap(double seconds);

  [[nodiscard]] bool is_leader() const { return own.local_rank == 0; }
  [[nodiscard]] bool is_root() const { return rank == 0; }
  [[nodiscard]] BoardSlot& slot() const { return own.board.slot(own.local_rank); }

  struct Node {
    Channel channel{-1};
    bool came = false;  ///< it has been connected
    bool left = false;  ///< with a word
    NodeLook look;      ///< since the last tick
    std::optional<std::vector<RankReport>> told;
    Silence silent;
    Silence cut;
    explicit Node(double interval) : silent(interval), cut(interval) {}
  };
  struct Newcomer {
    Channel channel{-1};
    double since = 0.0;
  };

  Neighbours own;
  std::atomic<double> timeout;
  double interval;
  int rank;
  std::vector<std::string> hosts;  ///< by rank
  Star star;
  HangRule rule;
  NodeWatch node;
  std::vector<Silence> leader_silence;  ///< of the local ranks before this one
  std::vector<std::uint64_t> leader_heartbeat;
  // A leader's way to rank 0's process.
  Channel to_root{-1};
  bool has_met_root = false;
  bool root_left = false;
  double next_try = 0.0;
  double next_beat = 0.0;
  double asked_at = -1.0;  ///< rank 0's process: when it heard of it
  NodeLook unsent;
  Silence root_silence;
  Silence root_gone;
  // Rank 0's process.
  std::optional<Listener> listener;
  std::vector<Node> nodes;  ///< by group, its own included
  std::vector<Newcomer> newcomers;
  std::vector<std::pair<int, std::vector<std::string>>> stacks;  ///< told by other nodes

  std::mutex mutex;  ///< of these three
  std::vector<std::string> cases;
  std::string remark;
  std::atomic<double> abort_at{0.0};
  std::atomic<int> abort_code{0};
  std::atomic<bool> stopping{false};
  int wake;
  std::optional<StackAnswer> answer;
  std::thread thread;
};

void Watchdog::State::meet(const mpi::Communicator& world) {
  const mpi::Communicator leaders = world.split(is_leader() ? 0 : 1, world.rank());
  if (!is_leader()) return;
  star.group = leaders.rank();
  std::string own_ranks;
  for (int local = 0; local < own.board.size(); ++local) {
    own_ranks += fmt::format("{}\n", own.board.slot(local).rank.load());
  }
  for (const std::string& ranks : leaders.gather(own_ranks)) {
    star.ranks.emplace_back();
    for (const std::string& one : lines_of(ranks)) star.ranks.back().push_back(std::stoi(one));
  }
  for (std::size_t group = 0; group < star.ranks.size(); ++group) nodes.emplace_back(interval);
  std::string meeting;
  mpi::agree(leaders, [&] {
    if (!is_root() || leaders.size() == 1) return;
    raise_limit_on_files(static_cast<std::size_t>(leaders.size()) + 256);
    listener.emplace();
    meeting = fmt::format("{}\n{}\n", random_token(), listener->port());
    for (const std::string& one : own_addresses()) meeting += one + "\n";
  });
  leaders.broadcast(meeting);
  const std::vector<std::string> lines = lines_of(meeting);
  if (lines.size() > 2) {
    star.token = lines[0];
    star.port = std::stoi(lines[1]);
    star.addresses.assign(lines.begin() + 2, lines.end());
  }
}

bool Watchdog::State::nap(double seconds) {
  slot().heartbeat.fetch_add(1, std::memory_order_relaxed);
  pollfd waited{wake, POLLIN, 0};
  const auto milliseconds = static_cast<int>(std::max(1.0, seconds * 1e3));
  (void)::poll(&waited, 1, milliseconds);
  return stopping.load();
}

void Watchdog::State::run() {
  (void)::pthread_setname_np(::pthread_self(), "watchdog");
  leave_the_processor();
  while (!nap(interval)) tick(ProgressWord::now());
  say_goodbye();
}

void Watchdog::State::tick(double now) {
  const double deadline = abort_at.load();
  if (deadline > 0.0 && now > deadline) ::_exit(abort_code.load());
  if (own.board.ending().load() != 0) {
    if (!is_leader()) ::_exit(exit_code);
    end_node();
  }
  if (is_root()) {
    tick_root(now);
  } else if (is_leader()) {
    tick_leader(now);
  } else {
    tick_member(now);
  }
}

double Watchdog::State::patience(double beyond_the_timeout) const {
  return own.board.asking().load() > 0 ? silence_when_asking : timeout + beyond_the_timeout;
}

/// Speaks where all of its node that stand before it do not.
void Watchdog::State::tick_member(double now) {
  bool all_silent = true;
  for (std::size_t i = 0; i < leader_silence.size(); ++i) {
    const BoardSlot& other = own.board.slot(static_cast<int>(i));
    const std::uint64_t heartbeat = other.heartbeat.load(std::memory_order_relaxed);
    const bool alive = heartbeat != std::exchange(leader_heartbeat[i], heartbeat);
    const bool ended = other.progress.read().phase == Phase::done;
    const double silent = leader_silence[i].look(now, alive || ended);
    all_silent = all_silent && silent > patience(next_in_node);
  }
  // Each of them asks the kernel: not before there is a reason.
  const bool is_asked = own.board.asking().load() > 0;
  if (is_asked || (!leader_silence.empty() && leader_silence.front().seconds() > timeout / 2.0)) (void)node.look(now);
  if (all_silent && !leader_silence.empty()) {
    report_own_node(Reason::hang, "", leader_silence.front().seconds());
  }
}

void Watchdog::State::tick_leader(double now) {
  const NodeLook look = node.look(now);
  unsent |= look;
  if (!to_root.is_open() && !has_met_root && now > next_try) {
    to_root = Channel::connect(star.addresses, star.port, interval);
    constexpr double retry = 5.0;
    next_try = now + retry;
    if (to_root.is_open()) {
      has_met_root = true;
      to_root.send({hello, static_cast<std::uint32_t>(star.group), 0, star.token});
    }
  }
  bool heard = false;
  for (const Message& message : to_root.receive()) {
    heard = true;
    answer_root(message);
  }
  if (to_root.is_open() && now >= next_beat) {
    to_root.send({beat, static_cast<std::uint32_t>(star.group), flags_of(unsent), ""});
    unsent = {};
    next_beat = now + std::max(0.0, static_cast<double>(hosts.size()) / most_beats - interval / 2.0);
  }
  to_root.flush();
  if (root_left) return;
  if (!has_met_root) {
    // What other nodes do cannot be known: all of the work that a rank may do alone is allowed for.
    rule.set_timeout(timeout);
    if (rule.look(now, look.moved, true)) report_own_node(Reason::hang, "", rule.stood());
    return;
  }
  const std::string root = fmt::format("rank 0 on {}", hosts.front());
  const double gone = root_gone.look(now, to_root.is_open());
  const double silent = root_silence.look(now, heard);
  if (gone > mourning_a_connection) {
    report_own_node(Reason::lost, fmt::format("{} is gone: its process closed the connection without a word", root),
                    gone);
  }
  if (silent > patience(next_node)) {
    report_own_node(
        Reason::hang,
        fmt::format("no word from {} for {:.1f} s: its node hangs, or the network to it is cut", root, silent), silent);
  }
}

void Watchdog::State::answer_root(const Message& message) {
  switch (message.kind) {
    case ask_ranks:
      to_root.send({tell_ranks, static_cast<std::uint32_t>(star.group), 0, pack(node.report())});
      break;
    case ask_stack: {
      std::string body;
      for (const std::string& frame : node.stack_of(static_cast<int>(message.number))) body += frame + "\n";
      to_root.send({tell_stack, message.number, 0, body});
      break;
    }
    case end_now:
      end_node();
    case bye:
      root_left = true;
      break;
    default:
      break;
  }
}

void Watchdog::State::take_connections(double now) {
  if (!listener) return;
  constexpr std::size_t most_newcomers = 1024;
  while (newcomers.size() < most_newcomers) {
    Channel channel = listener->accept();
    if (!channel.is_open()) break;
    newcomers.push_back({std::move(channel), now});
  }
  for (Newcomer& one : newcomers) {
    const std::vector<Message> messages = one.channel.receive();
    if (messages.empty()) {
      // A stranger on the network does not keep a place.
      if (now - one.since > time_to_greet) one.channel.close();
      continue;
    }
    const Message& first = messages.front();
    const bool is_ours = first.kind == hello && first.body == star.token && first.number < nodes.size();
    if (!is_ours) {
      one.channel.close();
      continue;
    }
    Node& one_node = nodes[first.number];
    one_node.channel = std::move(one.channel);
    one_node.came = true;
    for (std::size_t i = 1; i < messages.size(); ++i) one_node.look |= look_of(messages[i].flags);
  }
  std::erase_if(newcomers, [](const Newcomer& one) { return !one.channel.is_open(); });
}

void Watchdog::State::hear_node(std::size_t group, double now) {
  Node& one = nodes[group];
  if (!one.came || one.left) return;
  bool heard = false;
  for (Message& message : one.channel.receive()) {
    heard = true;
    if (message.kind == beat) one.look |= look_of(message.flags);
    if (message.kind == bye) one.left = true;
    if (message.kind == tell_ranks)
      one.told = unpack(message.body, hosts[static_cast<std::size_t>(star.ranks[group].front())]);
    if (message.kind == tell_stack) stacks.emplace_back(static_cast<int>(message.number), lines_of(message.body));
  }
  one.silent.look(now, heard);
  one.cut.look(now, one.left || one.channel.is_open());
  if (one.cut.seconds() > mourning_a_connection) one.look.lost = true;
}

void Watchdog::State::tick_root(double now) {
  take_connections(now);
  NodeLook all = node.look(now);
  for (std::size_t group = 1; group < nodes.size(); ++group) {
    hear_node(group, now);
    Node& one = nodes[group];
    all |= std::exchange(one.look, {});
    one.channel.send({beat, 0, 0, ""});
  }
  rule.set_timeout(timeout);
  const bool hangs = rule.look(now, all.moved, all.works && !all.stopped);
  if (all.lost) report_all(Reason::lost);
  if (hangs) report_all(Reason::hang);
  if (all.asking && asked_at < 0.0) asked_at = now;
  if (asked_at >= 0.0 && now - asked_at > time_for_own_errors) report_missing();
}

void Watchdog::State::say_goodbye() {
  to_root.send({bye, static_cast<std::uint32_t>(star.group), 0, ""});
  for (Node& one : nodes) one.channel.send({bye, 0, 0, ""});
}

void Watchdog::State::gather_reports(std::vector<RankReport>& reports) {
  bool some_silent = false;
  for (Node& one : nodes) {
    one.channel.send({ask_ranks, 0, 0, ""});
    some_silent = some_silent || (one.came && !one.left && one.silent.seconds() > timeout / 2.0);
  }
  const double began = ProgressWord::now();
  const auto waiting = [](const Node& one) { return one.channel.is_open() && !one.told; };
  for (double passed = 0.0; passed < telling_time + (some_silent ? telling_time_of_others : 0.0);
       passed = ProgressWord::now() - began) {
    if (!some_silent && std::none_of(nodes.begin(), nodes.end(), waiting)) break;
    (void)nap(0.01);
    for (std::size_t group = 1; group < nodes.size(); ++group) hear_node(group, ProgressWord::now());
  }
  reports = node.report();
  for (std::size_t group = 1; group < nodes.size(); ++group) {
    Node& one = nodes[group];
    if (one.told) {
      std::move(one.told->begin(), one.told->end(), std::back_inserter(reports));
    } else if (one.came && !one.left) {
      // Its leader alone is known to be silent: the others there may well be waiting for it.
      RankReport silent;
      silent.rank = star.ranks[group].front();
      silent.host = hosts[static_cast<std::size_t>(silent.rank)];
      silent.known = false;
      reports.push_back(std::move(silent));
    }
  }
}

void Watchdog::State::gather_stacks(std::vector<RankReport>& reports) {
  std::vector<std::size_t> wanted = find_behind(reports);
  if (wanted.empty() && !reports.empty()) wanted = {0, reports.size() - 1};
  wanted.resize(std::min(wanted.size(), most_stacks));
  std::size_t asked = 0;
  for (const std::size_t i : wanted) {
    if (!reports[i].known) continue;
    reports[i].stack = node.stack_of(reports[i].rank);
    for (std::size_t group = 1; group < nodes.size(); ++group) {
      const auto& there = star.ranks[group];
      if (std::find(there.begin(), there.end(), reports[i].rank) == there.end()) continue;
      nodes[group].channel.send({ask_stack, static_cast<std::uint32_t>(reports[i].rank), 0, ""});
      ++asked;
    }
  }
  const double began = ProgressWord::now();
  while (stacks.size() < asked && ProgressWord::now() - began < telling_time) {
    (void)nap(0.01);
    for (std::size_t group = 1; group < nodes.size(); ++group) hear_node(group, ProgressWord::now());
  }
  for (auto& [of, frames] : stacks) {
    const auto found =
        std::find_if(reports.begin(), reports.end(), [of = of](const auto& one) { return one.rank == of; });
    if (found != reports.end()) found->stack = std::move(frames);
  }
}

void Watchdog::State::print_report(Reason reason, double stood, const std::vector<RankReport>& reports,
                                   std::vector<std::string> first) {
  const std::lock_guard lock(mutex);
  std::vector<std::string> lines = std::move(first);
  for (std::string& line : report_lines(reason, stood, reports, cases)) lines.push_back(std::move(line));
  if (!remark.empty()) lines.push_back(remark);
  print_lines(lines);
}

void Watchdog::State::report_all(Reason reason) {
  std::vector<RankReport> reports;
  gather_reports(reports);
  gather_stacks(reports);
  print_report(reason, rule.stood(), reports, {});
  for (Node& one : nodes) one.channel.send({end_now, 0, 0, ""});
  end_node();
}

/// Of those who asked one has told already what it waited for: here is who did not come, if that is to be seen.
void Watchdog::State::report_missing() {
  std::vector<RankReport> reports;
  gather_reports(reports);
  const auto is_gone = [](const RankReport& one) { return one.known && ProcessState{one.state, 0.0, 0}.is_gone(); };
  const bool lost = std::any_of(reports.begin(), reports.end(), is_gone);
  const bool stuck = std::any_of(reports.begin(), reports.end(), is_stuck_by_itself);
  // While ranks were moving, one that is behind means nothing.
  const bool stood = rule.stood() > time_for_own_errors + interval;
  if (stuck || (stood && !find_behind(reports).empty())) {
    gather_stacks(reports);
    print_report(lost ? Reason::lost : Reason::hang, rule.stood(), reports, {});
  }
  for (Node& one : nodes) one.channel.send({end_now, 0, 0, ""});
  end_node();
}

void Watchdog::State::report_own_node(Reason reason, const std::string& first_line, double stood) {
  std::vector<RankReport> reports = node.report();
  std::vector<std::string> first;
  if (!first_line.empty()) first.push_back(first_line);
  if (!first.empty() && std::none_of(reports.begin(), reports.end(), is_stuck_by_itself)) {
    // Who is at fault has been said: these wait like everybody else.
    const std::lock_guard lock(mutex);
    first.push_back(waiting_line(reports, cases));
    if (!remark.empty()) first.push_back(remark);
    print_lines(first);
    end_node();
  }
  gather_stacks(reports);
  print_report(reason, stood, reports, std::move(first));
  end_node();
}

void Watchdog::State::end_node() {
  own.board.ending() = 1;
  const double began = ProgressWord::now();
  while (ProgressWord::now() - began < ending_time && !node.others(::getpid()).empty()) {
    (void)nap(0.02);
    for (Node& one : nodes) one.channel.flush();
  }
  kill_soon(node.others(::getpid()));
  ::_exit(exit_code);
}

Watchdog::Watchdog(const mpi::Communicator& world, const mpi::Topology& topology, double timeout) {
  world.broadcast({&timeout, 1});
  state_ = std::make_unique<State>(world, topology, timeout);
  // No signal of the process is for this thread.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  state_->thread = std::thread([state = state_.get()] { state->run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Watchdog::~Watchdog() {
  progress().enter(Phase::done);
  state_->stopping = true;
  const std::uint64_t one = 1;
  (void)!::write(state_->wake, &one, sizeof one);
  state_->thread.join();
}

ProgressWord& Watchdog::progress() noexcept { return state_->slot().progress; }

void Watchdog::set_timeout(double seconds) noexcept { state_->timeout = seconds; }

void Watchdog::set_device(const std::string& text) {
  std::array<char, 96>& device = state_->slot().device;
  put_text(device, text);
}

void Watchdog::set_cases(std::vector<std::string> names) {
  const std::lock_guard lock(state_->mutex);
  state_->cases = std::move(names);
}

void Watchdog::set_remark(std::string remark) {
  const std::lock_guard lock(state_->mutex);
  state_->remark = std::move(remark);
}

void Watchdog::tell_of_others(const std::string& line) {
  if (state_->own.board.asking().fetch_add(1) == 0) print_lines({line});
  // The watchdog's thread ends the process meanwhile.
  std::this_thread::sleep_for(std::chrono::duration<double>(time_to_be_told));
}

void Watchdog::expect_end(ExitCode code) noexcept {
  progress().enter(Phase::aborting);
  state_->abort_code = static_cast<int>(code);
  state_->abort_at = ProgressWord::now() + time_to_abort;
}

}  // namespace rackproof::watch
