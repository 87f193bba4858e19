// Runs rackproof's own code on simulated ranks, one a node, in one process and one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <simgrid/s4u.hpp>
#include <vector>

#include "common/core/clock.hpp"
#include "common/mpi/communicator.hpp"

namespace rackproof::scale {

/// MPI_Wtime with an offset and a drift that `seed` draws for each rank: up to 1 s, and up to 20 millionths.
class SimulatedClock final : public Clock {
 public:
  /// MPI_Wtime itself, which is one clock for all ranks.
  SimulatedClock() = default;
  SimulatedClock(std::uint64_t seed, int rank);
  [[nodiscard]] double now() const override;
  void relax() const override;
  void relax_until(double instant) const override;

 private:
  double offset_ = 0.0;
  double drift_ = 0.0;
};

/// What a job has done since the counters were taken before, on this rank.
struct Calls {
  long barriers = 0;
  long broadcasts = 0;
  long reductions = 0;  ///< MPI_Allreduce
  long messages = 0;    ///< MPI_Send, MPI_Isend, MPI_Sendrecv
  long receipts = 0;    ///< MPI_Recv
};

/// Calls of MPI that this rank made so far.
[[nodiscard]] Calls calls_so_far(int rank);

/// From now on, each message and each reduction of `rank` begins late by a time that `seed` draws: exponential with a
/// mean of 0.5 us, and in 1 % of them 25 us more (exponential too), as interrupts and page walks do.
void disturb(int rank, std::uint64_t seed);

/// How the collectives work that rackproof itself needs for its starts and decisions, where all ranks take part.
enum class Collectives {
  messages,  ///< as SMPI does, message by message (but barriers)
  offloaded  ///< by the network, in 2 us: simulated in a fraction of the time. Broadcasts, maxima and gathers of
             ///< doubles.
};

/// Sets up SimGrid. One a process.
class Simulation {
 public:
  explicit Simulation(Collectives collectives);
  /// Runs `body` on one rank for each of the hosts, which may be there several times; what it throws on any rank is
  /// told on stderr and ends the process.
  void run(const std::vector<simgrid::s4u::Host*>& hosts,
           const std::function<void(const mpi::Communicator& world)>& body);

 private:
  simgrid::s4u::Engine engine_;
  Collectives collectives_;
};

}  // namespace rackproof::scale
