// The checks that a world of ranks must pass before anything is measured.
#pragma once

#include <string>

#include "common/mpi/communicator.hpp"
#include "common/mpi/topology.hpp"

namespace rackproof {

/// Throws Error (usage) where Slurm has more tasks than one but this world has a single rank: singletons by mistake.
/// `slurm_ntasks` is the variable SLURM_NTASKS, or nullptr. Of a larger world it tells nothing: under mpirun in an
/// allocation, ranks inherit the number of mpirun's own daemons.
void check_slurm_task_count(const char* slurm_ntasks, int world_size);

/// Collective. Every rank must run the same binary: compares version and build id with rank 0's, and throws the same
/// Error (usage) on every rank, naming the first ranks and hosts that differ.
void check_same_binary(const mpi::Communicator& world, const mpi::Topology& topology, const std::string& identity);

/// Collective. No two ranks may share a device: throws the same Error (usage) on every rank, naming the first two that
/// do. `uuid`: of this rank's device; empty where it has none (a host's cores may be shared out).
void check_distinct_devices(const mpi::Communicator& world, const mpi::Topology& topology, const std::string& uuid);

/// Collective. Throws AgreedError (usage) where a rank would measure on another kind of device than rank 0: a node
/// whose GPUs or driver are not there must not be measured by its cores.
void check_same_device_kind(const mpi::Communicator& world, const mpi::Topology& topology, const std::string& backend);

/// Collective. As check_same_binary(), for the arguments, joined by blanks.
void check_same_arguments(const mpi::Communicator& world, const mpi::Topology& topology, const std::string& arguments);

}  // namespace rackproof
