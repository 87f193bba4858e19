// What a benchmark needs to run a suite's workloads: all ranks, one clock, this rank's device.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/backends/backend.hpp"
#include "common/core/clock.hpp"
#include "common/core/error.hpp"
#include "common/mpi/communicator.hpp"
#include "common/mpi/global_clock.hpp"
#include "common/mpi/topology.hpp"
#include "suites/suite.hpp"

namespace rackproof {

/// Collective to make, on devices of the backend of that name. Throws Error (usage) where this rank has none.
struct BenchWorld {
  explicit BenchWorld(std::string backend) : platform(read_platform(world, std::move(backend))) {}

  mpi::Communicator world = mpi::Communicator::world();
  SteadyClock steady;
  mpi::GlobalClock clock{world, steady};
  std::vector<std::unique_ptr<Backend>> backends = make_all_backends();
  Platform platform;
  std::unique_ptr<Device> device = open_device();
  std::unique_ptr<Collective> collective =
      choose_collective_backend(backends, platform.device).open_collective(world, *device);

 private:
  [[nodiscard]] static Platform read_platform(const mpi::Communicator& world, std::string backend) {
    Platform platform;
    platform.topology = mpi::discover_topology(world);
    platform.device = std::move(backend);
    return platform;
  }
  [[nodiscard]] std::unique_ptr<Device> open_device() const {
    const mpi::RankPlace& place = platform.topology.ranks[static_cast<std::size_t>(world.rank())];
    return choose_device_backend(backends, platform.device)
        .open_device({.local_rank = place.local_rank,
                      .ranks_on_node = platform.topology.ranks_on_node(place.node_index),
                      .threads = 0});
  }
};

/// The main() of a benchmark: `run` under MPI, its Error in one line, its exit code.
template <typename Run>
int run_benchmark(const char* name, int argc, char** argv, Run&& run) {
  const mpi::Session session(argc, argv);
  try {
    return run(argc, argv);
  } catch (const Error& error) {
    fmt::print(stderr, "{}: {}\n", name, error.line());
    return static_cast<int>(error.exit_code());
  }
}

}  // namespace rackproof
