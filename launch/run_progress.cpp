#include "launch/run_progress.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace rackproof {

Progress::Progress(ProgressMode mode, bool is_root, const Clock& clock, double budget)
    : enabled_(is_root &&
               (mode == ProgressMode::always || (mode == ProgressMode::automatic && isatty(STDERR_FILENO) == 1))),
      clock_(&clock),
      start_(clock.now()),
      budget_(budget) {}

Progress::~Progress() { clear(); }

void Progress::show(std::size_t index, std::size_t count, const std::string& name) {
  if (!enabled_) return;
  print(fmt::format("[{:>{}}/{}] {}  {:.0f} s of at most {:.0f} s", index + 1, fmt::formatted_size("{}", count), count,
                    name, clock_->now() - start_, budget_));
}

void Progress::note(const std::string& text) {
  if (enabled_) print(text);
}

void Progress::clear() {
  if (enabled_ && width_ > 0) {
    fmt::print(stderr, "\r{:{}}\r", "", width_);
    std::fflush(stderr);
    width_ = 0;
  }
}

void Progress::print(const std::string& text) {
  winsize window{};
  const std::size_t columns =
      ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 1 ? window.ws_col - 1U : 99U;
  const std::string line = text.substr(0, columns);
  fmt::print(stderr, "\r{:<{}}", line, std::max(width_, line.size()));
  std::fflush(stderr);
  width_ = line.size();
}

}  // namespace rackproof
