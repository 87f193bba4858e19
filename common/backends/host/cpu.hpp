// The processor and the memory of this node, as far as this process may use them.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

namespace rackproof::host {

struct Cpu {
  std::string model;                  ///< "Intel(R) Xeon(R) Processor"; the architecture where the CPU does not say
  std::string serial;                 ///< of the system or its board, as DMI gives it; empty where unreadable
  int cores = 1;                      ///< that this process's container or job may use
  int bound_cores = 1;                ///< of those, that this thread is bound to
  std::size_t cache_bytes = 0;        ///< last-level caches of all `cores`, together
  std::size_t bound_cache_bytes = 0;  ///< last-level caches of the `bound_cores`, together
};

/// Throws Error (infrastructure) where hwloc cannot read the machine.
[[nodiscard]] Cpu read_cpu();

/// Threads of a rank: `requested` if above 0, else OMP_NUM_THREADS (its first number), else its share of the cores:
/// min(bound_cores, max(1, cores / ranks_on_node)). `cpu_quota` (cores' worth of time) bounds `cores` from above.
[[nodiscard]] int threads_of_rank(const Cpu& cpu, std::optional<double> cpu_quota, int ranks_on_node, int requested,
                                  const char* omp_num_threads);

/// Limits of the control groups (v1 or v2) that this process is in, from the innermost to the root.
struct ControlGroup {
  std::optional<std::size_t> memory_room;  ///< bytes below the memory limit; page cache counts as free
  std::optional<double> cpu_quota;         ///< cores' worth of CPU time
};
/// `root` stands for "/", for tests.
[[nodiscard]] ControlGroup read_control_group(const std::filesystem::path& root = "/");

/// Bytes that can be had on this node now: MemAvailable, or less where a control group says so; 0 where unknown.
[[nodiscard]] std::size_t memory_available_now(const std::filesystem::path& root = "/");

}  // namespace rackproof::host
