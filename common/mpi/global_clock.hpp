// One clock for all ranks: offset and drift of every rank against rank 0.
#pragma once

#include "common/core/clock.hpp"
#include "common/mpi/communicator.hpp"

namespace rackproof::mpi {

/// global = local + offset + drift x (local - reference). Synchronised over a binomial tree: on every edge a series
/// of ping-pongs, of which those with the smallest round trip estimate the offset (Cristian), and a line through
/// the estimates of successive synchronisations gives the drift; edges add up to rank 0 (as HCA3 does: Hunold and
/// Carpen-Amarie, Hierarchical clock synchronization in MPI, CLUSTER 2018).
class GlobalClock {
 public:
  /// Collective over `world`; both must outlive the object. Synchronises once.
  GlobalClock(const Communicator& world, const Clock& clock);

  /// Collective. Again, to follow the drift. Returns the largest error estimate over ranks, in seconds (the same on
  /// every rank): half of the smallest round trip, summed along the path to rank 0.
  double synchronise();

  /// Global time of a local reading, and the reverse, in seconds.
  [[nodiscard]] double to_global(double local) const noexcept;
  [[nodiscard]] double to_local(double global) const noexcept;
  [[nodiscard]] double now() const { return to_global(clock_->now()); }
  [[nodiscard]] double error() const noexcept { return error_; }
  [[nodiscard]] const Clock& local() const noexcept { return *clock_; }

 private:
  const Communicator* world_;
  const Clock* clock_;
  double reference_ = 0.0;
  double offset_ = 0.0;
  double drift_ = 0.0;
  double error_ = 0.0;
};

}  // namespace rackproof::mpi
