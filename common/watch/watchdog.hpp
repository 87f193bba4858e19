// Watches the progress of all ranks beside MPI, and ends the run where it hangs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/core/error.hpp"
#include "common/core/progress_word.hpp"
#include "common/mpi/communicator.hpp"
#include "common/mpi/topology.hpp"

namespace rackproof::watch {

/// A thread in every process, which sleeps but for some microseconds a second and never calls MPI. It looks after the
/// ranks of its node through a Board in shared memory; the lowest local rank of each node tells rank 0's process by
/// TCP; rank 0's decides by HangRule, asks all nodes where their ranks are, writes a report to stderr, and has all
/// processes end with exit code 75, those that cannot by SIGKILL. Where the one that should speak is itself what hangs,
/// the next one of its node does; and a node that hears nothing from rank 0's process for longer ends itself.
class Watchdog {
 public:
  /// Collective over `world`, which should be all ranks. `timeout`: s, as HangRule; rank 0's counts.
  Watchdog(const mpi::Communicator& world, const mpi::Topology& topology, double timeout);
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  /// Orderly: nobody is told of a loss. May come after MPI_Finalize, which is watched then.
  ~Watchdog();

  /// This rank's.
  [[nodiscard]] ProgressWord& progress() noexcept;
  /// From now on. For devices whose backends end what hangs by themselves, and know more of it: these come first.
  void set_timeout(double seconds) noexcept;
  /// For reports: this rank's device.
  void set_device(const std::string& text);
  /// For reports: the cases in the order of running, the same on every rank.
  void set_cases(std::vector<std::string> names);
  /// For reports: what the user should know or do then, one line.
  void set_remark(std::string remark);
  /// This rank cannot go on because of another one, and says so in `line`, of which each node prints one. Rank 0's
  /// process then looks who is gone, stopped or behind, tells, and has all processes end with exit code 75. Returns
  /// where it has not within some seconds.
  void tell_of_others(const std::string& line);
  /// This rank ends the job for an error of its own: where what it calls for that hangs, the watchdog ends the process
  /// with `code` some seconds later.
  void expect_end(ExitCode code) noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace rackproof::watch
