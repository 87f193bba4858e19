#include "common/measure/disturbance.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string_view>

namespace rackproof {

DisturbanceMeter::DisturbanceMeter(const Clock& clock)
    : clock_(&clock), stat_(::open("/proc/stat", O_RDONLY | O_CLOEXEC)) {
  const long ticks = ::sysconf(_SC_CLK_TCK);
  tick_ = ticks > 0 ? 1.0 / static_cast<double>(ticks) : 0.0;
}

DisturbanceMeter::~DisturbanceMeter() {
  if (stat_ >= 0) ::close(stat_);
}

std::int64_t DisturbanceMeter::switches() noexcept {
  rusage usage{};
  return ::getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_nivcsw : 0;
}

double DisturbanceMeter::probe() const noexcept {
  constexpr int links = 1000;
  const double begin = clock_->now();
  auto value = static_cast<std::uint64_t>(begin);
  for (int i = 0; i < links; ++i) {
    value = value * 6364136223846793005U + 1442695040888963407U;  // Knuth's MMIX generator
    asm volatile("" : "+r"(value));                               // or the chain would be folded
  }
  return clock_->now() - begin;
}

double DisturbanceMeter::steal() const noexcept {
  std::array<char, 256> text{};
  const ssize_t length = stat_ < 0 ? 0 : ::pread(stat_, text.data(), text.size() - 1, 0);
  if (length <= 0) return 0.0;
  // "cpu  user nice system idle iowait irq softirq steal ...": the eighth number of the first line.
  const char* at = text.data();
  if (!std::string_view(at).starts_with("cpu ")) return 0.0;
  at += 4;
  constexpr int column = 8;
  unsigned long long number = 0;
  for (int i = 0; i < column; ++i) {
    char* behind = nullptr;
    number = std::strtoull(at, &behind, 10);
    if (behind == at) return 0.0;
    at = behind;
  }
  return static_cast<double>(number) * tick_;
}

}  // namespace rackproof
