// Programs that `rackproof selftest` starts and waits for.
#pragma once

#include <csignal>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace rackproof::selftest {

/// "mpirun -n 8 'a b'" -> {"mpirun", "-n", "8", "a b"}: blanks part words, quotes of both kinds hold them together.
/// Throws Error (usage) for a quote that does not end.
[[nodiscard]] std::vector<std::string> split_words(const std::string& text);

struct Program {
  std::vector<std::string> words;                                  ///< the program first, found on PATH
  std::vector<std::pair<std::string, std::string>> environment{};  ///< beside this process's own
  std::filesystem::path log;                                       ///< gets stdout and stderr, at its end
  double time_limit = 120.0;                                       ///< s; then its process group is killed
};

struct Ended {
  int exit_code = 0;  ///< 128 + its signal where one ended it
  bool timed_out = false;
  double seconds = 0.0;
};

/// From here to the end of the object, SIGINT, SIGTERM and SIGHUP wait until run_program() looks for them. For a
/// process of one thread.
class HeldSignals {
 public:
  HeldSignals();
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;
  ~HeldSignals();

 private:
  sigset_t before_{};
};

/// Starts it in a process group of its own and waits. `meanwhile`, if any, is called some times a second while it runs.
/// Throws Error (usage) where there is no such program, (infrastructure) where none can be started or a held signal has
/// come, and what `meanwhile` throws; nothing of the group is left then.
Ended run_program(const Program& program, const std::function<void()>& meanwhile = {});

}  // namespace rackproof::selftest
