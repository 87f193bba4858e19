#include "common/watch/stack.hpp"

#include <cxxabi.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <thread>

#include "common/core/error.hpp"

namespace rackproof::watch {
namespace {

/// Not one that MPI, NCCL or CUDA use, nor glibc itself.
int stack_signal() { return SIGRTMIN + 11; }

// A signal handler reaches nothing but this.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
std::atomic<BoardSlot*> answering_slot{nullptr};

extern "C" void answer_with_stack(int /*signal*/) {
  const int error = errno;
  if (BoardSlot* slot = answering_slot.load(); slot != nullptr) {
    std::array<void*, BoardSlot::most_frames> frames{};
    // Safe in a handler: the library that it needs was loaded by the call in StackAnswer's constructor.
    const int count = std::max(0, ::backtrace(frames.data(), static_cast<int>(frames.size())));
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      slot->stack[i].store(reinterpret_cast<std::uintptr_t>(frames[i]), std::memory_order_relaxed);
    }
    slot->frames.store(static_cast<std::uint32_t>(count), std::memory_order_relaxed);
    slot->stacks_taken.fetch_add(1, std::memory_order_release);
  }
  errno = error;
}

/// A part of a file in a process's memory.
struct Mapping {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  std::uintptr_t offset = 0;  ///< in the file
  std::string path;
};

std::uintptr_t hexadecimal(std::string_view text) {
  std::uintptr_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return value;
}

std::vector<Mapping> mappings_of(const std::string& process) {
  std::vector<Mapping> mappings;
  std::ifstream in("/proc/" + process + "/maps");
  for (std::string line; std::getline(in, line);) {
    // begin-end perms offset dev inode   path
    const std::size_t path = line.find('/');
    const std::size_t dash = line.find('-');
    const std::size_t blank = line.find(' ');
    if (path == std::string::npos || dash > blank || blank == std::string::npos) continue;
    const std::size_t offset = line.find(' ', blank + 1);
    if (offset == std::string::npos) continue;
    const std::string_view view(line);
    mappings.push_back({hexadecimal(view.substr(0, dash)), hexadecimal(view.substr(dash + 1, blank - dash - 1)),
                        hexadecimal(view.substr(offset + 1, view.find(' ', offset + 1) - offset - 1)),
                        line.substr(path)});
  }
  return mappings;
}

std::string demangled(const char* symbol) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(abi::__cxa_demangle(symbol, nullptr, nullptr, &status),
                                                         &std::free);
  std::string text = status == 0 && name != nullptr ? name.get() : symbol;
  // Arguments say little and are long.
  if (const std::size_t bracket = text.find('('); bracket != std::string::npos && bracket > 0) text.resize(bracket);
  return printable(text, 80);
}

/// The name of the function is that of the same file in this process, which runs the same program.
std::string name_of(std::uintptr_t address, const std::vector<Mapping>& theirs, const std::vector<Mapping>& ours) {
  const auto holds = [address](const Mapping& one) { return one.begin <= address && address < one.end; };
  const auto there = std::find_if(theirs.begin(), theirs.end(), holds);
  if (there == theirs.end()) return fmt::format("{:#x}", address);
  const std::string file = printable(there->path.substr(there->path.rfind('/') + 1), 60);
  const auto here = std::find_if(ours.begin(), ours.end(), [&](const Mapping& one) {
    return one.path == there->path && one.offset == there->offset;
  });
  if (here != ours.end()) {
    Dl_info info{};
    // NOLINTNEXTLINE(performance-no-int-to-ptr): an address from another process
    const void* const own = reinterpret_cast<const void*>(here->begin + (address - there->begin));
    if (dladdr(own, &info) != 0 && info.dli_sname != nullptr) {
      return fmt::format("{} ({})", demangled(info.dli_sname), file);
    }
  }
  return fmt::format("{}+{:#x}", file, address - there->begin + there->offset);
}

}  // namespace

StackAnswer::StackAnswer(BoardSlot& slot) {
  std::array<void*, 4> warm{};
  (void)::backtrace(warm.data(), static_cast<int>(warm.size()));
  answering_slot.store(&slot);
  struct sigaction action {};
  action.sa_handler = answer_with_stack;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(stack_signal(), &action, nullptr);
}

StackAnswer::~StackAnswer() {
  // Ignored rather than deadly, for one that is on its way.
  struct sigaction action {};
  action.sa_handler = SIG_IGN;
  sigaction(stack_signal(), &action, nullptr);
  answering_slot.store(nullptr);
}

std::vector<std::string> ask_for_stack(BoardSlot& slot, double patience) {
  const std::int32_t pid = slot.pid.load();
  const std::uint32_t before = slot.stacks_taken.load();
  // The thread with the number of the process is its main one.
  if (pid <= 0 || ::syscall(SYS_tgkill, pid, pid, stack_signal()) != 0) return {};
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(patience);
  while (slot.stacks_taken.load(std::memory_order_acquire) == before) {
    if (std::chrono::steady_clock::now() > deadline) return {};
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  const auto theirs = mappings_of(std::to_string(pid));
  const auto ours = mappings_of("self");
  std::vector<std::string> names;
  const std::size_t count = std::min<std::size_t>(slot.frames.load(), BoardSlot::most_frames);
  // The first two are the handler and what the kernel returns from it by.
  for (std::size_t i = 2; i < count; ++i) names.push_back(name_of(slot.stack.at(i).load(), theirs, ours));
  return names;
}

}  // namespace rackproof::watch
