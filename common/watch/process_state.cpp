#include "common/watch/process_state.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "common/core/error.hpp"

namespace rackproof::watch {

ProcessState read_process_state(int pid) {
  ProcessState state;
  if (pid <= 0) return state;
  std::ifstream in(fmt::format("/proc/{}/stat", pid));
  std::string line;
  if (!std::getline(in, line)) return state;
  // The name of the program stands in brackets and may hold anything, brackets too.
  const std::size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return state;
  std::istringstream fields(line.substr(name_end + 1));
  std::string skipped;
  fields >> state.letter;
  constexpr int fields_before_utime = 10;
  for (int i = 0; i < fields_before_utime; ++i) fields >> skipped;
  double user = 0.0;
  double system = 0.0;
  fields >> user >> system;
  constexpr int fields_before_start = 6;
  for (int i = 0; i < fields_before_start; ++i) fields >> skipped;
  fields >> state.started;
  state.cpu_seconds = (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
  return state;
}

std::string kernel_place_of(int pid) {
  std::ifstream in(fmt::format("/proc/{}/wchan", pid));
  std::string place;
  std::getline(in, place, '\0');
  return place == "0" ? std::string() : printable(place, 60);
}

std::string words(char letter) {
  switch (letter) {
    case 0:
    case 'X':
      return "gone";
    case 'R':
      return "running (R)";
    case 'S':
      return "sleeping (S)";
    case 'D':
      return "waiting in the kernel (D)";
    case 'T':
      return "stopped (T)";
    case 't':
      return "stopped by a debugger (t)";
    case 'Z':
      return "ended (Z)";
    default:
      return fmt::format("in state {}", printable(std::string(1, letter)));
  }
}

}  // namespace rackproof::watch
