// Products with very few rows: C[m,n] = A[m,k] x B[k,n] for m <= 4, which are a matter of reading B at the speed of
// memory. B lies as the library packed it for large m, or as B^T.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/backends/host/isa.hpp"
#include "common/core/bfloat16.hpp"

namespace rackproof::host {

/// Where B[i, j] lies, in elements: B is cut into blocks of block_k x block_n; block (p, q) starts at
/// p x stride_k + q x stride_n; inside it, rows come in groups of `interleave` whose elements of one column are
/// neighbours: ((i / interleave) x block_n + j) x interleave + i mod interleave.
/// The unused edge of the last blocks is filled with zeros.
struct BlockedLayout {
  std::int64_t block_k = 0;
  std::int64_t block_n = 0;
  std::int64_t interleave = 1;
  std::int64_t stride_k = 0;
  std::int64_t stride_n = 0;
};

constexpr std::int64_t matvec_max_rows = 4;

/// Kernels of one instruction set. Threads as OpenMP has them now.
/// a: f32, m rows of `a_stride` elements, zero from k to the end of the last block.
struct MatvecKernels {
  /// Can `layout` be read? (block_n a multiple of 16, interleave 1 for f32, 1 or 2 for bf16)
  template <typename Weight>
  [[nodiscard]] static bool can_read(const BlockedLayout& layout) {
    const bool interleaved = sizeof(Weight) == 2 && layout.interleave == 2;
    return layout.block_n >= 16 && layout.block_n <= 1024 && layout.block_n % 16 == 0 && layout.block_k >= 1 &&
           layout.block_k % layout.interleave == 0 && (layout.interleave == 1 || interleaved);
  }

  struct Shape {
    std::int64_t m, n, k;
    std::int64_t a_stride;
  };
  void (*blocked_f32)(const Shape&, const BlockedLayout&, const float* a, const float* b, float* c);
  void (*blocked_bf16_f32)(const Shape&, const BlockedLayout&, const float* a, const bf16_bits* b, float* c);
  void (*blocked_bf16_bf16)(const Shape&, const BlockedLayout&, const float* a, const bf16_bits* b, bf16_bits* c);
  /// B^T is [n, k] row-major.
  void (*transposed_f32)(const Shape&, const float* a, const float* bt, float* c);
  void (*transposed_bf16_f32)(const Shape&, const float* a, const bf16_bits* bt, float* c);
  void (*transposed_bf16_bf16)(const Shape&, const float* a, const bf16_bits* bt, bf16_bits* c);
};

/// Throws Error (internal) for an instruction set that this binary does not carry.
[[nodiscard]] const MatvecKernels& matvec_kernels(Isa isa);

}  // namespace rackproof::host
