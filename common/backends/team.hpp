// What a functor of common/backends/kernels/ runs on. A launch consists of blocks; a block is run by one team; a team
// has lanes that run the same body. On a host a team is one thread and its lanes are a vectorised loop; on a GPU a team
// is a thread block and a lane is a thread.
//
// What a functor may rely on, with any Team:
//   team.for_each(n, f)      f(i) once for each i in [0, n), in any order, by any lane; a barrier at its end
//   team.reduce_sum(n, f)    the sum, and
//   team.reduce_max(n, f)    the largest (f32, -3.4e38 for n = 0, NaN passed over) of f(i), the same on every lane;
//                            with a barrier at its begin and end
//   team.for_each_wide(n, f) f(i) once for each i in {0, Team::width, 2 x Team::width, ...} below n, a multiple of 16;
//                            the body treats elements i ... i + width - 1 together in values of type Team::Wide, which
//                            load_wide(pointer) reads and store_wide(value, pointer) writes; Wide times or plus Wide or
//                            float is elementwise. For nested loops whose sums must stay in registers, which compilers
//                            do not vectorise by themselves; on a GPU Wide is float. A barrier at its end.
//   team.lane(), team.lanes(), team.barrier()
// Code between them is run by every lane: it may read what the team shares (arguments, scratch) but writes it only
// inside for_each, or on lane 0 with a barrier after it. All lanes reach the same barriers.
#pragma once

#include <cstdint>

#include "common/backends/kernels/arithmetic.hpp"

#ifdef _OPENMP
#define RACKPROOF_LANES _Pragma("omp simd")
#define RACKPROOF_LANES_SUM _Pragma("omp simd reduction(+ : sum)")
#define RACKPROOF_LANES_MAX _Pragma("omp simd reduction(max : largest)")
#else
#define RACKPROOF_LANES
#define RACKPROOF_LANES_SUM
#define RACKPROOF_LANES_MAX
#endif

namespace rackproof::kernels::RACKPROOF_ISA {

#if defined(__AVX512F__)
constexpr int vector_floats = 16;
#elif defined(__AVX__)
constexpr int vector_floats = 8;
#else
constexpr int vector_floats = 4;
#endif

/// One thread, whose lanes are what the compiler vectorises.
class VectorTeam {
 public:
  static constexpr std::int64_t width = vector_floats;
  typedef float Wide __attribute__((vector_size(vector_floats * 4)));

  [[nodiscard]] RACKPROOF_KERNEL static Wide load_wide(const float* from) {
    Wide value;
    __builtin_memcpy(&value, from, sizeof value);
    return value;
  }
  [[nodiscard]] RACKPROOF_KERNEL static Wide load_wide(const Bf16* from) {
    typedef std::uint16_t Halves __attribute__((vector_size(vector_floats * 2)));
    typedef std::uint32_t Words __attribute__((vector_size(vector_floats * 4)));
    Halves halves;
    __builtin_memcpy(&halves, from, sizeof halves);
    const Words words = __builtin_convertvector(halves, Words) << 16U;
    Wide value;
    __builtin_memcpy(&value, &words, sizeof value);
    return value;
  }
  RACKPROOF_KERNEL static void store_wide(Wide value, float* to) { __builtin_memcpy(to, &value, sizeof value); }

  template <typename Body>
  RACKPROOF_KERNEL void for_each_wide(std::int64_t n, Body body) const {
    for (std::int64_t i = 0; i < n; i += width) body(i);
  }

  template <typename Body>
  RACKPROOF_KERNEL void for_each_part(std::int64_t n, Body body) const {
    for (std::int64_t i = 0; i < n; ++i) body(*this, i);
  }

  [[nodiscard]] RACKPROOF_KERNEL static constexpr std::int64_t lane() { return 0; }
  [[nodiscard]] RACKPROOF_KERNEL static constexpr std::int64_t lanes() { return 1; }
  RACKPROOF_KERNEL static void barrier() {}

  template <typename Body>
  RACKPROOF_KERNEL void for_each(std::int64_t n, Body body) const {
    RACKPROOF_LANES
    for (std::int64_t i = 0; i < n; ++i) body(i);
  }

  template <typename Body>
  [[nodiscard]] RACKPROOF_KERNEL float reduce_sum(std::int64_t n, Body body) const {
    float sum = 0.0F;
    RACKPROOF_LANES_SUM
    for (std::int64_t i = 0; i < n; ++i) sum += body(i);
    return sum;
  }

  template <typename Body>
  [[nodiscard]] RACKPROOF_KERNEL float reduce_max(std::int64_t n, Body body) const {
    float largest = -3.4e38F;
    RACKPROOF_LANES_MAX
    for (std::int64_t i = 0; i < n; ++i) {
      const float value = body(i);
      largest = value > largest ? value : largest;
    }
    return largest;
  }
};

}  // namespace rackproof::kernels::RACKPROOF_ISA
