// When the ranks of a collective arrive: real programs do not arrive together.
#pragma once

#include <cstdint>
#include <string_view>

namespace rackproof::allreduce {

enum class Arrivals { together, one_late, linear, random };

/// "together", "one-late", "linear", "random".
[[nodiscard]] std::string_view name(Arrivals arrivals);
/// Throws Error (usage) that lists the known names.
[[nodiscard]] Arrivals parse_arrivals(std::string_view text, std::string_view what);

/// Seconds after the common start at which rank `rank` of `ranks` arrives at step `step`, at most `spread`:
/// one-late: one rank by all of it, another one each step; linear: rank / (ranks - 1) of it; random: evenly
/// distributed, drawn anew for each rank and step. The same on every rank for equal arguments.
[[nodiscard]] double arrival(Arrivals arrivals, double spread, int rank, int ranks, std::uint64_t step,
                             std::uint64_t seed);

}  // namespace rackproof::allreduce
