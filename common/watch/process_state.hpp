// What the kernel knows of a process of this node.
#pragma once

#include <cstdint>
#include <string>

namespace rackproof::watch {

struct ProcessState {
  /// As in /proc/PID/stat: R runs, S sleeps, D waits for the kernel, T stopped, t traced, Z ended; 0: there is none.
  char letter = 0;
  double cpu_seconds = 0.0;   ///< of all threads
  std::uint64_t started = 0;  ///< in ticks since the machine started: with the number, one process and no other
  [[nodiscard]] bool is_gone() const noexcept { return letter == 0 || letter == 'Z' || letter == 'X'; }
  [[nodiscard]] bool is_stopped() const noexcept { return letter == 'T' || letter == 't'; }
};

[[nodiscard]] ProcessState read_process_state(int pid);

/// Where in the kernel it waits: "do_signal_stop"; empty where it does not, or the kernel does not tell.
[[nodiscard]] std::string kernel_place_of(int pid);

/// "stopped (T)", "running (R)", "gone"
[[nodiscard]] std::string words(char letter);

}  // namespace rackproof::watch
