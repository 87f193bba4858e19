// Compiled once for each instruction set. Nothing here may call an inline function of another header that the
// compiler does not inline: the linker would keep one copy, perhaps the one that this CPU cannot run.
#include <omp.h>

#include <cstring>

#include "common/backends/host/matvec.hpp"

namespace rackproof::host::RACKPROOF_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int lanes = 16;
#elif defined(__AVX2__)
constexpr int lanes = 8;
#else
constexpr int lanes = 4;
#endif

typedef float Floats __attribute__((vector_size(lanes * 4)));
typedef std::uint32_t Words __attribute__((vector_size(lanes * 4)));
typedef std::uint16_t Halves __attribute__((vector_size(lanes * 2)));

template <typename T>
[[gnu::always_inline]] inline T load(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

/// The weights are read once, in order. A core's own prefetcher stops at each 4 KiB page; asked for two pages ahead, a
/// single Emerald Rapids core reads bf16 weights at 16 instead of 12 GB/s (1, 2 and 4 KiB: 13.5, 14, 15). Past the
/// end of the weights it does nothing.
[[gnu::always_inline]] inline void prefetch(const void* at) { __builtin_prefetch(static_cast<const char*>(at) + 8192); }

[[gnu::always_inline]] inline Floats as_floats(Words words) { return reinterpret_cast<Floats>(words); }

[[gnu::always_inline]] inline Floats load_floats(const float* from) { return load<Floats>(from); }
[[gnu::always_inline]] inline Floats load_floats(const bf16_bits* from) {
  return as_floats(__builtin_convertvector(load<Halves>(from), Words) << 16U);
}

[[gnu::always_inline]] inline void store(float value, float& to) { to = value; }
[[gnu::always_inline]] inline void store(float value, bf16_bits& to) { to = to_bf16(value); }

/// Columns [first, first + Vectors x lanes) of one block column, all k.
template <int Rows, int Vectors, int Interleave, typename Weight, typename Out>
[[gnu::always_inline]] inline void columns(const MatvecKernels::Shape& shape, const BlockedLayout& layout,
                                           std::int64_t first, const float* a, const Weight* b, Out* c) {
  Floats sum[Rows][Vectors] = {};
  const std::int64_t block = first / layout.block_n;
  const Weight* column = b + block * layout.stride_n + (first % layout.block_n) * Interleave;
  const std::int64_t row_stride = layout.block_n * Interleave;
  for (std::int64_t k = 0; k < shape.k; k += layout.block_k) {
    const Weight* at = column + k / layout.block_k * layout.stride_k;
    for (std::int64_t i = 0; i < layout.block_k; i += Interleave, at += row_stride) {
      if constexpr (Interleave == 2) {
        for (int v = 0; v < Vectors; ++v) {
          prefetch(at + v * lanes * 2);
          const Words pair = load<Words>(at + v * lanes * 2);
          const Floats even = as_floats(pair << 16U);
          const Floats odd = as_floats(pair & 0xffff0000U);
          for (int r = 0; r < Rows; ++r) {
            sum[r][v] += even * a[r * shape.a_stride + k + i];
            sum[r][v] += odd * a[r * shape.a_stride + k + i + 1];
          }
        }
      } else {
        for (int v = 0; v < Vectors; ++v) {
          prefetch(at + v * lanes);
          const Floats weight = load_floats(at + v * lanes);
          for (int r = 0; r < Rows; ++r) sum[r][v] += weight * a[r * shape.a_stride + k + i];
        }
      }
    }
  }
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < Vectors; ++v) {
      Out* out = c + r * shape.n + first + v * lanes;
      const std::int64_t left = shape.n - first - v * lanes;
      if (left >= lanes) {
        for (int l = 0; l < lanes; ++l) store(sum[r][v][l], out[l]);
      } else {
        for (int l = 0; l < left; ++l) store(sum[r][v][l], out[l]);
      }
    }
  }
}

// Sums stay in registers: at most 16 vectors of the 32 (AVX-512, NEON) or 8 of the 16 (AVX2, SSE2).
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int registers_for_sums = 16;
#else
constexpr int registers_for_sums = 8;
#endif

template <int Rows>
constexpr int vectors_at_once() {
  int vectors = 4;
  while (vectors * Rows > registers_for_sums || vectors * lanes > 64) vectors /= 2;
  return vectors;
}

