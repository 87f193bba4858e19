// A clock that moves only when it is read, waited on or told to.
#pragma once

#include "common/core/clock.hpp"

namespace rackproof {

class FakeClock final : public Clock {
 public:
  /// reading, waiting: seconds that one now() and one relax() take.
  explicit FakeClock(double reading = 1e-7, double waiting = 1e-6) : reading_(reading), waiting_(waiting) {}
  [[nodiscard]] double now() const override { return time_ += reading_; }
  void relax() const override { time_ += waiting_; }
  void advance(double seconds) const { time_ += seconds; }

 private:
  double reading_;
  double waiting_;
  mutable double time_ = 100.0;
};

}  // namespace rackproof
