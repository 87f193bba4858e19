// What a benchmark needs to run a suite's workloads on GPUs: all ranks, one clock, this rank's GPU.
#pragma once

#include <memory>
#include <vector>

#include "common/backends/backend.hpp"
#include "common/backends/cuda/cuda_device.hpp"
#include "common/core/clock.hpp"
#include "common/core/error.hpp"
#include "common/mpi/communicator.hpp"
#include "common/mpi/global_clock.hpp"
#include "common/mpi/topology.hpp"
#include "suites/suite.hpp"

namespace rackproof {

/// Collective to make. Throws Error (usage) where there is no GPU for this rank.
struct GpuWorld {
  mpi::Communicator world = mpi::Communicator::world();
  SteadyClock steady;
  mpi::GlobalClock clock{world, steady};
  std::vector<std::unique_ptr<Backend>> backends = make_all_backends();
  Platform platform = read_platform(world);
  std::unique_ptr<Device> device = open_device();
  std::unique_ptr<Collective> collective = choose_collective_backend(backends, "cuda").open_collective(world, *device);

  [[nodiscard]] cuda::CudaDevice& gpu() const { return dynamic_cast<cuda::CudaDevice&>(*device); }

 private:
  [[nodiscard]] static Platform read_platform(const mpi::Communicator& world) {
    Platform platform;
    platform.topology = mpi::discover_topology(world);
    platform.device = "cuda";
    return platform;
  }
  [[nodiscard]] std::unique_ptr<Device> open_device() const {
    const mpi::RankPlace& place = platform.topology.ranks[static_cast<std::size_t>(world.rank())];
    return choose_device_backend(backends, "cuda")
        .open_device({.local_rank = place.local_rank,
                      .ranks_on_node = platform.topology.ranks_on_node(place.node_index),
                      .threads = 0});
  }
};

}  // namespace rackproof
