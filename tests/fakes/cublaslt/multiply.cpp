// The arithmetic: operands decoded, multiplied by OpenBLAS, rounded to the type of the result.
#include <cblas.h>
#include <library_types.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/fakes/cublaslt/descriptors.hpp"
#include "tests/fakes/cublaslt/formats.hpp"

namespace rackproof::fake_lt {
namespace {

/// Dense, column after column, as the operand lies in memory.
template <typename T>
using Matrix = std::vector<T>;

float value_at(const Layout& layout, const void* data, std::int64_t at) {
  const auto i = static_cast<std::size_t>(at);
  switch (layout.type) {
    case CUDA_R_32F:
      return static_cast<const float*>(data)[i];
    case CUDA_R_16F:
      return read_f16(static_cast<const std::uint16_t*>(data)[i]);
    case CUDA_R_16BF:
      return decode_bf16(static_cast<const std::uint16_t*>(data)[i]);
    case CUDA_R_8F_E4M3:
      return read_e4m3(static_cast<const std::uint8_t*>(data)[i]);
    case CUDA_R_8F_E5M2:
      return read_e5m2(static_cast<const std::uint8_t*>(data)[i]);
    default:
      // E2M1: two to a byte, the first in the low half.
      return read_e2m1(static_cast<std::uint8_t>(static_cast<const std::uint8_t*>(data)[i / 2] >> (i % 2 * 4)));
  }
}

/// What the matrix units read of an f32: its lower 13 bits are not looked at (PTX ISA, tf32).
float as_tf32(float value) { return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) & 0xffffe000U); }

/// The factor of the element with index `inner` along K and `outer` across it.
/// Source: cuBLAS documentation, "1D Block Scaling Factors Layout" and "Scaling factors layouts".
class Scales {
 public:
  Scales(const Scale& scale, std::int64_t outer, std::int64_t k) : scale_(scale), outer_(outer), k_(k) {}
  [[nodiscard]] float at([[maybe_unused]] std::int64_t inner, [[maybe_unused]] std::int64_t outer) const {
    if (scale_.pointer == nullptr) return 1.0F;
#if CUBLAS_VERSION >= 120800
    if (scale_.mode == CUBLASLT_MATMUL_MATRIX_SCALE_VEC16_UE4M3) return read_e4m3(tiled(inner / 16, outer, 16));
    if (scale_.mode == CUBLASLT_MATMUL_MATRIX_SCALE_VEC32_UE8M0) return read_ue8m0(tiled(inner / 32, outer, 32));
#endif
    const auto* const factors = static_cast<const float*>(scale_.pointer);
#if CUBLAS_VERSION >= 120900
    const std::int64_t blocks = (k_ + 127) / 128;
    if (scale_.mode == CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F) return factors[outer];
    // Contiguous across K.
    if (scale_.mode == CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F) return factors[inner / 128 * outer_ + outer];
    // Contiguous along K, columns at multiples of 4.
    if (scale_.mode == CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F) {
      return factors[inner / 128 + outer / 128 * ((blocks + 3) / 4 * 4)];
    }
#endif
    return factors[0];
  }

 private:
  /// Tiles of 128 across x 4 along, 512 bytes each; those along K follow each other.
  [[nodiscard]] std::uint8_t tiled(std::int64_t scale, std::int64_t outer, std::int64_t block) const {
    const std::int64_t tiles_along = ((k_ + block - 1) / block + 3) / 4;
    const std::int64_t tile = outer / 128 * tiles_along + scale / 4;
    const std::int64_t row = outer % 128;
    const std::int64_t within = row % 32 * 16 + row / 32 * 4 + scale % 4;
    return static_cast<const std::uint8_t*>(scale_.pointer)[tile * 512 + within];
  }

  const Scale& scale_;
  std::int64_t outer_;
  std::int64_t k_;
};

