// Where cuBLASLt wants the scales of a quantised operand, and the operand with its scales in one piece of memory.
// Source: cuBLAS 13 documentation, "1D Block Scaling Factors Layout" and "Scaling factors layouts" (128-element 1D and
// 128x128 2D block scaling). No CUDA here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "common/core/quantised.hpp"

namespace rackproof::cuda {

[[nodiscard]] constexpr std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// mx and nv: tiles of 128 rows x 4 scales, 512 bytes each, row after row of tiles. Within a tile the rows i, i + 32,
/// i + 64 and i + 96 lie together, four scales each.
[[nodiscard]] constexpr std::int64_t tiled_scale_at(std::int64_t row, std::int64_t scale, std::int64_t scales_per_row) {
  const std::int64_t tile = row / 128 * (round_up(scales_per_row, 4) / 4) + scale / 4;
  return tile * 512 + row % 32 * 16 + row % 128 / 32 * 4 + scale % 4;
}
[[nodiscard]] constexpr std::int64_t tiled_scale_bytes(std::int64_t rows, std::int64_t scales_per_row) {
  return round_up(rows, 128) * round_up(scales_per_row, 4);
}

/// block: scales of 1 x 128 elements lie with the rows contiguous; those of 128 x 128 with k contiguous, each group of
/// rows beginning at a multiple of 4 scales. In f32s.
[[nodiscard]] constexpr std::int64_t block_scale_at(Side side, std::int64_t row_group, std::int64_t scale,
                                                    std::int64_t rows, std::int64_t scales_per_row) {
  return side == Side::left ? scale * rows + row_group : row_group * round_up(scales_per_row, 4) + scale;
}
[[nodiscard]] constexpr std::int64_t block_scale_bytes(Side side, std::int64_t rows, std::int64_t scales_per_row) {
  const std::int64_t count =
      side == Side::left ? rows * scales_per_row : (rows + 127) / 128 * round_up(scales_per_row, 4);
  return count * static_cast<std::int64_t>(sizeof(float));
}

/// A quantised operand in device memory: elements row after row, then its scales.
struct ScaledOperand {
  std::int64_t element_bytes = 0;
  std::int64_t scales_at = 0;  ///< offset, a multiple of 256
  std::int64_t bytes = 0;
};

[[nodiscard]] inline ScaledOperand scaled_operand(Scaling scaling, Side side, std::int64_t rows, std::int64_t k) {
  ScaledOperand result;
  result.element_bytes = static_cast<std::int64_t>(bytes_of(static_cast<std::size_t>(rows * k), element_type(scaling)));
  result.scales_at = round_up(result.element_bytes, 256);
  const ScaleBlock block = scale_block(scaling, side);
  const std::int64_t per_row = block.columns == 0 ? 1 : (k + block.columns - 1) / block.columns;
  std::int64_t scale_bytes = sizeof(float);
  if (scaling == Scaling::block) scale_bytes = block_scale_bytes(side, rows, per_row);
  if (scaling == Scaling::mx || scaling == Scaling::nv) scale_bytes = tiled_scale_bytes(rows, per_row);
  result.bytes = result.scales_at + round_up(scale_bytes, 256);
  return result;
}

/// Writes `matrix` as scaled_operand() says; what belongs to no element is 0. `to` has its bytes.
inline void lay_out(const Quantised& matrix, std::span<std::byte> to) {
  const ScaledOperand where = scaled_operand(matrix.scaling, matrix.side, matrix.rows, matrix.k);
  std::memset(to.data() + where.element_bytes, 0, static_cast<std::size_t>(where.bytes - where.element_bytes));
  std::memcpy(to.data(), matrix.elements.data(), static_cast<std::size_t>(where.element_bytes));
  std::byte* const scales = to.data() + where.scales_at;
  if (matrix.scaling == Scaling::tensor) {
    std::memcpy(scales, matrix.scales.data(), sizeof(float));
    return;
  }
  const std::int64_t per_row = matrix.scales_per_row();
  const std::int64_t height = scale_block(matrix.scaling, matrix.side).rows;
  for (std::int64_t group = 0; group < (matrix.rows + height - 1) / height; ++group) {
    for (std::int64_t scale = 0; scale < per_row; ++scale) {
      const auto from = static_cast<std::size_t>(group * per_row + scale);
      if (matrix.scaling == Scaling::block) {
        const std::int64_t at = block_scale_at(matrix.side, group, scale, matrix.rows, per_row);
        std::memcpy(scales + at * static_cast<std::int64_t>(sizeof(float)), &matrix.scales[from], sizeof(float));
      } else {
        scales[tiled_scale_at(group, scale, per_row)] = static_cast<std::byte>(matrix.scale_codes[from]);
      }
    }
  }
}

}  // namespace rackproof::cuda
