// What the main thread of a process of this node is in.
#pragma once

#include <string>
#include <vector>

#include "common/watch/board.hpp"

namespace rackproof::watch {

/// Until the end of the object a real-time signal makes this process write the addresses of its main thread's stack
/// into `slot`, which must live as long. One object a process at a time.
class StackAnswer {
 public:
  explicit StackAnswer(BoardSlot& slot);
  StackAnswer(const StackAnswer&) = delete;
  StackAnswer& operator=(const StackAnswer&) = delete;
  ~StackAnswer();
};

/// Asks the process behind `slot`, which has a StackAnswer, and waits up to `patience` s for it. Innermost first:
/// "MPI_Barrier (libmpi.so.40)", "rackproof+0x41f2". Empty where it does not answer: it is stopped, or in the kernel.
[[nodiscard]] std::vector<std::string> ask_for_stack(BoardSlot& slot, double patience);

}  // namespace rackproof::watch