/// Rounds to f32 once an element: products of narrow elements and scales need fewer bits than f32 has, but for f32
/// scales.
Matrix<float> decode_operand(const Layout& layout, const void* data, const Scales& scales, bool k_is_rows, bool tf32) {
  Matrix<float> all(static_cast<std::size_t>(layout.rows * layout.columns));
  for (std::int64_t j = 0; j < layout.columns; ++j) {
    for (std::int64_t i = 0; i < layout.rows; ++i) {
      float value = value_at(layout, data, j * layout.leading + i);
      if (tf32) value = as_tf32(value);
      all[static_cast<std::size_t>(j * layout.rows + i)] = value * (k_is_rows ? scales.at(i, j) : scales.at(j, i));
    }
  }
  return all;
}

Matrix<double> decode_wide(const Layout& layout, const void* data) {
  Matrix<double> all(static_cast<std::size_t>(layout.rows * layout.columns));
  for (std::int64_t j = 0; j < layout.columns; ++j) {
    for (std::int64_t i = 0; i < layout.rows; ++i) {
      const auto at = static_cast<std::size_t>(j * layout.leading + i);
      all[static_cast<std::size_t>(j * layout.rows + i)] =
          layout.type == CUDA_R_64F ? static_cast<const double*>(data)[at] : static_cast<const std::int8_t*>(data)[at];
    }
  }
  return all;
}

void gemm(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, const float* a, int lda, const float* b, int ldb,
          float beta, float* c) {
  cblas_sgemm(CblasColMajor, ta, tb, m, n, k, 1.0F, a, lda, b, ldb, beta, c, m);
}
void gemm(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, const double* a, int lda, const double* b,
          int ldb, double beta, double* c) {
  cblas_dgemm(CblasColMajor, ta, tb, m, n, k, 1.0, a, lda, b, ldb, beta, c, m);
}

template <typename T>
Matrix<T> sum_up(const Product& product, int splits, const Matrix<T>& a, const Matrix<T>& b) {
  const auto m = static_cast<int>(product.m());
  const auto n = static_cast<int>(product.n());
  const auto lda = static_cast<int>(product.a.rows);
  const auto ldb = static_cast<int>(product.b.rows);
  Matrix<T> sums(static_cast<std::size_t>(product.m() * product.n()));
  const std::int64_t part = (product.k() + splits - 1) / splits;
  for (std::int64_t from = 0; from < product.k(); from += part) {
    const auto count = static_cast<int>(std::min(part, product.k() - from));
    const T* const at_a = a.data() + (product.transposed_a ? from : from * lda);
    const T* const at_b = b.data() + (product.transposed_b ? from * ldb : from);
    gemm(product.transposed_a ? CblasTrans : CblasNoTrans, product.transposed_b ? CblasTrans : CblasNoTrans, m, n,
         count, at_a, lda, at_b, ldb, from == 0 ? T{0} : T{1}, sums.data());
  }
  return sums;
}

float bias_at(const Product& product, std::int64_t row) {
  if ((product.epilogue & CUBLASLT_EPILOGUE_BIAS) == 0 || product.bias == nullptr) return 0.0F;
  Layout layout = product.d;
  if (product.bias_type >= 0) layout.type = static_cast<cudaDataType_t>(product.bias_type);
  return value_at(layout, product.bias, row);
}

float activate(std::uint32_t epilogue, float x) {
  if ((epilogue & CUBLASLT_EPILOGUE_RELU) != 0) return std::max(x, 0.0F);
  if ((epilogue & CUBLASLT_EPILOGUE_GELU) == 0) return x;
  // The approximation by tanh that the documentation gives.
  return 0.5F * x * (1.0F + std::tanh(0.7978845608F * (x + 0.044715F * x * x * x)));
}

void store(const Layout& layout, void* data, std::int64_t at, float value) {
  const auto i = static_cast<std::size_t>(at);
  if (layout.type == CUDA_R_16F) {
    static_cast<std::uint16_t*>(data)[i] = encode_f16(value);
  } else if (layout.type == CUDA_R_16BF) {
    static_cast<std::uint16_t*>(data)[i] = encode_bf16(value);
  } else {
    static_cast<float*>(data)[i] = value;
  }
}

