// no threads
// Which products a GPU is asked for, and where the scales of their operands lie.
#include "common/backends/cuda/matmul_rules.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <set>
#include <span>
#include <vector>

#include "common/backends/cuda/scale_layout.hpp"
#include "common/core/random.hpp"

namespace rackproof::cuda {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int newest = 130100;

MatmulProblem problem(DataType type, DataType output, Scaling scaling = Scaling::none,
                      WeightLayout layout = WeightLayout::packed) {
  MatmulProblem result;
  result.m = result.n = result.k = 128;
  result.input = type;
  result.output = output;
  result.scaling = scaling;
  result.layout = layout;
  return result;
}

TEST(MatmulRules, chips_are_asked_for_the_types_that_they_have_alone) {
  const auto f8 = problem(DataType::f8e4m3, DataType::f32, Scaling::tensor);
  EXPECT_THAT(refuse_by_rule(f8, 80, newest),
              HasSubstr("f8e4m3 needs a GPU of compute capability 8.9; this one has 8.0"));
  for (const int capability : {89, 90, 100, 103, 120}) EXPECT_THAT(refuse_by_rule(f8, capability, newest), IsEmpty());
  const auto block = problem(DataType::f8e4m3, DataType::f32, Scaling::block);
  EXPECT_THAT(refuse_by_rule(block, 90, newest), IsEmpty());
  EXPECT_THAT(refuse_by_rule(block, 100, newest), HasSubstr("Hopper"));
  for (const auto& blackwell :
       {problem(DataType::f8e4m3, DataType::f32, Scaling::mx), problem(DataType::f4e2m1, DataType::f32, Scaling::nv)}) {
    EXPECT_THAT(refuse_by_rule(blackwell, 90, newest), HasSubstr("10.0"));
    EXPECT_THAT(refuse_by_rule(blackwell, 100, newest), IsEmpty());
    EXPECT_THAT(refuse_by_rule(blackwell, 100, 120400), HasSubstr("CUDA 12.8"));
  }
  EXPECT_THAT(refuse_by_rule(block, 90, 120800), HasSubstr("CUDA 12.9"));
  EXPECT_THAT(refuse_by_rule(problem(DataType::bf16, DataType::f32), 75, newest), HasSubstr("bf16"));
}

TEST(MatmulRules, narrow_types_are_refused_in_layouts_and_extents_that_the_library_has_no_kernel_for) {
  const auto plain = problem(DataType::i8, DataType::i32, Scaling::none, WeightLayout::plain);
  EXPECT_THAT(refuse_by_rule(plain, 90, newest), HasSubstr("K-major"));
  auto transposed = plain;
  transposed.transposed_weights = true;
  EXPECT_THAT(refuse_by_rule(transposed, 90, newest), IsEmpty());
  auto i8 = problem(DataType::i8, DataType::i32);
  i8.k = 333;
  EXPECT_THAT(refuse_by_rule(i8, 90, newest), HasSubstr("with k in multiples of 4 alone"));
  auto f8 = problem(DataType::f8e4m3, DataType::f32, Scaling::tensor);
  f8.m = 1;
  EXPECT_THAT(refuse_by_rule(f8, 90, newest), IsEmpty());
  f8.n = 1000;
  EXPECT_THAT(refuse_by_rule(f8, 90, newest), HasSubstr("n in multiples of 16"));
  auto block = problem(DataType::f8e4m3, DataType::f32, Scaling::block);
  block.m = 1;
  EXPECT_THAT(refuse_by_rule(block, 90, newest), HasSubstr("m in multiples of 4"));
  auto nv = problem(DataType::f4e2m1, DataType::f32, Scaling::nv);
  nv.k = 48;
  EXPECT_THAT(refuse_by_rule(nv, 100, newest), HasSubstr("k in multiples of 32"));
  auto odd = problem(DataType::bf16, DataType::f32, Scaling::none, WeightLayout::plain);
  odd.m = odd.n = odd.k = 333;
  EXPECT_THAT(refuse_by_rule(odd, 80, newest), IsEmpty());
}

TEST(MatmulRules, products_that_nobody_offers_are_refused) {
  EXPECT_THAT(refuse_by_rule(problem(DataType::f32, DataType::f64), 90, newest), HasSubstr("no product of f32"));
  EXPECT_THAT(refuse_by_rule(problem(DataType::f8e4m3, DataType::f32), 90, newest), HasSubstr("scaling none"));
}

TEST(MatmulRules, sums_are_as_published) {
  EXPECT_EQ(accumulation_of(problem(DataType::f32, DataType::f32), 90).unit, 0.0);
  EXPECT_EQ(accumulation_of(problem(DataType::bf16, DataType::f32), 80).products, 8);
  EXPECT_EQ(accumulation_of(problem(DataType::bf16, DataType::f32), 90).products, 16);
  EXPECT_EQ(accumulation_of(problem(DataType::tf32, DataType::f32), 90).products, 8);
  EXPECT_EQ(accumulation_of(problem(DataType::f8e4m3, DataType::f32, Scaling::tensor), 90).unit, 0x1p-13);
  EXPECT_EQ(accumulation_of(problem(DataType::f8e4m3, DataType::f32, Scaling::tensor), 100).unit, 0x1p-23);
  EXPECT_EQ(accumulation_of(problem(DataType::f8e4m3, DataType::f32, Scaling::block), 90).interval, 128);
}

TEST(ScaleLayout, of_tiles_is_the_documented_one_and_uses_each_byte_once) {
  // Within the first tile of 128 x 4: rows 0, 32, 64, 96, then row 1.
  EXPECT_EQ(tiled_scale_at(0, 0, 4), 0);
  EXPECT_EQ(tiled_scale_at(0, 3, 4), 3);
  EXPECT_EQ(tiled_scale_at(32, 0, 4), 4);
  EXPECT_EQ(tiled_scale_at(96, 2, 4), 14);
  EXPECT_EQ(tiled_scale_at(1, 0, 4), 16);
  EXPECT_EQ(tiled_scale_at(127, 3, 4), 511);
  // The next four scales of the row are the next tile, the next 128 rows the next row of tiles.
  EXPECT_EQ(tiled_scale_at(0, 4, 8), 512);
  EXPECT_EQ(tiled_scale_at(128, 0, 8), 1024);
  EXPECT_EQ(tiled_scale_at(128, 0, 5), 1024) << "rows of tiles are whole";
  std::set<std::int64_t> taken;
  for (std::int64_t row = 0; row < 200; ++row) {
    for (std::int64_t scale = 0; scale < 7; ++scale) taken.insert(tiled_scale_at(row, scale, 7));
  }
  EXPECT_EQ(taken.size(), 200U * 7U);
  EXPECT_LT(*taken.rbegin(), tiled_scale_bytes(200, 7));
  EXPECT_EQ(tiled_scale_bytes(200, 7), 256 * 8);
}

TEST(ScaleLayout, of_blocks_has_rows_together_on_the_left_and_k_on_the_right) {
  EXPECT_EQ(block_scale_at(Side::left, 5, 0, 64, 3), 5);
  EXPECT_EQ(block_scale_at(Side::left, 5, 2, 64, 3), 2 * 64 + 5);
  EXPECT_EQ(block_scale_at(Side::right, 1, 2, 256, 3), 4 + 2) << "groups begin at multiples of 4";
  EXPECT_EQ(block_scale_bytes(Side::left, 64, 3), 64 * 3 * 4);
  EXPECT_EQ(block_scale_bytes(Side::right, 256, 3), 2 * 4 * 4);
}

TEST(ScaleLayout, an_operand_is_its_elements_and_then_its_scales) {
  constexpr std::int64_t rows = 140;
  constexpr std::int64_t k = 288;
  std::vector<float> values(static_cast<std::size_t>(rows * k));
  fill_normal(std::span<float>(values), random_stream(3, 1), 0, 1.0F);
  for (const Scaling scaling : {Scaling::tensor, Scaling::block, Scaling::mx, Scaling::nv}) {
    for (const Side side : {Side::left, Side::right}) {
      Quantised matrix = make_quantised(scaling, side, rows, k, 3.8F);
      quantise_rows(matrix, 0, values);
      const ScaledOperand where = scaled_operand(scaling, side, rows, k);
      EXPECT_EQ(where.scales_at % 256, 0);
      EXPECT_EQ(where.element_bytes, static_cast<std::int64_t>(matrix.elements.size()));
      std::vector<std::byte> memory(static_cast<std::size_t>(where.bytes), std::byte{0xaa});
      lay_out(matrix, memory);
      EXPECT_EQ(std::memcmp(memory.data(), matrix.elements.data(), matrix.elements.size()), 0);
      const std::byte* const scales = memory.data() + where.scales_at;
      // The last block of the last row.
      if (scaling == Scaling::tensor || scaling == Scaling::block) {
        const std::int64_t at = scaling == Scaling::tensor ? 0 : side == Side::left ? 2 * rows + rows - 1 : 4 + 2;
        float scale = 0.0F;
        std::memcpy(&scale, scales + at * 4, sizeof(scale));
        EXPECT_EQ(scale, matrix.scales.back()) << name(scaling);
      } else {
        const std::int64_t per_row = scaling == Scaling::mx ? 9 : 18;
        EXPECT_EQ(static_cast<std::uint8_t>(scales[tiled_scale_at(rows - 1, per_row - 1, per_row)]),
                  matrix.scale_codes.back());
        EXPECT_EQ(scales[tiled_scale_at(rows, 0, per_row)], std::byte{0}) << "rows that are not there";
      }
    }
  }
}

}  // namespace
}  // namespace rackproof::cuda
