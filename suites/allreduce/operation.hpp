// The collectives that are measured, and what a message of S bytes is in each.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace rackproof::allreduce {

enum class Operation { all_reduce, reduce_scatter, all_gather, all_to_all, broadcast, reduce, send_recv };

[[nodiscard]] const std::vector<Operation>& all_operations();
/// "all-reduce", "send-recv", ...
[[nodiscard]] std::string_view name(Operation operation);
/// Throws Error (usage) that lists the known names.
[[nodiscard]] Operation parse_operation(std::string_view text, std::string_view what);

/// Adds up, or takes the least, the most or the product.
[[nodiscard]] bool reduces(Operation operation);
/// The vector of S bytes consists of a block a rank: S = n x block. What is sent, received or both.
[[nodiscard]] bool has_blocks(Operation operation);

/// busbw / algbw on n ranks, as nccl-tests defines it (doc/PERFORMANCE.md there): what the busiest rank must at least
/// send or receive, in units of S: all-reduce 2 (n - 1) / n; reduce-scatter, all-gather and all-to-all (n - 1) / n;
/// broadcast, reduce and send-recv 1.
[[nodiscard]] double bus_factor(Operation operation, int ranks);

/// Bytes that a rank reads and writes for a message of S bytes. In place: both are the same memory.
struct Footprint {
  std::uint64_t send = 0;
  std::uint64_t receive = 0;
  bool in_place = false;
};
[[nodiscard]] Footprint footprint(Operation operation, std::uint64_t message, int ranks, bool in_place);

}  // namespace rackproof::allreduce