void finish(const Product& product, const Operands& operands, const Matrix<float>& sums) {
  const bool on_gpu = operands.alpha_on_gpu != nullptr;
  const float alpha = on_gpu ? *static_cast<const float*>(operands.alpha_on_gpu) : static_cast<float>(operands.alpha);
  const float beta = on_gpu ? *static_cast<const float*>(operands.beta_on_gpu) : static_cast<float>(operands.beta);
  for (std::int64_t j = 0; j < product.d.columns; ++j) {
    for (std::int64_t i = 0; i < product.d.rows; ++i) {
      float value = alpha * sums[static_cast<std::size_t>(j * product.d.rows + i)];
      if (beta != 0.0F) value += beta * value_at(product.c, operands.c, j * product.c.leading + i);
      store(product.d, operands.d, j * product.d.leading + i, activate(product.epilogue, value + bias_at(product, i)));
    }
  }
}

template <typename T>
void finish_wide(const Product& product, const Operands& operands, const Matrix<double>& sums) {
  const bool on_gpu = operands.alpha_on_gpu != nullptr;
  const double alpha = on_gpu ? *static_cast<const T*>(operands.alpha_on_gpu) : operands.alpha;
  const double beta = on_gpu ? *static_cast<const T*>(operands.beta_on_gpu) : operands.beta;
  for (std::int64_t j = 0; j < product.d.columns; ++j) {
    for (std::int64_t i = 0; i < product.d.rows; ++i) {
      double value = alpha * sums[static_cast<std::size_t>(j * product.d.rows + i)];
      if (beta != 0.0) value += beta * static_cast<const T*>(operands.c)[j * product.c.leading + i];
      static_cast<T*>(operands.d)[j * product.d.leading + i] = static_cast<T>(value);
    }
  }
}

void multiply_one(const Product& product, const Operands& operands) {
  if (product.a.type == CUDA_R_64F || product.a.type == CUDA_R_8I) {
    // Sums of products of i8 are exact in f64 as long as they fit an i32.
    const auto sums =
        sum_up(product, operands.splits, decode_wide(product.a, operands.a), decode_wide(product.b, operands.b));
    if (product.d.type == CUDA_R_64F) return finish_wide<double>(product, operands, sums);
    return finish_wide<std::int32_t>(product, operands, sums);
  }
  const bool tf32 = product.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  const Scales of_a(product.scale_a, product.m(), product.k());
  const Scales of_b(product.scale_b, product.n(), product.k());
  finish(product, operands,
         sum_up(product, operands.splits, decode_operand(product.a, operands.a, of_a, product.transposed_a, tf32),
                decode_operand(product.b, operands.b, of_b, !product.transposed_b, tf32)));
}

template <typename Pointer>
Pointer advance(Pointer from, const Layout& layout, std::int64_t index) {
  Layout distance = layout;
  distance.rows = 1;
  distance.columns = 2;
  distance.leading = layout.stride * index;
  // extent_bytes() counts the last element too.
  const std::size_t element = extent_bytes({layout.type, 1, 1, 1});
  const std::size_t bytes = index == 0 ? 0 : extent_bytes(distance) - element;
  using Byte = std::conditional_t<std::is_const_v<std::remove_pointer_t<Pointer>>, const char, char>;
  return static_cast<Byte*>(from) + bytes;
}

}  // namespace

void multiply(const Product& product, const Operands& operands) {
  for (std::int32_t index = 0; index < product.d.batch; ++index) {
    Operands one = operands;
    one.a = advance(operands.a, product.a, index);
    one.b = advance(operands.b, product.b, index);
    one.c = operands.c == nullptr ? nullptr : advance(operands.c, product.c, index);
    one.d = advance(operands.d, product.d, index);
    multiply_one(product, one);
  }
}

}  // namespace rackproof::fake_lt
