#include "launch/run_stop.hpp"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <csignal>
#include <limits>
#include <string_view>

namespace rackproof {
namespace {

// A signal handler reaches nothing but this.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
std::atomic<int> stop_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

extern "C" void note_stop_signal(int number) { stop_signal.store(number); }

void handle(int number, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(number, &action, nullptr);
}

}  // namespace

StopSignals::StopSignals() {
  handle(SIGTERM, note_stop_signal);
  handle(SIGUSR1, note_stop_signal);
}

StopSignals::~StopSignals() {
  handle(SIGTERM, SIG_DFL);
  handle(SIGUSR1, SIG_IGN);  // one that is on its way must not end a run that is over
}

int StopSignals::received() noexcept { return stop_signal.load(); }

const char* name_of_signal(int number) {
  return number == SIGTERM ? "SIGTERM" : number == SIGUSR1 ? "SIGUSR1" : "a signal";
}

double end_of_run(double began, double now, double wall_time, const char* slurm_job_end, double unix_now) {
  if (wall_time > 0.0) return began + wall_time;
  constexpr double never = std::numeric_limits<double>::infinity();
  if (slurm_job_end == nullptr) return never;
  const std::string_view text(slurm_job_end);
  long long end = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), end);
  // 0: a partition without a limit.
  if (error != std::errc{} || rest != text.data() + text.size() || end <= 0) return never;
  return now + static_cast<double>(end) - unix_now;
}

bool case_fits(double now, double end, double share, double overhead) {
  constexpr double closing = 5.0;
  return now + std::max(share, 0.0) + overhead + closing <= end;
}

}  // namespace rackproof
