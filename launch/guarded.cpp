#include "launch/guarded.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "common/core/units.hpp"
#include "results/case_summary.hpp"
#include "results/output_file.hpp"
#include "results/reader.hpp"

namespace rackproof {
namespace {

// ---- what goes through the pipe: frames of a kind (1 byte), a length (4 bytes) and so many bytes ----

constexpr char text_frame = 'T';  ///< a piece of text
constexpr char end_frame = 'E';   ///< the exit code (1 byte), and the line of an error or nothing
constexpr std::size_t frame_header = 5;
constexpr std::size_t max_frame = std::size_t{64} << 10;

class Descriptor {
 public:
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }
  [[nodiscard]] int get() const noexcept { return descriptor_; }
  void close() noexcept {
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  }

 private:
  int descriptor_;
};

// ---- the child ----

class FrameWriter {
 public:
  explicit FrameWriter(int descriptor) : descriptor_(descriptor) { buffer_.reserve(max_frame); }

  void text(std::string_view piece) {
    while (!piece.empty()) {
      const std::size_t part = std::min(piece.size(), max_frame - buffer_.size());
      buffer_.append(piece.substr(0, part));
      piece.remove_prefix(part);
      if (buffer_.size() == max_frame) flush();
    }
  }
  void end(ExitCode code, std::string_view line) {
    flush();
    std::string content(1, static_cast<char>(code));
    content.append(line.substr(0, max_frame - 1));
    frame(end_frame, content);
  }

 private:
  void flush() {
    if (!buffer_.empty()) frame(text_frame, buffer_);
    buffer_.clear();
  }
  void frame(char kind, std::string_view content) const {
    const auto length = static_cast<std::uint32_t>(content.size());
    std::array<char, frame_header> header{kind};
    std::memcpy(header.data() + 1, &length, sizeof length);
    put({header.data(), header.size()});
    put(content);
  }
  void put(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) ::_exit(1);  // nobody listens any more
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
  }

  int descriptor_;
  std::string buffer_;
};

void set_limit(decltype(RLIMIT_AS) what, rlim_t soft, rlim_t hard) {
  rlimit limit{};
  ::getrlimit(what, &limit);
  limit.rlim_max = std::min(limit.rlim_max, hard);
  limit.rlim_cur = std::min({limit.rlim_cur, limit.rlim_max, soft});
  ::setrlimit(what, &limit);
}

/// Bytes of address space that this process has.
std::uint64_t address_space() {
  std::uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

void bind_child(const GuardedRead& read, double cpu_time) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int nowhere = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  ::dup2(nowhere, STDIN_FILENO);
  ::dup2(nowhere, STDOUT_FILENO);
  ::dup2(nowhere, STDERR_FILENO);  // what the C library says of a corrupted heap is not for the user
  set_limit(RLIMIT_CORE, 0, 0);
  rlimit open_files{};
  if (::getrlimit(RLIMIT_NOFILE, &open_files) == 0) {
    open_files.rlim_cur = open_files.rlim_max;  // each result file is open while it is read
    ::setrlimit(RLIMIT_NOFILE, &open_files);
  }
  const std::uint64_t memory = address_space() + read.memory;
  set_limit(RLIMIT_AS, memory, memory);
  const auto seconds = static_cast<rlim_t>(std::ceil(cpu_time));
  set_limit(RLIMIT_CPU, seconds, seconds + 1);
  // A read that waits for ever uses no CPU time. Where the child is stopped meanwhile, or the disk is slow, there is
  // room.
  ::alarm(static_cast<unsigned>(std::min(10.0 * cpu_time + 1.0, 1e9)));
  if (!read.writes_files) set_limit(RLIMIT_FSIZE, 0, 0);
}

std::string memory_line(const GuardedRead& read);

[[noreturn]] void be_child(int pipe, const GuardedRead& read, double cpu_time,
                           const std::function<ExitCode(const Emit&)>& work) {
  bind_child(read, cpu_time);
  FrameWriter writer(pipe);
  try {
    writer.end(work([&writer](std::string_view piece) { writer.text(piece); }), "");
  } catch (const Error& error) {
    writer.end(error.exit_code(), error.line());
  } catch (const std::bad_alloc&) {
    writer.end(ExitCode::usage, memory_line(read));
  } catch (const std::length_error&) {
    writer.end(ExitCode::usage, memory_line(read));
  } catch (const std::system_error&) {  // no thread, for want of memory
    writer.end(ExitCode::usage, memory_line(read));
  } catch (const std::exception& error) {
    writer.end(ExitCode::internal, printable(error.what(), 400) + " (a defect; please report it)");
  }
  ::_exit(0);
}

