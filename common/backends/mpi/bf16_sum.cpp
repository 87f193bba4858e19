#include "common/backends/mpi/bf16_sum.hpp"

#include "common/mpi/communicator.hpp"

namespace rackproof {

// The loader picks the widest version that the processor runs. Sanitizers start after the loader, so not for them.
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define RACKPROOF_WIDEST_VECTORS [[gnu::target_clones("avx512f", "avx2", "default")]]
#else
#define RACKPROOF_WIDEST_VECTORS
#endif

RACKPROOF_WIDEST_VECTORS void add_bf16(const bf16_bits* from, bf16_bits* into, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) into[i] = to_bf16(from_bf16(from[i]) + from_bf16(into[i]));
}

#undef RACKPROOF_WIDEST_VECTORS

namespace {

extern "C" void rackproof_add_bf16(void* from, void* into, int* count, MPI_Datatype* /*type*/) {
  add_bf16(static_cast<const bf16_bits*>(from), static_cast<bf16_bits*>(into), static_cast<std::size_t>(*count));
}

}  // namespace

Bf16Sum::Bf16Sum() {
  constexpr int commutative = 1;
  mpi::check(MPI_Op_create(rackproof_add_bf16, commutative, &handle_), "MPI_Op_create");
}

Bf16Sum::~Bf16Sum() {
  int finalised = 0;
  MPI_Finalized(&finalised);
  if (finalised == 0 && handle_ != MPI_OP_NULL) MPI_Op_free(&handle_);
}

}  // namespace rackproof
