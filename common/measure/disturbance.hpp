// What happened to a sample that the measured operation cannot know: lost cores, stolen time, a slower clock.
#pragma once

#include <cstdint>

#include "common/core/clock.hpp"

namespace rackproof {

/// Reads this process's disturbances. No call allocates; none belongs into a timed part.
class DisturbanceMeter {
 public:
  /// `clock` must outlive the object.
  explicit DisturbanceMeter(const Clock& clock);
  DisturbanceMeter(const DisturbanceMeter&) = delete;
  DisturbanceMeter& operator=(const DisturbanceMeter&) = delete;
  ~DisturbanceMeter();

  /// Involuntary context switches of this process, all threads, since it began (getrusage).
  [[nodiscard]] static std::int64_t switches() noexcept;
  /// Seconds that a fixed piece of work takes: a chain of dependent integer operations, about 2 us, in registers. It
  /// takes longer where the core's clock falls or somebody else has it.
  [[nodiscard]] double probe() const noexcept;
  /// Seconds that the hypervisor took from this node's processors since it booted, all of them together (the steal
  /// column of /proc/stat, in ticks of 10 ms); 0 where the system does not tell.
  [[nodiscard]] double steal() const noexcept;

 private:
  const Clock* clock_;
  int stat_ = -1;
  double tick_ = 0.0;  // s
};

}  // namespace rackproof
