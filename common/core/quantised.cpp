#include "common/core/quantised.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "common/core/error.hpp"
#include "common/core/float8.hpp"
#include "common/core/small_floats.hpp"

namespace rackproof {
namespace {

constexpr float largest_e4m3 = 448.0F;
constexpr float largest_e2m1 = 6.0F;

constexpr std::int64_t groups(std::int64_t extent, std::int64_t group) { return (extent + group - 1) / group; }

bool is_nibbles(Scaling scaling) { return scaling == Scaling::nv; }

const std::array<float, 256>& e4m3_values() {
  static const std::array<float, 256> values = [] {
    std::array<float, 256> table{};
    for (std::size_t code = 0; code < table.size(); ++code) table[code] = from_f8e4m3(static_cast<std::uint8_t>(code));
    return table;
  }();
  return values;
}

const std::array<float, 16>& e2m1_values() {
  static const std::array<float, 16> values = [] {
    std::array<float, 16> table{};
    for (std::size_t code = 0; code < table.size(); ++code) table[code] = from_e2m1(static_cast<std::uint8_t>(code));
    return table;
  }();
  return values;
}

float element(const Quantised& matrix, std::int64_t row, std::int64_t column) {
  if (is_nibbles(matrix.scaling)) {
    const std::uint8_t both = matrix.elements[static_cast<std::size_t>(row * matrix.row_bytes() + column / 2)];
    return e2m1_values()[column % 2 == 0 ? both & 0xfU : both >> 4U];
  }
  return e4m3_values()[matrix.elements[static_cast<std::size_t>(row * matrix.k + column)]];
}

/// Without matrix_scale.
float scale(const Quantised& matrix, std::int64_t row, std::int64_t column) {
  const ScaleBlock block = scale_block(matrix.scaling, matrix.side);
  if (block.columns == 0) return matrix.scales.front();
  const auto at = static_cast<std::size_t>(row / block.rows * matrix.scales_per_row() + column / block.columns);
  switch (matrix.scaling) {
    case Scaling::mx:
      return from_ue8m0(matrix.scale_codes[at]);
    case Scaling::nv:
      return e4m3_values()[matrix.scale_codes[at]];
    default:
      return matrix.scales[at];
  }
}

/// Chooses the scale of one block, stores it and returns what values are divided by; 0 where all are zero.
float choose_scale(Quantised& matrix, std::size_t at, float largest) {
  switch (matrix.scaling) {
    case Scaling::tensor:
      return matrix.scales.front();
    case Scaling::block:
      matrix.scales[at] = largest > 0.0F ? largest / largest_e4m3 : 1.0F;
      return matrix.scales[at];
    case Scaling::mx:
      matrix.scale_codes[at] = to_ue8m0(largest / largest_e4m3);
      return from_ue8m0(matrix.scale_codes[at]);
    default:
      matrix.scale_codes[at] = to_f8e4m3(largest / largest_e2m1 / matrix.matrix_scale);
      return e4m3_values()[matrix.scale_codes[at]] * matrix.matrix_scale;
  }
}

void store(Quantised& matrix, std::int64_t row, std::int64_t column, float value) {
  if (!is_nibbles(matrix.scaling)) {
    matrix.elements[static_cast<std::size_t>(row * matrix.k + column)] = to_f8e4m3(value);
    return;
  }
  std::uint8_t& both = matrix.elements[static_cast<std::size_t>(row * matrix.row_bytes() + column / 2)];
  const unsigned shift = column % 2 == 0 ? 0U : 4U;
  both = static_cast<std::uint8_t>((both & ~(0xfU << shift)) | (static_cast<unsigned>(to_e2m1(value)) << shift));
}

}  // namespace

std::string_view name(Scaling scaling) {
  switch (scaling) {
    case Scaling::none:
      return "none";
    case Scaling::tensor:
      return "tensor";
    case Scaling::block:
      return "block";
    case Scaling::mx:
      return "mx";
    case Scaling::nv:
      return "nv";
  }
  return "?";
}

DataType element_type(Scaling scaling) {
  if (scaling == Scaling::none)
    throw Error(ExitCode::internal, "core", 0, "", "plain operands have no scaled elements");
  return scaling == Scaling::nv ? DataType::f4e2m1 : DataType::f8e4m3;
}

ScaleBlock scale_block(Scaling scaling, Side side) {
  switch (scaling) {
    case Scaling::block:
      return {side == Side::left ? 1 : 128, 128};
    case Scaling::mx:
      return {1, 32};
    case Scaling::nv:
      return {1, 16};
    default:
      return {};
  }
}

std::int64_t Quantised::row_bytes() const { return is_nibbles(scaling) ? groups(k, 2) : k; }

std::int64_t Quantised::scales_per_row() const {
  const ScaleBlock block = scale_block(scaling, side);
  return block.columns == 0 ? 1 : groups(k, block.columns);
}

double Quantised::value(std::int64_t row, std::int64_t column) const {
  return static_cast<double>(element(*this, row, column)) * static_cast<double>(scale(*this, row, column)) *
         static_cast<double>(matrix_scale);
}

void Quantised::read(std::int64_t row, std::int64_t first, std::span<float> values) const {
  const std::int64_t width = scale_block(scaling, side).columns;
  const auto count = static_cast<std::int64_t>(values.size());
  std::int64_t at = 0;
  while (at < count) {
    const std::int64_t column = first + at;
    const std::int64_t end = width == 0 ? count : std::min(count, at + width - column % width);
    // Of two scales, only the matrix's may need all bits of an f32.
    const float factor = scale(*this, row, column) * matrix_scale;
    for (; at < end; ++at) values[static_cast<std::size_t>(at)] = element(*this, row, first + at) * factor;
  }
}

Quantised make_quantised(Scaling scaling, Side side, std::int64_t rows, std::int64_t k, float largest) {
  Quantised matrix;
  matrix.scaling = scaling;
  matrix.side = side;
  matrix.rows = rows;
  matrix.k = k;
  matrix.elements.resize(static_cast<std::size_t>(rows * matrix.row_bytes()));
  const ScaleBlock block = scale_block(scaling, side);
  if (block.columns == 0) {
    matrix.scales.assign(1, largest > 0.0F ? largest / largest_e4m3 : 1.0F);
    return matrix;
  }
  const auto count = static_cast<std::size_t>(groups(rows, block.rows) * matrix.scales_per_row());
  if (scaling == Scaling::block) {
    matrix.scales.assign(count, 1.0F);
  } else {
    matrix.scale_codes.assign(count, 0);
  }
  if (scaling == Scaling::nv && largest > 0.0F) matrix.matrix_scale = largest / (largest_e2m1 * largest_e4m3);
  return matrix;
}

std::int64_t rows_together(Scaling scaling, Side side) {
  return std::max<std::int64_t>(1, scale_block(scaling, side).rows);
}

void quantise_rows(Quantised& matrix, std::int64_t first, std::span<const float> values) {
  const std::int64_t rows = static_cast<std::int64_t>(values.size()) / matrix.k;
  const ScaleBlock block = scale_block(matrix.scaling, matrix.side);
  const std::int64_t height = rows_together(matrix.scaling, matrix.side);
  const std::int64_t width = block.columns == 0 ? matrix.k : block.columns;
  const auto value = [&](std::int64_t row, std::int64_t column) {
    return values[static_cast<std::size_t>(row * matrix.k + column)];
  };
  for (std::int64_t top = 0; top < rows; top += height) {
    const std::int64_t bottom = std::min(rows, top + height);
    for (std::int64_t left = 0; left < matrix.k; left += width) {
      const std::int64_t right = std::min(matrix.k, left + width);
      float largest = 0.0F;
      for (std::int64_t row = top; row < bottom; ++row) {
        for (std::int64_t column = left; column < right; ++column) {
          largest = std::max(largest, std::abs(value(row, column)));
        }
      }
      const auto at = static_cast<std::size_t>((first + top) / height * matrix.scales_per_row() + left / width);
      const float divisor = choose_scale(matrix, at, largest);
      for (std::int64_t row = top; row < bottom; ++row) {
        for (std::int64_t column = left; column < right; ++column) {
          store(matrix, first + row, column, divisor > 0.0F ? value(row, column) / divisor : 0.0F);
        }
      }
    }
  }
}

std::size_t quantised_bytes(Scaling scaling, Side side, std::int64_t rows, std::int64_t k) {
  const ScaleBlock block = scale_block(scaling, side);
  const std::int64_t row_bytes = is_nibbles(scaling) ? groups(k, 2) : k;
  std::int64_t scales = 1;
  if (block.columns != 0) scales = groups(rows, block.rows) * groups(k, block.columns);
  const std::int64_t scale_bytes = scaling == Scaling::mx || scaling == Scaling::nv ? 1 : 4;
  return static_cast<std::size_t>(rows * row_bytes + scales * scale_bytes);
}

}  // namespace rackproof
