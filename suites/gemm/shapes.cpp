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
constexpr std::int64_t gpu_prompt_tokens = 2048;

struct NamedOperand {
  std::string_view name;
  Operand operand;
};

constexpr std::array<NamedOperand, 10> operands_by_name{{{"f64", {DataType::f64, Scaling::none}},
                                                         {"f32", {DataType::f32, Scaling::none}},
                                                         {"tf32", {DataType::tf32, Scaling::none}},
                                                         {"f16", {DataType::f16, Scaling::none}},
                                                         {"bf16", {DataType::bf16, Scaling::none}},
                                                         {"f8", {DataType::f8e4m3, Scaling::tensor}},
                                                         {"f8-block", {DataType::f8e4m3, Scaling::block}},
                                                         {"mxf8", {DataType::f8e4m3, Scaling::mx}},
                                                         {"nvf4", {DataType::f4e2m1, Scaling::nv}},
                                                         {"i8", {DataType::i8, Scaling::none}}}};

/// Layouts that differ for a type: OpenBLAS takes f64 as it comes, and scaled operands have one layout.
std::vector<WeightLayout> layouts_of(const Operand& operand) {
  if (operand.type == DataType::f64) return {WeightLayout::plain};
  if (operand.scaling != Scaling::none) return {WeightLayout::packed};
  return {WeightLayout::plain, WeightLayout::packed};
}

/// Narrow types are multiplied with packed weights alone.
std::vector<WeightLayout> gpu_layouts_of(const Operand& operand) {
  if (operand.type == DataType::i8 || operand.scaling != Scaling::none) return {WeightLayout::packed};
  return {WeightLayout::plain, WeightLayout::packed};
}

Product product_of(const Operand& operand, const Shape& shape, WeightLayout layout, std::int64_t weights_for_m) {
  return {operand.type, shape, layout, weights_for_m, operand.scaling, false};
}

/// (k, n) of the five products of a layer and the head of a Llama: queries, keys and values together; the attention's
/// output; gate and up together; down; the head.
using LayerExtents = std::array<std::pair<std::int64_t, std::int64_t>, 5>;