template <int Rows, int Interleave, typename Weight, typename Out>
void blocked_rows(const MatvecKernels::Shape& shape, const BlockedLayout& layout, const float* a, const Weight* b,
                  Out* c) {
  constexpr int vectors = vectors_at_once<Rows>();
  constexpr std::int64_t width = vectors * lanes;
  // Narrow tasks where wide ones would leave threads without work.
  if (layout.block_n % width == 0 && shape.n / width >= 2 * omp_get_max_threads()) {
#pragma omp parallel for schedule(static)
    for (std::int64_t first = 0; first < shape.n; first += width) {
      columns<Rows, vectors, Interleave>(shape, layout, first, a, b, c);
    }
  } else {
    // block_n is a multiple of 16, and so of `lanes`.
#pragma omp parallel for schedule(static)
    for (std::int64_t first = 0; first < shape.n; first += lanes) {
      columns<Rows, 1, Interleave>(shape, layout, first, a, b, c);
    }
  }
}

template <int Interleave, typename Weight, typename Out>
void blocked_interleaved(const MatvecKernels::Shape& shape, const BlockedLayout& layout, const float* a,
                         const Weight* b, Out* c) {
  switch (shape.m) {
    case 1:
      return blocked_rows<1, Interleave>(shape, layout, a, b, c);
    case 2:
      return blocked_rows<2, Interleave>(shape, layout, a, b, c);
    case 3:
      return blocked_rows<3, Interleave>(shape, layout, a, b, c);
    default:
      return blocked_rows<4, Interleave>(shape, layout, a, b, c);
  }
}

template <typename Weight, typename Out>
void blocked(const MatvecKernels::Shape& shape, const BlockedLayout& layout, const float* a, const Weight* b, Out* c) {
  if constexpr (sizeof(Weight) == 2) {
    if (layout.interleave == 2) return blocked_interleaved<2>(shape, layout, a, b, c);
  }
  blocked_interleaved<1>(shape, layout, a, b, c);
}

template <int Rows, int Columns, typename Weight, typename Out>
[[gnu::always_inline]] inline void dots(const MatvecKernels::Shape& shape, std::int64_t first, const float* a,
                                        const Weight* bt, Out* c) {
  Floats sum[Columns][Rows] = {};
  const Weight* row = bt + first * shape.k;
  std::int64_t i = 0;
  for (; i + lanes <= shape.k; i += lanes) {
    for (int j = 0; j < Columns; ++j) {
      prefetch(row + j * shape.k + i);
      const Floats weight = load_floats(row + j * shape.k + i);
      for (int r = 0; r < Rows; ++r) sum[j][r] += weight * load<Floats>(a + r * shape.a_stride + i);
    }
  }
  for (int j = 0; j < Columns; ++j) {
    for (int r = 0; r < Rows; ++r) {
      float total = 0.0F;
      for (int l = 0; l < lanes; ++l) total += sum[j][r][l];
      for (std::int64_t tail = i; tail < shape.k; ++tail) {
        float weight = 0.0F;
        if constexpr (sizeof(Weight) == 2) {
          weight = from_bf16(row[j * shape.k + tail]);
        } else {
          weight = row[j * shape.k + tail];
        }
        total += weight * a[r * shape.a_stride + tail];
      }
      store(total, c[r * shape.n + first + j]);
    }
  }
}

template <int Rows, typename Weight, typename Out>
void transposed_rows(const MatvecKernels::Shape& shape, const float* a, const Weight* bt, Out* c) {
  constexpr int together = Rows <= 2 ? 4 : registers_for_sums / Rows / 2 * 2;
  const std::int64_t whole = shape.n / together;
#pragma omp parallel for schedule(static)
  for (std::int64_t group = 0; group < whole; ++group) {
    dots<Rows, together>(shape, group * together, a, bt, c);
  }
  for (std::int64_t j = whole * together; j < shape.n; ++j) dots<Rows, 1>(shape, j, a, bt, c);
}

template <typename Weight, typename Out>
void transposed(const MatvecKernels::Shape& shape, const float* a, const Weight* bt, Out* c) {
  switch (shape.m) {
    case 1:
      return transposed_rows<1>(shape, a, bt, c);
    case 2:
      return transposed_rows<2>(shape, a, bt, c);
    case 3:
      return transposed_rows<3>(shape, a, bt, c);
    default:
      return transposed_rows<4>(shape, a, bt, c);
  }
}

constexpr MatvecKernels kernels{blocked<float, float>,         blocked<bf16_bits, float>,
                                blocked<bf16_bits, bf16_bits>, transposed<float, float>,
                                transposed<bf16_bits, float>,  transposed<bf16_bits, bf16_bits>};

}  // namespace

const MatvecKernels& matvec();
const MatvecKernels& matvec() { return kernels; }

}  // namespace rackproof::host::RACKPROOF_ISA
