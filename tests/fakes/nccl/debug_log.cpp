#include "tests/fakes/nccl/debug_log.hpp"

#include <nccl.h>
#include <strings.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string_view>

namespace rackproof::fake_nccl {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool equals(const std::string& text, const char* name) { return strcasecmp(text.c_str(), name) == 0; }

std::string host_name() {
  std::array<char, 256> name{};
  (void)gethostname(name.data(), name.size() - 1);
  return std::string(name.data()).substr(0, std::string_view(name.data()).find('.'));
}

/// One a process, as its environment was when it first had something to say.
class Log {
 public:
  Log() {
    const std::string level = variable("NCCL_DEBUG");
    version_ = equals(level, "VERSION");
    warn_ = equals(level, "WARN");
    info_ = equals(level, "INFO") || equals(level, "TRACE");
    const std::string subsystems = variable("NCCL_DEBUG_SUBSYS");
    tuning_ = has(subsystems, "TUNING");
    init_ = subsystems.empty() || has(subsystems, "INIT");
    if (const std::string file = expanded(variable("NCCL_DEBUG_FILE")); !file.empty()) {
      if (std::FILE* opened = std::fopen(file.c_str(), "w"); opened != nullptr) file_ = opened;
    }
  }
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  [[nodiscard]] bool wants_version() const { return version_ || warn_ || info_; }
  [[nodiscard]] bool wants_warnings() const { return warn_ || info_; }
  [[nodiscard]] bool wants_init() const { return info_ && init_; }
  [[nodiscard]] bool wants_tuning() const { return info_ && tuning_; }

  void write(const std::string& line) {
    const std::lock_guard lock(mutex_);
    (void)std::fprintf(file_, "%s\n", line.c_str());
    (void)std::fflush(file_);
  }

 private:
  static bool has(const std::string& list, const char* name) {
    std::string_view rest = list;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find(','), rest.size());
      const std::string one(rest.substr(0, end));
      if (equals(one, name) || equals(one, "ALL")) return true;
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return false;
  }

  /// %h and %p: host and process.
  static std::string expanded(const std::string& name) {
    std::string file;
    for (std::size_t i = 0; i < name.size(); ++i) {
      const char next = i + 1 < name.size() ? name[i + 1] : '\0';
      if (name[i] != '%' || (next != 'h' && next != 'p')) {
        file += name[i];
        continue;
      }
      file += next == 'h' ? host_name() : std::to_string(getpid());
      ++i;
    }
    return file;
  }

  std::mutex mutex_;
  bool version_ = false, warn_ = false, info_ = false, tuning_ = false, init_ = false;
  std::FILE* file_ = stdout;
};

Log& log() {
  static auto* const one = new Log;
  return *one;
}

struct Error {
  std::mutex mutex;
  std::string text;
};

// Never destroyed: threads of streams may still run when the process ends.
Error& error() {
  static auto* const one = new Error;
  return *one;
}

std::string heading(int device, const char* level) {
  return host_name() + ":" + std::to_string(getpid()) + ":" + std::to_string(syscall(SYS_gettid)) + " [" +
         std::to_string(device) + "] NCCL " + level + " ";
}

}  // namespace

void set_last_error(const std::string& text) {
  const std::lock_guard lock(error().mutex);
  error().text = text;
}

const char* last_error() {
  thread_local std::string copy;
  const std::lock_guard lock(error().mutex);
  copy = error().text;
  return copy.c_str();
}

Tuning choose_tuning(std::size_t bytes) {
  static constexpr std::array algorithms = {"RING",      "TREE", "COLLNET_DIRECT", "COLLNET_CHAIN", "NVLS",
                                            "NVLS_TREE", "PAT"};
  static constexpr std::array protocols = {"LL", "LL128", "SIMPLE"};
  const std::size_t size = bytes <= 16384 ? 0 : bytes <= 1048576 ? 1 : 2;
  Tuning tuning{algorithms[0], protocols.at(size), std::array{1, 8, 16}.at(size)};
  for (const char* name : algorithms) {
    if (equals(variable("NCCL_ALGO"), name)) tuning.algorithm = name;
  }
  for (const char* name : protocols) {
    if (equals(variable("NCCL_PROTO"), name)) tuning.protocol = name;
  }
  return tuning;
}

void log_version() {
  if (!log().wants_version()) return;
  log().write("NCCL version " + std::to_string(NCCL_MAJOR) + "." + std::to_string(NCCL_MINOR) + "." +
              std::to_string(NCCL_PATCH) + "+cuda" + std::to_string(CUDART_VERSION / 1000) + "." +
              std::to_string(CUDART_VERSION % 1000 / 10));
}

void log_init(int device, const std::string& text) {
  if (log().wants_init()) log().write(heading(device, "INFO") + text);
}

void log_tuning(int device, const std::string& function, std::size_t bytes, const Tuning& tuning) {
  if (!log().wants_tuning()) return;
  log().write(heading(device, "INFO") + function + ": " + std::to_string(bytes) + " Bytes -> Algo " + tuning.algorithm +
              " proto " + tuning.protocol + " channel{Lo..Hi}={0.." + std::to_string(tuning.channels - 1) + "}");
}

void log_warning(int device, const std::string& text) {
  if (log().wants_warnings()) log().write("\n" + heading(device, "WARN") + text);
}

}  // namespace rackproof::fake_nccl
