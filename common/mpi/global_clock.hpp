// One clock for all ranks: offset and drift of every rank against rank 0.
#pragma once

#include <vector>

#include "common/core/clock.hpp"
#include "common/mpi/communicator.hpp"

namespace rackproof::mpi {

/// global = local + offset + drift x (local - reference). Synchronised over a binomial tree: on every edge a series
/// of ping-pongs, of which the one with the smallest round trip estimates the offset (Cristian), and a line through
/// the estimates of successive synchronisations gives the drift; edges add up to rank 0 (as HCA3 does: Hunold and
/// Carpen-Amarie, Hierarchical clock synchronization in MPI, CLUSTER 2018). The drift stays 0 while one offset
/// explains all estimates within their errors, so that clocks that are one clock stay so.
class GlobalClock {
 public:
  /// Collective over `world`; both must outlive the object. Synchronises once.
  GlobalClock(const Communicator& world, const Clock& clock);

  /// Collective. Again, to follow the drift. Returns the largest error estimate over ranks, in seconds (the same on
  /// every rank): half of the smallest round trip, summed along the path to rank 0.
  double synchronise();
  /// Collective. Measures how far the clock is off by now, without changing it: the largest over ranks of
  /// |measured - predicted offset| + half of the smallest round trip, summed along the path to rank 0, in seconds
  /// (the same on every rank).
  [[nodiscard]] double residual() const;

  /// Global time of a local reading, and the reverse, in seconds.
  [[nodiscard]] double to_global(double local) const noexcept;
  [[nodiscard]] double to_local(double global) const noexcept;
  [[nodiscard]] double now() const { return to_global(clock_->now()); }
  /// What the last synchronise() returned.
  [[nodiscard]] double error() const noexcept { return error_; }
  [[nodiscard]] const Clock& local() const noexcept { return *clock_; }

 private:
  /// global - local at the local time `local`, give or take `error`.
  struct Estimate {
    double local;
    double offset;
    double error;
  };
  [[nodiscard]] Estimate ask_parent(int parent, int round_trips, double& path_error) const;
  void answer_children(double path_error) const;
  void follow(const Estimate& newest);

  const Communicator* world_;
  const Clock* clock_;
  double reference_ = 0.0;
  double offset_ = 0.0;
  double drift_ = 0.0;
  double error_ = 0.0;
  std::vector<Estimate> history_;
};

}  // namespace rackproof::mpi
