// Reductions of the floating-point types that MPI does not know.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <map>
#include <utility>

#include "common/backends/reduction.hpp"
#include "common/core/data_type.hpp"

namespace rackproof {

/// bf16, f16, f8e4m3 and f8e5m2.
[[nodiscard]] bool is_small_float(DataType type);

/// into[i] = from[i] (reduction) into[i] of elements of a small type. Sums and products are taken in f32 and rounded
/// once; those of f8 saturate. NaN stays NaN in all.
void reduce_small_floats(DataType type, Reduction reduction, const void* from, void* into, std::size_t count);

/// An MPI_Op a small type and reduction, for MPI_UINT16_T and MPI_UINT8_T. Free them before MPI_Finalize.
class SmallFloatReductions {
 public:
  SmallFloatReductions();
  SmallFloatReductions(const SmallFloatReductions&) = delete;
  SmallFloatReductions& operator=(const SmallFloatReductions&) = delete;
  ~SmallFloatReductions();
  [[nodiscard]] MPI_Op handle(DataType type, Reduction reduction) const { return handles_.at({type, reduction}); }

 private:
  std::map<std::pair<DataType, Reduction>, MPI_Op> handles_;
};

}  // namespace rackproof
