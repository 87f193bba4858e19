// One clock for all ranks: offset and drift of every rank against rank 0.
#pragma once

#include <span>
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
  [[nodiscard]] double residual() const { return residual(nullptr); }
  /// What one rank sees of the clock above it in the tree: how far that is ahead of its own by now, give or take
  /// `error`. Rank 0 sees nothing.
  struct Deviation {
    double seconds = 0.0;
    double error = 0.0;
  };
  /// The same; `own` becomes this rank's.
  [[nodiscard]] double residual(Deviation* own) const;

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

/// A clock that went another way than the others, by how much: above 0 it is ahead of them.
struct ClockJump {
  int rank = 0;
  double seconds = 0.0;
};

/// Whose clock jumped in the `elapsed` seconds since all were synchronised, with `error` as synchronise() returned it;
/// `deviations`: of every rank, by residual(). A jump is more than drift (up to 200 millionths, and crystals are off by
/// 100) and three times the errors explain. A rank sees its parent's jump as its own the other way round, so that
/// deviations are added up along the tree; a jump of rank 0 is one of all others, which their median tells.
[[nodiscard]] std::vector<ClockJump> find_clock_jumps(std::span<const GlobalClock::Deviation> deviations,
                                                      double elapsed, double error);

}  // namespace rackproof::mpi