// ---- the parent ----

/// "'a.h5'", "'a.h5' or 'b.h5'", "one of 5 files ('a.h5', ...)".
std::string names(const GuardedRead& read) {
  const auto name = [&](std::size_t i) { return fmt::format("'{}'", printable(read.files[i].string(), 500)); };
  switch (read.files.size()) {
    case 0:
      return "what was read";
    case 1:
      return name(0);
    case 2:
      return name(0) + " or " + name(1);
    default:
      return fmt::format("one of {} files ({}, ...)", read.files.size(), name(0));
  }
}

std::string memory_line(const GuardedRead& read) {
  return fmt::format(
      "{}: is damaged, or larger than expected: it asks for more than {} of memory; --max-memory allows "
      "more",
      names(read), format_bytes(static_cast<double>(read.memory)));
}

/// A child that was ended by one of these was no crash, but took too long, or the system had no memory left.
bool is_limit(int signal) { return signal == SIGXCPU || signal == SIGALRM || signal == SIGKILL; }

/// What is said of a child that a signal has ended.
std::string signal_line(const GuardedRead& read, double cpu_time, int signal) {
  if (is_limit(signal)) {
    return fmt::format(
        "{}: is damaged, or larger than expected: reading it was ended after {:.0f} s of CPU time or "
        "for want of memory; --max-time and --max-memory allow more",
        names(read), cpu_time);
  }
  const char* description = ::sigdescr_np(signal);
  return fmt::format("{}: is damaged: reading it ends in a crash ({})", names(read),
                     description != nullptr ? description : "unknown signal");
}

double cpu_time_of(const GuardedRead& read) {
  if (read.cpu_time > 0.0) return read.cpu_time;
  constexpr double base = 60.0;
  constexpr double bytes_a_second = 16.0 * (1U << 20U);
  double seconds = base;
  for (const std::filesystem::path& file : read.files) {
    std::error_code none;
    const std::uintmax_t size = std::filesystem::file_size(file, none);
    if (!none) seconds += static_cast<double>(size) / bytes_a_second;
  }
  return seconds;
}

class Child {
 public:
  explicit Child(pid_t id) : id_(id) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (id_ <= 0) return;
    ::kill(id_, SIGKILL);
    static_cast<void>(wait());
  }
  /// Its status, as waitpid() gives it.
  int wait() {
    int status = 0;
    while (::waitpid(id_, &status, 0) < 0 && errno == EINTR) {
    }
    id_ = 0;
    return status;
  }

 private:
  pid_t id_;
};

/// Reads exactly that much. False where the other end is closed before.
bool receive(int pipe, std::span<char> bytes) {
  while (!bytes.empty()) {
    const ssize_t got = ::read(pipe, bytes.data(), bytes.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(got));
  }
  return true;
}

struct End {
  bool reached = false;
  ExitCode code = ExitCode::internal;
  std::string line;
};

End receive_frames(int pipe, const Emit& take) {
  End end;
  std::string content;
  std::array<char, frame_header> header{};
  while (receive(pipe, header)) {
    std::uint32_t length = 0;
    std::memcpy(&length, header.data() + 1, sizeof length);
    if (length > max_frame) return {};
    content.resize(length);
    if (!receive(pipe, content)) return {};
    if (header[0] == text_frame) {
      take(content);
    } else if (header[0] == end_frame && !content.empty()) {
      end = {true, static_cast<ExitCode>(content[0]), content.substr(1)};
    } else {
      return {};
    }
  }
  return end;
}

/// How the child ended, and what it said at the end.
struct ChildEnd {
  End end;
  int status = 0;

  [[nodiscard]] bool crashed() const { return WIFSIGNALED(status) || !end.reached; }
};

ChildEnd run_child(const GuardedRead& read, double cpu_time, const std::function<ExitCode(const Emit&)>& work,
                   const Emit& take) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw infrastructure_error(fmt::format("no pipe to read files through: {}", std::strerror(errno)));
  }
  Descriptor reading(ends[0]);
  Descriptor writing(ends[1]);
  std::fflush(nullptr);  // else the child would have it too
  const pid_t id = ::fork();
  if (id < 0) {
    throw infrastructure_error(fmt::format("no process to read files in: {}", std::strerror(errno)));
  }
  if (id == 0) {
    reading.close();
    be_child(writing.get(), read, cpu_time, work);
  }
  Child child(id);
  writing.close();
  ChildEnd ended;
  ended.end = receive_frames(reading.get(), take);
  ended.status = child.wait();
  return ended;
}

