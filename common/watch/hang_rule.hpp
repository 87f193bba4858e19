// When a run hangs, and which ranks it waits for. Numbers in, words out: no clock, no process, no network.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "common/core/progress_word.hpp"

namespace rackproof::watch {

/// Says when nobody gets any further. The rule:
/// - A run hangs where for `timeout` seconds NO rank has got any further. Ranks wait for one another after every
/// sample,
///   so that one that is stuck stops all of them within a sample; and while any of them moves, however slowly, the run
///   is slow and not stuck.
/// - While a rank works alone (it sets a case up, checks it, or is in a step that is its own) and uses its processor,
/// the
///   seconds do not count, up to ten times the timeout: nothing shows from outside how far such work is.
/// - Only seconds count in which the watcher itself was running: one that was stopped with all the others (a suspended
///   job, a machine asleep) has seen nothing and accuses nobody.
class HangRule {
 public:
  /// `interval`: s between two looks, as planned.
  HangRule(double timeout, double interval) : timeout_(timeout), most_a_look_(3.0 * interval) {}

  /// `now`: s of a clock that never goes back; `moved`: a rank got further since the last look; `works`: one works
  /// alone and used its processor since. True where the run hangs.
  [[nodiscard]] bool look(double now, bool moved, bool works) noexcept;
  /// s that nobody has moved, as they count.
  [[nodiscard]] double stood() const noexcept { return stood_; }
  void set_timeout(double timeout) noexcept { timeout_ = timeout; }

 private:
  static constexpr double longest_work = 10.0;  ///< timeouts
  double timeout_;
  double most_a_look_;
  double last_ = -1.0;
  double idle_ = 0.0;
  double stood_ = 0.0;
};

/// How long a watcher has waited for a sign of life from somebody, in seconds in which it was running itself.
class Silence {
 public:
  explicit Silence(double interval) : most_a_look_(3.0 * interval) {}
  /// Returns the seconds since the last look at which there was one.
  double look(double now, bool heard) noexcept;
  [[nodiscard]] double seconds() const noexcept { return seconds_; }

 private:
  double most_a_look_;
  double last_ = -1.0;
  double seconds_ = 0.0;
};

/// What is known of one rank when a run is ended.
struct RankReport {
  int rank = 0;
  std::string host;
  std::string device;
  int pid = 0;
  bool known = true;  ///< false: its node's watchdog did not answer, and what follows is not known
  char state = 'R';   ///< as ProcessState::letter
  ProgressReading progress;
  double still = 0.0;        ///< s since it last got further
  std::string kernel_place;  ///< as kernel_place_of()
  std::vector<std::string> stack;
};

/// Gone, stopped, in the kernel for good or not heard of: what others wait for, wherever it is.
[[nodiscard]] bool is_stuck_by_itself(const RankReport& rank);

/// Positions in `ranks` of those that the others wait for: those that are gone, stopped, in the kernel for good or not
/// heard of; where there are none, those whose last call lies furthest back, with the fewest samples among these. Empty
/// where all are equally far: what they wait in is stuck itself.
[[nodiscard]] std::vector<std::size_t> find_behind(const std::vector<RankReport>& ranks);

/// "rank 1 on node7 (cuda:3, pid 4711): stopped (T), in gemm/f32 (case 12 of 85), sampling, sample 17, for 5.2 s"
[[nodiscard]] std::string to_string(const RankReport& rank, const std::vector<std::string>& cases);

/// "  node2, rank 4 and 1 more, cannot go on: in allreduce/f32 (case 2 of 3), sampling (...)": of a node where nobody
/// is at fault. `ranks`: at least one, of one node.
[[nodiscard]] std::string waiting_line(const std::vector<RankReport>& ranks, const std::vector<std::string>& cases);

/// Why a run is ended.
enum class Reason { hang, lost };

/// All of it, one line each, without a prefix. `stood`: s that nobody moved. `cases`: names in the order of running.
[[nodiscard]] std::vector<std::string> report_lines(Reason reason, double stood, const std::vector<RankReport>& ranks,
                                                    const std::vector<std::string>& cases);

}  // namespace rackproof::watch
