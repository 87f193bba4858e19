// The sum of bfloat16 vectors, which MPI does not know.
#pragma once

#include <mpi.h>

#include <cstddef>

#include "common/core/bfloat16.hpp"

namespace rackproof {

/// into[i] = bf16(f32(from[i]) + f32(into[i])): added in f32, rounded once.
void add_bf16(const bf16_bits* from, bf16_bits* into, std::size_t count);

/// An MPI_Op that applies add_bf16() to MPI_UINT16_T. Free it before MPI_Finalize.
class Bf16Sum {
 public:
  Bf16Sum();
  Bf16Sum(const Bf16Sum&) = delete;
  Bf16Sum& operator=(const Bf16Sum&) = delete;
  ~Bf16Sum();
  [[nodiscard]] MPI_Op handle() const noexcept { return handle_; }

 private:
  MPI_Op handle_ = MPI_OP_NULL;
};

}  // namespace rackproof
