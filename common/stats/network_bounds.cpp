#include "common/stats/network_bounds.hpp"

#include <algorithm>
#include <array>
#include <bit>

namespace rackproof::stats {
namespace {

/// (n-1)/n S.
double others_share(const AllReduceTask& task) {
  return static_cast<double>(task.ranks - 1) / static_cast<double>(task.ranks) * task.bytes;
}

}  // namespace

int ceil_log2(int n) { return n < 2 ? 0 : static_cast<int>(std::bit_width(static_cast<unsigned>(n - 1))); }

double point_to_point_bound(const AllReduceTask& task) {
  return std::max(ceil_log2(task.ranks) * task.alpha, 2.0 * others_share(task) * task.beta);
}

double ring_time(const AllReduceTask& task) {
  return 2.0 * (task.ranks - 1) * task.alpha + others_share(task) * (2.0 * task.beta + task.gamma);
}

double rabenseifner_time(const AllReduceTask& task) {
  return 2.0 * ceil_log2(task.ranks) * task.alpha + others_share(task) * (2.0 * task.beta + task.gamma);
}

double double_tree_time(const AllReduceTask& task) {
  return 2.0 * ceil_log2(task.ranks) * task.alpha + task.bytes * (2.0 * task.beta + task.gamma);
}

double nvls_time(const AllReduceTask& task) {
  return 2.0 * task.alpha + static_cast<double>(task.ranks + 1) / task.ranks * task.bytes * task.beta;
}

double sharp_time(const AllReduceTask& task) { return 2.0 * task.alpha + task.bytes * task.beta; }

double between_nodes_bound(const AllReduceTask& task) {
  if (task.nodes < 2) return 0.0;
  return 2.0 * static_cast<double>(task.nodes - 1) / task.nodes * task.bytes * task.node_beta;
}

double bus_bandwidth(double bytes, int ranks, double seconds) {
  return bytes / seconds * 2.0 * static_cast<double>(ranks - 1) / ranks;
}

std::span<const AllReduceBound> all_reduce_bounds() {
  static constexpr std::array<AllReduceBound, 7> bounds{{{"point to point", "2 (n-1)/n S / B", point_to_point_bound},
                                                         {"ring", "2 (n-1)/n S / B", ring_time},
                                                         {"Rabenseifner", "2 (n-1)/n S / B", rabenseifner_time},
                                                         {"double tree", "2 S / B", double_tree_time},
                                                         {"NVLS", "(n+1)/n S / B", nvls_time},
                                                         {"SHARP", "S / B", sharp_time},
                                                         {"between nodes", "2 (N-1)/N S / B_N", between_nodes_bound}}};
  return bounds;
}

}  // namespace rackproof::stats