LayerExtents layer_extents(std::int64_t hidden, std::int64_t heads, std::int64_t kv_heads, std::int64_t head_dim,
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

std::string_view name(const Operand& operand) {
  for (const NamedOperand& candidate : operands_by_name) {
    if (candidate.operand == operand) return candidate.name;
  }
  throw Error(ExitCode::internal, "gemm", 0, "",
              fmt::format("{} with scaling {} is not multiplied", name(operand.type), name(operand.scaling)));
}

Operand operand_of(const Product& product) { return {product.type, product.scaling}; }

std::string case_name(const Product& product) {
  return fmt::format("gemm/{}/m{}n{}k{}/{}{}", name(operand_of(product)), product.shape.m, product.shape.n,
                     product.shape.k, name(product.layout), product.tuned ? "/tuned" : "");
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

Operand parse_operand(std::string_view text) {
  std::string known;
  for (const NamedOperand& candidate : operands_by_name) {
    if (candidate.name == text) return candidate.operand;
    known += (known.empty() ? "" : ", ") + std::string(candidate.name);
  }
  throw usage_error(fmt::format("--gemm-types: '{}' is not multiplied; choose from {}", printable(text), known));
}

std::vector<Operand> default_operands(std::string_view device) {
  std::vector<Operand> operands;
  for (const NamedOperand& candidate : operands_by_name) {
    const DataType type = candidate.operand.type;
    const bool on_host =
        type == DataType::f64 || type == DataType::f32 || type == DataType::bf16 || type == DataType::i8;
    if (device != "host" || on_host) operands.push_back(candidate.operand);
  }
  return operands;
}

std::vector<Operand> parse_types(std::string_view text) {
  std::vector<Operand> operands;
  for (const std::string_view part : split(text, ',')) {
    const Operand operand = parse_operand(part);
    if (std::find(operands.begin(), operands.end(), operand) != operands.end()) {
      throw usage_error(fmt::format("--gemm-types: {} is named twice", name(operand)));
    }
    operands.push_back(operand);
  }
  return operands;
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

std::vector<Product> products_of(const std::vector<Shape>& shapes, const std::vector<Operand>& operands) {
  std::vector<Product> products;
  for (const Operand& operand : operands) {
    for (const Shape& shape : shapes) {
      for (const WeightLayout layout : layouts_of(operand)) {
        products.push_back(product_of(operand, shape, layout, shape.m));
      }
    }
  }
  return products;
}

std::vector<Product> products_of(Profile profile, const std::vector<Operand>& operands) {
  std::vector<Product> products;
  const bool thorough = profile != Profile::quick;
  const auto add_square = [&](const Operand& operand, std::int64_t size, const std::vector<WeightLayout>& layouts) {
    for (const WeightLayout layout : layouts) {
      products.push_back(product_of(operand, {size, size, size}, layout, size));
    }
  };
  const auto add_layers = [&](const auto& extents) {
    for (const std::int64_t m : {prompt_tokens, std::int64_t{1}}) {
      for (const auto& [k, n] : extents) {
        products.push_back(product_of({DataType::bf16}, {m, n, k}, WeightLayout::packed, prompt_tokens));
      }
    }
  };
  for (const Operand& operand : operands) {
    const DataType type = operand.type;
    add_square(operand, 512, layouts_of(operand));
    add_square(operand, 1024, layouts_of(operand));
    // Two minutes are little: the slow types get fewer of the large squares.
    if (thorough || type == DataType::bf16 || type == DataType::i8) {
      add_square(operand, 2048, layouts_of(operand));
    } else if (type == DataType::f32) {
      add_square(operand, 2048, {WeightLayout::packed});
    }
    if (thorough) add_square(operand, 4096, layouts_of(operand));
    // Multiples of nothing that a kernel is blocked by.
    products.push_back(product_of(operand, {127, 1000, 333}, layouts_of(operand).front(), 127));
    if (type == DataType::bf16) {
      add_layers(layer_extents(768, 12, 4, 64, 2048, 32000));                    // llama-100m
      if (thorough) add_layers(layer_extents(4096, 32, 8, 128, 14336, 128256));  // llama-3-8b
    }
  }
  return products;
}

std::vector<Product> gpu_products_of(Profile profile, const std::vector<Operand>& operands) {
  std::vector<Product> products;
  const bool thorough = profile != Profile::quick;
  const auto add = [&](const Operand& operand, const Shape& shape, const std::vector<WeightLayout>& layouts) {
    for (const WeightLayout layout : layouts) products.push_back(product_of(operand, shape, layout, shape.m));
  };
  const auto add_layers = [&](const Operand& operand, const LayerExtents& extents) {
    for (const std::int64_t m : {gpu_prompt_tokens, std::int64_t{1}}) {
      for (const auto& [k, n] : extents) {
        products.push_back(product_of(operand, {m, n, k}, WeightLayout::packed, gpu_prompt_tokens));
      }
    }
  };
  for (const Operand& operand : operands) {
    const auto layouts = gpu_layouts_of(operand);
    const std::vector<WeightLayout> best{WeightLayout::packed};
    // Two minutes are little, and checking takes most of them.
    add(operand, {2048, 2048, 2048}, best);
    add(operand, {4096, 4096, 4096}, layouts);
    add(operand, {8192, 8192, 8192}, thorough ? layouts : best);
    if (thorough) add(operand, {16384, 16384, 16384}, best);
    // Multiples of nothing that a kernel is blocked by; where rows must be of 16 bytes, of not more than that.
    const bool narrow = layouts.size() == 1;
    add(operand, narrow ? Shape{1996, 2000, 2016} : Shape{1999, 2001, 2003}, {layouts.front()});
    const bool for_models = operand.type == DataType::bf16 || (thorough && operand.scaling != Scaling::none);
    if (!for_models) continue;
    add_layers(operand, layer_extents(4096, 32, 8, 128, 14336, 128256));  // llama-3-8b
    // One of eight ranks of llama-3-70b (hidden 8192, 64 heads, 8 of keys and values, ffn 28672): heads, ffn and
    // vocabulary are shared out.
    constexpr std::int64_t ranks = 8;
    add_layers(operand, layer_extents(8192, 64 / ranks, 8 / ranks, 128, 28672 / ranks, 128256 / ranks));
  }
  return products;
}

}  // namespace rackproof::gemm
