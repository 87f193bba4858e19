// Reductions of bfloat16 vectors.
#pragma once

#include <cstddef>

#include "common/backends/reduction.hpp"
#include "common/core/bfloat16.hpp"

namespace rackproof {

/// into[i] = from[i] (reduction) into[i]. Sums and products are taken in f32 and rounded once. NaN stays NaN in all.
void reduce_bf16(Reduction reduction, const bf16_bits* from, bf16_bits* into, std::size_t count);

}  // namespace rackproof
