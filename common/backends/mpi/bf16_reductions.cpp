#include "common/backends/mpi/bf16_reductions.hpp"

namespace rackproof {

// The loader picks the widest version that the processor runs. Sanitizers start after the loader, so not for them.
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define RACKPROOF_WIDEST_VECTORS [[gnu::target_clones("avx512f", "avx2", "default")]]
#else
#define RACKPROOF_WIDEST_VECTORS
#endif

namespace {

// No templates over a functor: each clone must hold the whole loop.
RACKPROOF_WIDEST_VECTORS void add(const bf16_bits* from, bf16_bits* into, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) into[i] = to_bf16(from_bf16(from[i]) + from_bf16(into[i]));
}

RACKPROOF_WIDEST_VECTORS void multiply(const bf16_bits* from, bf16_bits* into, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) into[i] = to_bf16(from_bf16(from[i]) * from_bf16(into[i]));
}

/// NaN compares as false, and a NaN on the left is chosen by being unlike itself.
RACKPROOF_WIDEST_VECTORS void least(const bf16_bits* from, bf16_bits* into, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const float a = from_bf16(from[i]);
    into[i] = a < from_bf16(into[i]) || a != a ? from[i] : into[i];
  }
}

RACKPROOF_WIDEST_VECTORS void most(const bf16_bits* from, bf16_bits* into, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const float a = from_bf16(from[i]);
    into[i] = a > from_bf16(into[i]) || a != a ? from[i] : into[i];
  }
}

#undef RACKPROOF_WIDEST_VECTORS

}  // namespace

void reduce_bf16(Reduction reduction, const bf16_bits* from, bf16_bits* into, std::size_t count) {
  switch (reduction) {
    case Reduction::sum:
      return add(from, into, count);
    case Reduction::min:
      return least(from, into, count);
    case Reduction::max:
      return most(from, into, count);
    case Reduction::prod:
      return multiply(from, into, count);
  }
}

}  // namespace rackproof
