// The three kinds of content that the suite's messages have.
#pragma once

#include <cstdint>
#include <memory>

#include "suites/allreduce/content.hpp"

namespace rackproof::allreduce {

/// For reductions: whole numbers whose reduction is exact (Pattern). Bitwise equality is what passes.
[[nodiscard]] std::unique_ptr<Content> reduced_content(DataType type, Reduction reduction, int ranks,
                                                       std::uint64_t seed);

/// For data that is only moved: each rank's own numbers at each index; bitwise equality is what passes. The report
/// names the rank whose data is wrong, and the one whose data is there instead. Throws Error (usage) for more ranks
/// than can be told apart (131071).
[[nodiscard]] std::unique_ptr<Content> moved_content(DataType type, int ranks, std::uint64_t seed);

/// For sums of f64, f32 and bf16 that depend on the order: standard normals. Passes what any order of adding can give:
/// |received - sum| <= (n - 1) u / (1 - (n - 1) u) x sum of |contributions|, u = 2^-53, 2^-24, 2^-8 (Higham, Accuracy
/// and stability of numerical algorithms, 2002, section 4.2), which is 1 in units of error(). ranks <=
/// most_normal_ranks.
[[nodiscard]] std::unique_ptr<Content> normal_content(DataType type, int ranks, std::uint64_t seed);

/// Above this many ranks the bound says nothing of bf16.
[[nodiscard]] int most_normal_ranks(DataType type);

}  // namespace rackproof::allreduce
