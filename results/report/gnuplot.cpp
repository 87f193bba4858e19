#include "results/report/gnuplot.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

#include "common/core/error.hpp"
#include "results/part_file.hpp"

namespace rackproof::results {
namespace {

Error plot_error(const std::string& what) { return {ExitCode::internal, "gnuplot", 0, "", what}; }

class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() { close(); }
  void close() {
    if (number_ >= 0) ::close(std::exchange(number_, -1));
  }
  [[nodiscard]] int get() const { return number_; }

 private:
  int number_;
};

/// Our end and the child's. A socket and not a pipe: writing to one whose reader is gone can be told to raise no
/// signal.
struct Channel {
  Descriptor ours;
  Descriptor theirs;
};

Channel open_channel() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    throw infrastructure_error(fmt::format("no channel to gnuplot: {}", os_message(errno)));
  }
  Channel channel{Descriptor(ends[0]), Descriptor(ends[1])};
  ::fcntl(channel.ours.get(), F_SETFL, O_NONBLOCK);
  return channel;
}

/// Killed and waited for, if it has not ended by itself.
class Child {
 public:
  Child(const std::string& program, const Channel& in, const Channel& out, const Channel& err) {
    posix_spawn_file_actions_t actions{};
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, in.theirs.get(), STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, out.theirs.get(), STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, err.theirs.get(), STDERR_FILENO);
    const char* path = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe): nobody sets it
    std::string path_entry = std::string("PATH=") + (path != nullptr ? path : "/usr/bin:/bin");
    std::string home = "HOME=/nonexistent";
    std::string locale = "LC_ALL=C.UTF-8";
    std::array<char*, 4> environment{path_entry.data(), home.data(), locale.data(), nullptr};
    std::string name = program;
    std::string defaults = "-d";  // no start-up files
    std::array<char*, 3> arguments{name.data(), defaults.data(), nullptr};
    const int error = ::posix_spawnp(&id_, program.c_str(), &actions, nullptr, arguments.data(), environment.data());
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
      id_ = -1;
      throw usage_error(fmt::format("{}: cannot be started: {}; charts need it: install the package gnuplot-nox",
                                    printable(program), os_message(error)));
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (id_ < 0) return;
    ::kill(id_, SIGKILL);
    wait();
  }
  /// What waitpid() tells.
  int wait() {
    int status = 0;
    while (::waitpid(id_, &status, 0) < 0 && errno == EINTR) continue;
    id_ = -1;
    return status;
  }

 private:
  pid_t id_ = -1;
};

/// Takes what is there. False at the end.
bool read_some(const Descriptor& from, std::string& text, std::size_t limit) {
  std::array<char, 65536> buffer{};
  const ssize_t got = ::read(from.get(), buffer.data(), buffer.size());
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  text.append(buffer.data(), std::min(static_cast<std::size_t>(got), limit - std::min(limit, text.size())));
  return got > 0;
}

/// Gives what is taken. False when all is given, or nobody reads any more.
bool write_some(const Descriptor& to, std::string_view& rest) {
  const ssize_t sent = ::send(to.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN || errno == EINTR;
  rest.remove_prefix(static_cast<std::size_t>(sent));
  return !rest.empty();
}

constexpr std::size_t most_output = std::size_t{256} << 20;
constexpr std::size_t most_complaint = 4096;

struct Said {
  std::string output;
  std::string complaint;
  bool in_time = true;
};

Said converse(std::string_view script, Channel& in, Channel& out, Channel& err, double time_limit) {
  using Clock = std::chrono::steady_clock;
  const auto end =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(time_limit));
  Said said;
  while (out.ours.get() >= 0 || err.ours.get() >= 0) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    if (left <= 0) {
      said.in_time = false;
      break;
    }
    std::array<pollfd, 3> polled{
        {{in.ours.get(), POLLOUT, 0}, {out.ours.get(), POLLIN, 0}, {err.ours.get(), POLLIN, 0}}};
    if (::poll(polled.data(), polled.size(), static_cast<int>(std::min<long>(left, 1000))) < 0) continue;
    if (polled[0].revents != 0 && !write_some(in.ours, script)) in.ours.close();
    if (polled[1].revents != 0 && !read_some(out.ours, said.output, most_output)) out.ours.close();
    if (polled[2].revents != 0 && !read_some(err.ours, said.complaint, most_complaint)) err.ours.close();
  }
  return said;
}

/// The part of what gnuplot says that tells what is wrong: its last line that is not empty.
std::string last_line(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  const std::size_t begin = text.rfind('\n');
  return printable(begin == std::string_view::npos ? text : text.substr(begin + 1));
}

}  // namespace

std::string run_gnuplot(const std::string& script, const GnuplotOptions& options) {
  Channel in = open_channel();
  Channel out = open_channel();
  Channel err = open_channel();
  Child child(options.program, in, out, err);
  in.theirs.close();
  out.theirs.close();
  err.theirs.close();
  Said said = converse(script, in, out, err, options.time_limit);
  if (!said.in_time)
    throw plot_error(fmt::format("gnuplot took more than {:.0f} s for the charts", options.time_limit));
  const int status = child.wait();
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    throw plot_error(fmt::format("gnuplot failed: {}", last_line(said.complaint)));
  }
  return std::move(said.output);
}

}  // namespace rackproof::results
