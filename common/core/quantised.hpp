// Matrices of narrow elements with scales: value = element x scale of its block (x scale of the matrix).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "common/core/data_type.hpp"

namespace rackproof {

/// How the elements of an operand are scaled. Blocks lie along k, the dimension that a product sums over.
enum class Scaling {
  none,
  tensor,  ///< e4m3, one f32 scale a matrix
  block,   ///< e4m3, an f32 scale for 1 x 128 elements of the left operand, for 128 x 128 of the right (DeepSeek-V3)
  mx,      ///< e4m3, a ue8m0 scale for 32 elements: mxfp8 (OCP Microscaling Formats 1.0)
  nv       ///< e2m1, an e4m3 scale for 16 elements and an f32 scale a matrix: nvfp4
};

/// "none", "tensor", ...
[[nodiscard]] std::string_view name(Scaling scaling);
/// f8e4m3 or f4e2m1. Throws Error (internal) for none.
[[nodiscard]] DataType element_type(Scaling scaling);

enum class Side { left, right };

/// What shares a scale: `rows` x `columns` elements; 0 where the whole matrix does.
struct ScaleBlock {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
};
[[nodiscard]] ScaleBlock scale_block(Scaling scaling, Side side);

/// A quantised operand as no library has it: `rows` rows of `k` elements, for the right operand B the rows of B^T.
struct Quantised {
  Scaling scaling = Scaling::none;
  Side side = Side::left;
  std::int64_t rows = 0;
  std::int64_t k = 0;
  /// Row after row, each beginning on a byte; e2m1 two a byte, the first in the low half.
  std::vector<std::uint8_t> elements;
  /// tensor: one; block: [row group][k group]; else empty.
  std::vector<float> scales;
  /// mx: ue8m0, nv: e4m3, [row][k group]; else empty.
  std::vector<std::uint8_t> scale_codes;
  float matrix_scale = 1.0F;  ///< nv

  [[nodiscard]] std::int64_t row_bytes() const;
  /// Scales of one row, or of one group of rows.
  [[nodiscard]] std::int64_t scales_per_row() const;
  /// Exact: products of at most 4 + 24, 4 + 1 or 2 + 4 + 24 significant bits.
  [[nodiscard]] double value(std::int64_t row, std::int64_t column) const;
  /// Values [first, first + values.size()) of a row, each rounded to f32.
  void read(std::int64_t row, std::int64_t first, std::span<float> values) const;
};

/// Room for a matrix whose largest magnitude is `largest`; all elements zero.
[[nodiscard]] Quantised make_quantised(Scaling scaling, Side side, std::int64_t rows, std::int64_t k, float largest);

/// Rows that must be quantised together: 128 for the right operand of block scaling, else 1.
[[nodiscard]] std::int64_t rows_together(Scaling scaling, Side side);

/// Quantises rows [first, first + values.size() / k); `first` is a multiple of rows_together(), and only the last group
/// of a matrix may have fewer rows. Scales map the largest magnitude of a block to the largest element: s = max / 448
/// or max / 6, in f32; mx rounds s up to a power of two; nv rounds s / matrix_scale to e4m3, where matrix_scale =
/// largest / (6 x 448). Then element = value / s, rounded to nearest even. (cuBLAS 13 documentation, "1D Block
/// Quantization".) Different groups may be written by several threads at once.
void quantise_rows(Quantised& matrix, std::int64_t first, std::span<const float> values);

/// Bytes of elements and scales of a `rows` x `k` operand, without padding.
[[nodiscard]] std::size_t quantised_bytes(Scaling scaling, Side side, std::int64_t rows, std::int64_t k);

}  // namespace rackproof
