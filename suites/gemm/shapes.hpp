// Which products are measured.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/backends/device.hpp"
#include "suites/gemm/freivalds.hpp"
#include "suites/suite.hpp"

namespace rackproof::gemm {

struct Product {
  DataType type = DataType::f32;
  Shape shape;
  WeightLayout layout = WeightLayout::plain;
  /// The m that packed weights are laid out for: the prompt's where the same weights serve single tokens too.
  std::int64_t weights_for_m = 0;
};

/// "gemm/bf16/m2048n2048k2048/packed"
[[nodiscard]] std::string case_name(const Product& product);
[[nodiscard]] std::string_view name(WeightLayout layout);

/// f64 -> f64, f32 -> f32, bf16 -> f32, i8 -> i32.
[[nodiscard]] DataType output_type(DataType input);

/// "f64,bf16". Throws Error (usage) for an unknown type, one that is not multiplied, one named twice, and for none.
[[nodiscard]] std::vector<DataType> parse_types(std::string_view text);
/// "1024,128x4096x768": squares, and M x N x K. Throws Error (usage).
[[nodiscard]] std::vector<Shape> parse_sizes(std::string_view text);

/// The profile's products: squares, an odd shape, and the layers of a transformer with a prompt of 128 tokens and with
/// a single token (llama-100m; from `accept` on llama-3-8b too).
[[nodiscard]] std::vector<Product> products_of(Profile profile, const std::vector<DataType>& types);
/// Each of the shapes with each of the types, plain and packed.
[[nodiscard]] std::vector<Product> products_of(const std::vector<Shape>& shapes, const std::vector<DataType>& types);

}  // namespace rackproof::gemm
