// Looks at all ranks of one node: at their words on the board, and at their processes.
#pragma once

#include <string>
#include <vector>

#include "common/watch/board.hpp"
#include "common/watch/hang_rule.hpp"
#include "common/watch/process_state.hpp"

namespace rackproof::watch {

/// What happened on a node since the last look.
struct NodeLook {
  bool moved = false;    ///< a rank got further
  bool works = false;    ///< one works alone, and used its processor
  bool stopped = false;  ///< a process is stopped
  bool lost = false;     ///< a process has been gone for a while, without having ended its run
  bool asking = false;   ///< a rank cannot go on because of others
  NodeLook& operator|=(const NodeLook& other) noexcept;
};

class NodeWatch {
 public:
  /// `interval`: s between two looks, as planned.
  NodeWatch(const Board& board, std::string host, double interval);

  /// `now`: s of the steady clock.
  NodeLook look(double now);
  /// Of all ranks, as at the last look; without stacks.
  [[nodiscard]] std::vector<RankReport> report() const;
  /// Empty for a rank of another node, and for one that does not answer.
  [[nodiscard]] std::vector<std::string> stack_of(int rank) const;
  /// The processes of ranks, other than this, which are still there.
  [[nodiscard]] std::vector<int> others(int own_pid) const;

 private:
  struct Seen {
    ProgressReading progress;
    double asked = -1.0;  ///< s: when the kernel was last asked for the processor time, if just before this look
    double cpu_seconds = 0.0;
    Silence still;  ///< since it got further
    Silence gone;   ///< since its process was there
  };
  [[nodiscard]] ProcessState process_of(const BoardSlot& slot) const;

  const Board* board_;
  std::string host_;
  bool is_first_ = true;
  std::vector<Seen> seen_;  ///< by local rank
};

}  // namespace rackproof::watch