/// After a crash: the first of several files that on its own ends in one, too, where there is such a file.
GuardedRead blamed(const GuardedRead& read) {
  if (read.files.size() < 2) return read;
  for (const std::filesystem::path& path : read.files) {
    GuardedRead one = read;
    one.files = {path};
    one.writes_files = false;
    const auto read_all = [&path](const Emit&) {
      const results::ResultFile file(path);
      for (std::size_t s = 0; s < file.header().suites.size(); ++s) {
        for (std::size_t c = 0; c < file.header().suites[s].cases.size(); ++c) {
          if (results::is_measured(file.outcome(s, c))) static_cast<void>(results::summarise(file, s, c));
        }
      }
      return ExitCode::pass;
    };
    if (run_child(one, cpu_time_of(one), read_all, [](std::string_view) {}).crashed()) return one;
  }
  return read;
}

}  // namespace

GuardedRead GuardOptions::read(std::vector<std::filesystem::path> files) const {
  GuardedRead read;
  read.files = std::move(files);
  if (!memory.empty()) read.memory = parse_bytes(memory, "--max-memory");
  if (!time.empty()) {
    read.cpu_time = parse_duration(time, "--max-time");
    if (!(read.cpu_time >= 1.0 && read.cpu_time <= 1e8)) {
      throw usage_error(fmt::format("--max-time {}: is less than 1s or absurdly long", printable(time)));
    }
  }
  constexpr std::uint64_t least = std::uint64_t{64} << 20;
  if (read.memory < least || read.memory > (std::uint64_t{1} << 50)) {
    throw usage_error(fmt::format("--max-memory {}: is less than 64MiB or absurdly large", printable(memory)));
  }
  return read;
}

void add_guard_options(CLI::App& command, GuardOptions& options) {
  command.add_option("--max-memory", options.memory, "A file that needs more memory is refused (default: 4GiB)");
  command.add_option("--max-time", options.time,
                     "... or more CPU time (default: 60s, and 1s for each 16 MiB of the files)");
}

ExitCode run_guarded(const GuardedRead& read, const std::function<ExitCode(const Emit&)>& work, const Emit& take) {
  const double cpu_time = cpu_time_of(read);
  const auto [end, status] = run_child(read, cpu_time, work, take);
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    throw usage_error(signal_line(is_limit(signal) ? read : blamed(read), cpu_time, signal));
  }
  if (!end.reached) throw usage_error(fmt::format("{}: is damaged: reading it does not end in order", names(read)));
  if (!end.line.empty()) {
    throw Error(end.code, end.code == ExitCode::usage ? "usage" : "result file", 0, "", end.line);
  }
  return end.code;
}

ExitCode print_guarded(const GuardedRead& read, const std::function<ExitCode(const Emit&)>& work) {
  // In memory as far as that is reasonable, then in a file without a name.
  constexpr std::size_t most = std::size_t{64} << 20;
  std::string text;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> spool(nullptr, std::fclose);
  const auto keep = [&] {
    if (!spool) spool.reset(std::tmpfile());
    if (!spool || std::fwrite(text.data(), 1, text.size(), spool.get()) != text.size()) {
      throw infrastructure_error(fmt::format("no room to keep the output in until it is whole: {}; write it with --out",
                                             std::strerror(errno)));
    }
    text.clear();
  };
  const ExitCode code = run_guarded(read, work, [&](std::string_view piece) {
    text += piece;
    if (text.size() >= most) keep();
  });
  const auto print = [](std::string_view piece) {
    if (std::fwrite(piece.data(), 1, piece.size(), stdout) != piece.size()) {
      throw infrastructure_error(fmt::format("stdout: cannot be written: {}", std::strerror(errno)));
    }
  };
  if (spool) {
    keep();
    std::rewind(spool.get());
    text.resize(std::size_t{1} << 20);
    while (const std::size_t got = std::fread(text.data(), 1, text.size(), spool.get())) print({text.data(), got});
  } else {
    print(text);
  }
  if (std::fflush(stdout) != 0) {
    throw infrastructure_error(fmt::format("stdout: cannot be written: {}", std::strerror(errno)));
  }
  return code;
}

ExitCode write_guarded(const GuardedRead& read, const std::filesystem::path& out, bool force,
                       const std::function<ExitCode(const Emit&)>& work) {
  for (const std::filesystem::path& input : read.files) {
    std::error_code none;
    if (std::filesystem::equivalent(input, out, none)) {
      throw usage_error(
          fmt::format("'{}': is one of the files to read; give the output another name", printable(out.string(), 500)));
    }
  }
  results::OutputFile file(out, force);
  const ExitCode code = run_guarded(read, work, [&file](std::string_view piece) { file.write(piece); });
  file.commit();
  return code;
}

}  // namespace rackproof
