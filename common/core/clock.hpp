// The one way to read time. Passed in, so that tests and simulations run on a clock of their own.
#pragma once

#include <chrono>

namespace rackproof {

class Clock {
 public:
  Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  virtual ~Clock() = default;
  /// Seconds since an arbitrary origin; never goes back.
  [[nodiscard]] virtual double now() const = 0;
  /// Called in loops that wait for an instant. The real clock does nothing; an oversubscribed one yields.
  virtual void relax() const {}
  /// The same where the instant is known, on this clock. A simulated clock, which no loop moves, goes there at once.
  virtual void relax_until(double /*instant*/) const { relax(); }
};

/// CLOCK_MONOTONIC, read without a system call on Linux.
class SteadyClock final : public Clock {
 public:
  /// yield: give the core away while waiting, for more ranks than cores.
  explicit SteadyClock(bool yield = false) : yield_(yield) {}
  [[nodiscard]] double now() const override {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }
  void relax() const override;

 private:
  bool yield_;
};

}  // namespace rackproof
