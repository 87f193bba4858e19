#include "launch/selftest_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <ctime>
#include <memory>

#include "common/core/error.hpp"

namespace rackproof::selftest {
namespace {

constexpr timespec look_every{0, 20'000'000};
/// s between asking a group to end and ending it.
constexpr double grace = 3.0;

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// This process's, with others in place of those of the same name.
std::vector<std::string> environment_with(const std::vector<std::pair<std::string, std::string>>& more) {
  std::vector<std::string> all;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string text = *entry;
    bool replaced = false;
    for (const auto& [name, value] : more) replaced = replaced || text.starts_with(name + "=");
    if (!replaced) all.push_back(text);
  }
  for (const auto& [name, value] : more) all.push_back(fmt::format("{}={}", name, value));
  return all;
}

[[noreturn]] void fail_to_start(const std::string& program, int code) {
  const std::string why = fmt::format("cannot start '{}': {}", printable(program), std::strerror(code));
  if (code == ENOENT || code == EACCES) throw usage_error(why);
  throw infrastructure_error(why);
}

/// posix_spawn's two structures, destroyed at the end.
class SpawnSettings {
 public:
  SpawnSettings() {
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  ~SpawnSettings() {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_t actions{};
  posix_spawnattr_t attributes{};
};

pid_t start(const Program& program) {
  SpawnSettings settings;
  ::posix_spawn_file_actions_addopen(&settings.actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  constexpr mode_t mode = 0644;
  ::posix_spawn_file_actions_addopen(&settings.actions, STDOUT_FILENO, program.log.c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, mode);
  ::posix_spawn_file_actions_adddup2(&settings.actions, STDOUT_FILENO, STDERR_FILENO);
  ::posix_spawnattr_setpgroup(&settings.attributes, 0);
  // This process ignores SIGXFSZ; what a launcher does with it is its own affair.
  sigset_t usual;
  ::sigemptyset(&usual);
  ::sigaddset(&usual, SIGXFSZ);
  ::posix_spawnattr_setsigdefault(&settings.attributes, &usual);
  // Nor does it hold signals back.
  sigset_t none;
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigmask(&settings.attributes, &none);
  ::posix_spawnattr_setflags(&settings.attributes,
                             POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  std::vector<std::string> words = program.words;
  std::vector<std::string> environment = environment_with(program.environment);
  pid_t child = -1;
  const int code = ::posix_spawnp(&child, words.front().c_str(), &settings.actions, &settings.attributes,
                                  pointers_to(words).data(), pointers_to(environment).data());
  if (code != 0) fail_to_start(words.front(), code);
  return child;
}

/// A process group that has ended when the object has.
class Group {
 public:
  explicit Group(pid_t leader) : leader_(leader) {}
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;
  ~Group() {
    signal(SIGTERM);
    const double asked = seconds_now();
    while (!has_ended() && seconds_now() - asked < grace) ::nanosleep(&look_every, nullptr);
    // Also what the leader may have left behind.
    signal(SIGKILL);
    if (!ended_) ::waitpid(leader_, &status_, 0);
  }
  void signal(int number) const noexcept { (void)::kill(-leader_, number); }
  [[nodiscard]] bool has_ended() noexcept {
    ended_ = ended_ || ::waitpid(leader_, &status_, WNOHANG) != 0;
    return ended_;
  }
  [[nodiscard]] int status() const noexcept { return status_; }

 private:
  pid_t leader_;
  int status_ = 0;
  bool ended_ = false;
};

sigset_t ending_signals() {
  sigset_t ending;
  ::sigemptyset(&ending);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&ending, number);
  return ending;
}

const char* name_of(int number) {
  if (number == SIGINT) return "SIGINT";
  return number == SIGTERM ? "SIGTERM" : "SIGHUP";
}

/// Of those that are held back, what has come within a moment; 0: none.
int held_signal() {
  sigset_t held;
  ::sigemptyset(&held);
  ::pthread_sigmask(SIG_BLOCK, nullptr, &held);
  const sigset_t ending = ending_signals();
  sigset_t both;
  ::sigandset(&both, &held, &ending);
  if (::sigisemptyset(&both) != 0) {
    ::nanosleep(&look_every, nullptr);
    return 0;
  }
  return std::max(::sigtimedwait(&both, nullptr, &look_every), 0);
}

int exit_code_of_status(int status) {
  constexpr int by_signal = 128;
  return WIFEXITED(status) ? WEXITSTATUS(status) : by_signal + WTERMSIG(status);
}

}  // namespace

std::vector<std::string> split_words(const std::string& text) {
  std::vector<std::string> words;
  std::string word;
  bool begun = false;
  char quote = '\0';
  for (const char c : text) {
    if (quote != '\0') {
      if (c == quote) {
        quote = '\0';
      } else {
        word += c;
      }
    } else if (c == '\'' || c == '"') {
      quote = c;
      begun = true;
    } else if (c == ' ' || c == '\t') {
      if (begun) words.push_back(std::exchange(word, {}));
      begun = false;
    } else {
      word += c;
      begun = true;
    }
  }
  if (quote != '\0') throw usage_error(fmt::format("--launch: a {} does not end in '{}'", quote, printable(text)));
  if (begun) words.push_back(word);
  return words;
}

HeldSignals::HeldSignals() {
  const sigset_t ending = ending_signals();
  ::pthread_sigmask(SIG_BLOCK, &ending, &before_);
}

HeldSignals::~HeldSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

Ended run_program(const Program& program, const std::function<void()>& meanwhile) {
  const double began = seconds_now();
  Group group(start(program));
  Ended ended;
  double asked = 0.0;
  while (!group.has_ended()) {
    const double now = seconds_now();
    if (now - began > program.time_limit && !ended.timed_out) {
      ended.timed_out = true;
      asked = now;
      group.signal(SIGTERM);
    } else if (ended.timed_out && now - asked > grace) {
      group.signal(SIGKILL);
    }
    if (meanwhile) meanwhile();
    if (const int number = held_signal(); number != 0) {
      throw infrastructure_error(
          fmt::format("ended by {}; what was done stays done: the same command goes on", name_of(number)));
    }
  }
  ended.exit_code = exit_code_of_status(group.status());
  ended.seconds = seconds_now() - began;
  return ended;
}

}  // namespace rackproof::selftest
