// Reductions of bfloat16 vectors, which MPI does not know.
#pragma once

#include <mpi.h>

#include <array>
#include <cstddef>

#include "common/backends/reduction.hpp"
#include "common/core/bfloat16.hpp"

namespace rackproof {

/// into[i] = from[i] (reduction) into[i]. Sums and products are taken in f32 and rounded once. NaN stays NaN in all.
void reduce_bf16(Reduction reduction, const bf16_bits* from, bf16_bits* into, std::size_t count);

/// An MPI_Op a reduction, for MPI_UINT16_T. Free them before MPI_Finalize.
class Bf16Reductions {
 public:
  Bf16Reductions();
  Bf16Reductions(const Bf16Reductions&) = delete;
  Bf16Reductions& operator=(const Bf16Reductions&) = delete;
  ~Bf16Reductions();
  [[nodiscard]] MPI_Op handle(Reduction reduction) const { return handles_.at(static_cast<std::size_t>(reduction)); }

 private:
  std::array<MPI_Op, 4> handles_{MPI_OP_NULL, MPI_OP_NULL, MPI_OP_NULL, MPI_OP_NULL};
};

}  // namespace rackproof
