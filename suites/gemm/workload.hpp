// One product, ready to run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "suites/gemm/shapes.hpp"
#include "suites/suite.hpp"

namespace rackproof::gemm {

/// How many sets of (A, B, C), of `set_bytes` with their padding, a case rotates through. One set when hot. When cold
/// as many as span twice the cache, at least two, but no more than fit a quarter of the memory (then one at least).
[[nodiscard]] std::size_t count_sets(std::size_t set_bytes, bool cold, std::size_t cache_bytes,
                                     std::size_t memory_available);

/// Bytes of A, B and C, plain; of scaled operands with their scales.
[[nodiscard]] double operand_bytes(const Product& product);

/// What a device is asked for.
[[nodiscard]] MatmulProblem problem_of(const Product& product);

/// The elements of A and B are seeded normals, the same on every rank and in every set: standard deviation 1, for i8 32
/// (so that the clamp at 127 lies at four deviations). Those of tf32 are rounded to it, so that what a device makes of
/// the bits behind does not matter; scaled operands are quantised (common/core/quantised.hpp).
/// Collective for tuned products: all ranks take the same algorithm, or their digests would differ.
[[nodiscard]] std::unique_ptr<Workload> make_workload(const Product& product, const Context& context);

}  // namespace rackproof::gemm
