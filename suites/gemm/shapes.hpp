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

/// What is multiplied: elements, and how they are scaled.
struct Operand {
  DataType type = DataType::f32;
  Scaling scaling = Scaling::none;
  friend bool operator==(const Operand&, const Operand&) = default;
};

struct Product {
  DataType type = DataType::f32;
  Shape shape;
  WeightLayout layout = WeightLayout::plain;
  /// The m that packed weights are laid out for: the prompt's where the same weights serve single tokens too.
  std::int64_t weights_for_m = 0;
  Scaling scaling = Scaling::none;
  /// By the fastest of the algorithms that the library offers, measured before; else by its first choice.
  bool tuned = false;
};

/// "gemm/bf16/m2048n2048k2048/packed", "gemm/f8-block/m2048n2048k2048/packed/tuned"
[[nodiscard]] std::string case_name(const Product& product);
[[nodiscard]] std::string_view name(WeightLayout layout);
/// "f64", "bf16", ...; scaled: f8 (tensor), f8-block, mxf8, nvf4.
[[nodiscard]] std::string_view name(const Operand& operand);
[[nodiscard]] Operand operand_of(const Product& product);

/// f64 -> f64, i8 -> i32, others -> f32.
[[nodiscard]] DataType output_type(DataType input);

/// What `auto` stands for on the device of that backend: f64, f32, bf16, i8 on the host, all elsewhere.
[[nodiscard]] std::vector<Operand> default_operands(std::string_view device);
/// "f64,bf16,f8-block". Throws Error (usage) for an unknown type, one that is not multiplied, one named twice, and for
/// none.
[[nodiscard]] std::vector<Operand> parse_types(std::string_view text);
/// The name in a case's parameters. Throws Error (usage).
[[nodiscard]] Operand parse_operand(std::string_view text);
/// "1024,128x4096x768": squares, and M x N x K. Throws Error (usage).
[[nodiscard]] std::vector<Shape> parse_sizes(std::string_view text);

/// The profile's products on the host: squares, an odd shape, and the layers of a transformer with a prompt of 128
/// tokens and with a single token (llama-100m; from `accept` on llama-3-8b too).
[[nodiscard]] std::vector<Product> products_of(Profile profile, const std::vector<Operand>& operands);
/// On a GPU: squares from 2048 on, an odd shape, and the layers of llama-3-8b and of one of eight ranks of llama-3-70b
/// with a prompt of 2048 tokens and with a single token.
[[nodiscard]] std::vector<Product> gpu_products_of(Profile profile, const std::vector<Operand>& operands);
/// Each of the shapes with each of the types, plain and packed.
[[nodiscard]] std::vector<Product> products_of(const std::vector<Shape>& shapes, const std::vector<Operand>& operands);

}  // namespace rackproof::gemm
