// Lets all ranks begin at the same time.
#pragma once

#include "common/mpi/communicator.hpp"
#include "common/mpi/global_clock.hpp"

namespace rackproof {

enum class Punctuality {
  on_time,
  arrived_late,  ///< past the start instant when it learned of it: the window was too short
  woke_late      ///< in time, but it lost its core while it waited: began more than the clock's error and 1 us late
};

/// Two ways to a common start. A window: rank 0 names an instant of the global clock some broadcast times ahead, and
/// every rank spins until then (Hunold and Carpen-Amarie, Reproducible MPI benchmarking is still not as easy as you
/// think, IEEE TPDS 27, 2016). Or a double barrier, which needs no clock but lets ranks go one after the other.
class Starter {
 public:
  /// Collective. Measures how long a broadcast takes. Both must outlive the object.
  Starter(const mpi::Communicator& world, const mpi::GlobalClock& clock);

  /// Collective. Waits at most some window lengths, and `delay` seconds (of this rank alone) more, whatever the clocks
  /// say. A world of one starts at once.
  [[nodiscard]] Punctuality start_in_window(double delay = 0.0) const;
  /// Collective.
  void start_by_barrier() const;

  /// Widens the window where ranks arrived late, and narrows it again: late_share is that of the samples. The argument
  /// is the same on every rank.
  void adapt(double late_share) noexcept;
  [[nodiscard]] double window() const noexcept { return window_; }  ///< seconds

 private:
  const mpi::Communicator* world_;
  const mpi::GlobalClock* clock_;
  double shortest_window_ = 0.0;
  double window_ = 0.0;
};

}  // namespace rackproof
