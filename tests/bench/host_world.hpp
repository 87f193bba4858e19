// What a benchmark needs to run a suite's workloads on the host: all ranks, one clock, this rank's share of the node.
#pragma once

#include <memory>
#include <vector>

#include "common/backends/backend.hpp"
#include "common/core/clock.hpp"
#include "common/mpi/communicator.hpp"
#include "common/mpi/global_clock.hpp"
#include "common/mpi/topology.hpp"
#include "suites/suite.hpp"

namespace rackproof {

/// Collective to make.
struct HostWorld {
  mpi::Communicator world = mpi::Communicator::world();
  SteadyClock steady;
  mpi::GlobalClock clock{world, steady};
  std::vector<std::unique_ptr<Backend>> backends = make_all_backends();
  Platform platform{mpi::discover_topology(world), {}, 0, false};
  std::unique_ptr<Device> device = open_device();
  std::unique_ptr<Collective> collective = choose_collective_backend(backends, "host").open_collective(world, *device);

 private:
  [[nodiscard]] std::unique_ptr<Device> open_device() const {
    const mpi::RankPlace& place = platform.topology.ranks[static_cast<std::size_t>(world.rank())];
    return choose_device_backend(backends, "host")
        .open_device({.local_rank = place.local_rank,
                      .ranks_on_node = platform.topology.ranks_on_node(place.node_index),
                      .threads = 0});
  }
};

}  // namespace rackproof
