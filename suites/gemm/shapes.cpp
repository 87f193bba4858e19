#include "suites/gemm/shapes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "common/core/error.hpp"
#include "common/core/units.hpp"

namespace rackproof::gemm {
namespace {

constexpr std::int64_t largest_extent = 1 << 20;
constexpr std::int64_t prompt_tokens = 128;

/// Layouts that differ for a type: OpenBLAS takes f64 as it comes.
std::vector<WeightLayout> layouts_of(DataType type) {
  if (type == DataType::f64) return {WeightLayout::plain};
  return {WeightLayout::plain, WeightLayout::packed};
}

/// The five products of a layer and the head of a Llama: queries, keys and values together; the attention's output;
/// gate and up together; down; the head.
std::array<std::pair<std::int64_t, std::int64_t>, 5> layer_extents(std::int64_t hidden, std::int64_t heads,
                                                                   std::int64_t kv_heads, std::int64_t head_dim,
                                                                   std::int64_t ffn, std::int64_t vocabulary) {
  return {{{hidden, (heads + 2 * kv_heads) * head_dim},
           {heads * head_dim, hidden},
           {hidden, 2 * ffn},
           {ffn, hidden},
           {hidden, vocabulary}}};
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

}  // namespace

std::string_view name(WeightLayout layout) { return layout == WeightLayout::packed ? "packed" : "plain"; }

std::string case_name(const Product& product) {
  return fmt::format("gemm/{}/m{}n{}k{}/{}", name(product.type), product.shape.m, product.shape.n, product.shape.k,
                     name(product.layout));
}

DataType output_type(DataType input) {
  switch (input) {
    case DataType::f64:
      return DataType::f64;
    case DataType::i8:
      return DataType::i32;
    default:
      return DataType::f32;
  }
}

std::vector<DataType> parse_types(std::string_view text) {
  std::vector<DataType> types;
  for (const std::string_view part : split(text, ',')) {
    const DataType type = parse_data_type(part, "--gemm-types");
    constexpr std::array multiplied{DataType::f64, DataType::f32, DataType::bf16, DataType::i8};
    if (std::find(multiplied.begin(), multiplied.end(), type) == multiplied.end()) {
      throw usage_error(fmt::format("--gemm-types: {} is not multiplied; choose from f64, f32, bf16, i8", name(type)));
    }
    if (std::find(types.begin(), types.end(), type) != types.end()) {
      throw usage_error(fmt::format("--gemm-types: {} is named twice", name(type)));
    }
    types.push_back(type);
  }
  return types;
}

std::vector<Shape> parse_sizes(std::string_view text) {
  std::vector<Shape> shapes;
  for (const std::string_view part : split(text, ',')) {
    const auto extents = split(part, 'x');
    if (extents.size() != 1 && extents.size() != 3) {
      throw usage_error(fmt::format("--gemm-sizes: '{}' is neither a size such as 1024 nor MxNxK such as 128x4096x768",
                                    printable(part)));
    }
    std::vector<std::int64_t> numbers;
    for (const std::string_view extent : extents) {
      numbers.push_back(parse_integer(extent, "--gemm-sizes", 1, largest_extent));
    }
    numbers.resize(3, numbers.front());
    const Shape shape{numbers[0], numbers[1], numbers[2]};
    for (const Shape& other : shapes) {
      if (other.m == shape.m && other.n == shape.n && other.k == shape.k) {
        throw usage_error(fmt::format("--gemm-sizes: '{}' is named twice", printable(part)));
      }
    }
    shapes.push_back(shape);
  }
  return shapes;
}

std::vector<Product> products_of(const std::vector<Shape>& shapes, const std::vector<DataType>& types) {
  std::vector<Product> products;
  for (const DataType type : types) {
    for (const Shape& shape : shapes) {
      for (const WeightLayout layout : layouts_of(type)) products.push_back({type, shape, layout, shape.m});
    }
  }
  return products;
}

std::vector<Product> products_of(Profile profile, const std::vector<DataType>& types) {
  std::vector<Product> products;
  const bool thorough = profile != Profile::quick;
  const auto add_square = [&](DataType type, std::int64_t size, const std::vector<WeightLayout>& layouts) {
    for (const WeightLayout layout : layouts) products.push_back({type, {size, size, size}, layout, size});
  };
  const auto add_layers = [&](const auto& extents) {
    for (const std::int64_t m : {prompt_tokens, std::int64_t{1}}) {
      for (const auto& [k, n] : extents) {
        products.push_back({DataType::bf16, {m, n, k}, WeightLayout::packed, prompt_tokens});
      }
    }
  };
  for (const DataType type : types) {
    add_square(type, 512, layouts_of(type));
    add_square(type, 1024, layouts_of(type));
    // Two minutes are little: the slow types get fewer of the large squares.
    if (thorough || type == DataType::bf16 || type == DataType::i8) {
      add_square(type, 2048, layouts_of(type));
    } else if (type == DataType::f32) {
      add_square(type, 2048, {WeightLayout::packed});
    }
    if (thorough) add_square(type, 4096, layouts_of(type));
    // Multiples of nothing that a kernel is blocked by.
    products.push_back({type, {127, 1000, 333}, WeightLayout::plain, 127});
    if (type == DataType::bf16) {
      add_layers(layer_extents(768, 12, 4, 64, 2048, 32000));                    // llama-100m
      if (thorough) add_layers(layer_extents(4096, 32, 8, 128, 14336, 128256));  // llama-3-8b
    }
  }
  return products;
}

}  // namespace rackproof::gemm
