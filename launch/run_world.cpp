#include "launch/run_world.hpp"

#include <fmt/format.h>

#include <charconv>
#include <map>
#include <string_view>
#include <utility>

#include "common/core/error.hpp"

namespace rackproof {

void check_slurm_task_count(const char* slurm_ntasks, int world_size) {
  if (slurm_ntasks == nullptr) return;
  const std::string_view text(slurm_ntasks);
  int tasks = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), tasks);
  if (error != std::errc{} || end != text.data() + text.size()) return;
  if (world_size == 1 && tasks > 1) {
    throw usage_error(
        fmt::format("Slurm started {} tasks but this MPI world has 1 rank: the ranks do not see each other; start with "
                    "'srun --mpi=pmix' (see 'srun --mpi=list') or with mpirun inside the allocation",
                    tasks));
  }
}

namespace {

/// Compares `text` of every rank with rank 0's. `difference` completes "rank 1 on node7 ...", from the two texts.
template <typename Describe>
void check_same(const mpi::Communicator& world, const mpi::Topology& topology, const std::string& text,
                Describe&& describe) {
  std::string expected = text;
  world.broadcast(expected);
  const auto all = world.gather(text);
  mpi::agree(world, [&] {
    if (!world.is_root()) return;
    std::string odd;
    int count = 0;
    for (int rank = 0; rank < world.size(); ++rank) {
      const std::string& found = all[static_cast<std::size_t>(rank)];
      if (found == expected) continue;
      if (++count <= 3) {
        odd += fmt::format("{}rank {} on {} has {}", odd.empty() ? "" : ", ", rank,
                           topology.ranks[static_cast<std::size_t>(rank)].host, found.empty() ? "none" : found);
      }
    }
    if (count == 0) return;
    throw usage_error(describe(count, expected, odd + (count > 3 ? ", ..." : "")));
  });
}

}  // namespace

void check_same_binary(const mpi::Communicator& world, const mpi::Topology& topology, const std::string& identity) {
  check_same(world, topology, identity, [&](int count, const std::string& expected, const std::string& odd) {
    return fmt::format("{} of {} ranks run another binary than rank 0 ({}): {}; install one build on all nodes", count,
                       world.size(), expected, odd);
  });
}

void check_distinct_devices(const mpi::Communicator& world, const mpi::Topology& topology, const std::string& uuid) {
  const auto all = world.gather(uuid);
  mpi::agree(world, [&] {
    if (!world.is_root()) return;
    std::map<std::pair<int, std::string>, int> first;
    for (int rank = 0; rank < world.size(); ++rank) {
      const std::string& found = all[static_cast<std::size_t>(rank)];
      const mpi::RankPlace& place = topology.ranks[static_cast<std::size_t>(rank)];
      if (found.empty()) continue;
      const auto [known, is_new] = first.try_emplace({place.node_index, found}, rank);
      if (is_new) continue;
      throw usage_error(
          fmt::format("ranks {} and {} on {} share the device {}: start no more ranks on a node than it has devices "
                      "(mpirun -N, srun --ntasks-per-node), and let each see its own or all (CUDA_VISIBLE_DEVICES)",
                      known->second, rank, place.host, found));
    }
  });
}

void check_same_device_kind(const mpi::Communicator& world, const mpi::Topology& topology, const std::string& backend) {
  check_same(world, topology, backend, [&](int count, const std::string& expected, const std::string& odd) {
    return fmt::format(
        "--device auto: {} of {} ranks found other devices than rank 0 ({}): {}; see to the GPUs and the driver there, "
        "or "
        "choose with --device",
        count, world.size(), expected, odd);
  });
}

void check_same_arguments(const mpi::Communicator& world, const mpi::Topology& topology, const std::string& arguments) {
  check_same(world, topology, arguments, [&](int count, const std::string& expected, const std::string& odd) {
    return fmt::format("{} of {} ranks were started with other arguments than rank 0 ({}): {}; give all the same",
                       count, world.size(), expected, odd);
  });
}

}  // namespace rackproof
