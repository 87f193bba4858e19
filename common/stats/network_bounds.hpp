// What an all-reduce can cost at least, by how it is done: formulas that the literature gives, as named functions.
#pragma once

#include <span>
#include <string_view>

namespace rackproof::stats {

/// One operation: S bytes, n ranks, on a network of equal links.
struct AllReduceTask {
  double bytes = 0.0;      ///< S
  int ranks = 2;           ///< n, at least 2
  int nodes = 1;           ///< N
  double alpha = 0.0;      ///< s, of one message; 0: not counted
  double beta = 0.0;       ///< s/B, 1 / B with B the one-way bandwidth of a rank
  double gamma = 0.0;      ///< s/B, of adding up; 0: hidden behind the transfer
  double node_beta = 0.0;  ///< s/B, 1 / B_N with B_N the one-way bandwidth of a node; 0: not known
};

[[nodiscard]] int ceil_log2(int n);

/// max(ceil(log2 n) alpha, 2 (n-1)/n S beta): of whatever sends from point to point, for every rank must get all
/// others' data and send its own on (Patarasuk and Yuan, Bandwidth optimal all-reduce algorithms, JPDC 69, 2009).
[[nodiscard]] double point_to_point_bound(const AllReduceTask& task);
/// 2 (n-1) alpha + 2 (n-1)/n S beta + (n-1)/n S gamma (Patarasuk and Yuan 2009).
[[nodiscard]] double ring_time(const AllReduceTask& task);
/// 2 ceil(log2 n) alpha + 2 (n-1)/n S beta + (n-1)/n S gamma: recursive halving, then doubling (Rabenseifner,
/// Optimization of collective reduction operations, ICCS 2004; Thakur, Rabenseifner and Gropp, IJHPCA 19, 2005).
[[nodiscard]] double rabenseifner_time(const AllReduceTask& task);
/// 2 ceil(log2 n) alpha + 2 S beta + S gamma: reduction and broadcast, pipelined over two trees in which every rank is
/// inner node of one only (Sanders, Speck and Traeff, Two-tree algorithms, Parallel Computing 35, 2009).
[[nodiscard]] double double_tree_time(const AllReduceTask& task);
/// 2 alpha + (n+1)/n S beta: the switch adds and multiplies (NVLS). A rank sends S for the sums of all, and its S/n of
/// the result once (Klenk et al., An in-network architecture for accelerating shared-memory multiprocessor collectives,
/// ISCA 2020). Apparent busbw <= 2 (n-1)/(n+1) B.
[[nodiscard]] double nvls_time(const AllReduceTask& task);
/// 2 alpha + S beta: every rank sends S up a tree of adding switches and gets S back (Graham et al., Scalable
/// hierarchical aggregation protocol (SHARP), COM-HPC 2016). Apparent busbw <= 2 (n-1)/n B.
[[nodiscard]] double sharp_time(const AllReduceTask& task);
/// 2 (N-1)/N S / B_N: what N nodes must send to each other (as point_to_point_bound, with nodes for ranks). 0 where
/// node_beta is 0 or there is one node.
[[nodiscard]] double between_nodes_bound(const AllReduceTask& task);

/// S/t 2 (n-1)/n, B/s.
[[nodiscard]] double bus_bandwidth(double bytes, int ranks, double seconds);

struct AllReduceBound {
  std::string_view name;
  std::string_view formula;  ///< of the bandwidth's part
  double (*seconds)(const AllReduceTask&);
};
/// All of the above.
[[nodiscard]] std::span<const AllReduceBound> all_reduce_bounds();

}  // namespace rackproof::stats
