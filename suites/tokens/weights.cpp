#include "suites/tokens/weights.hpp"

#include <algorithm>
#include <cmath>
#include <thread>

#include "common/core/error.hpp"
#include "common/core/random.hpp"

namespace rackproof::tokens {
namespace {

constexpr std::uint64_t tensors_per_layer = 16;
constexpr std::uint64_t prompt_purpose = 1ULL << 40U;

/// action(first, last) on parts of [0, count), each in a thread of its own.
template <typename Action>
void in_parts(std::int64_t count, int threads, const Action& action) {
  const std::int64_t parts = std::clamp<std::int64_t>(threads, 1, std::max<std::int64_t>(count, 1));
  std::vector<std::jthread> workers;
  for (std::int64_t part = 1; part < parts; ++part) {
    workers.emplace_back([&, part] { action(count * part / parts, count * (part + 1) / parts); });
  }
  action(std::int64_t{0}, count / parts);
}

}  // namespace

Extent extent_of(const ModelShape& shape, Tensor tensor) {
  const std::int64_t queries = shape.heads * shape.head_dim;
  const std::int64_t keys = shape.kv_heads * shape.head_dim;
  switch (tensor) {
    case Tensor::embedding:
    case Tensor::head:
      return {shape.vocabulary, shape.hidden};
    case Tensor::query:
      return {shape.hidden, queries};
    case Tensor::key:
    case Tensor::value:
      return {shape.hidden, keys};
    case Tensor::output:
      return {queries, shape.hidden};
    case Tensor::gate:
    case Tensor::up:
      return {shape.hidden, shape.ffn};
    case Tensor::down:
      return {shape.ffn, shape.hidden};
    case Tensor::final_norm:
    case Tensor::attention_norm:
    case Tensor::mlp_norm:
      break;
  }
  return {1, shape.hidden};
}

std::uint64_t WeightSource::stream(Tensor tensor, std::int64_t layer) const {
  if (tensor == Tensor::head && shape_.tied) tensor = Tensor::embedding;
  return random_stream(seed_,
                       static_cast<std::uint64_t>(layer) * tensors_per_layer + static_cast<std::uint64_t>(tensor));
}

float WeightSource::scale(Tensor tensor) const {
  const bool by_columns = tensor == Tensor::embedding || tensor == Tensor::head;
  const Extent extent = extent_of(shape_, tensor);
  double scale = 1.0 / std::sqrt(static_cast<double>(by_columns ? extent.columns : extent.rows));
  if (tensor == Tensor::output || tensor == Tensor::down) scale /= std::sqrt(2.0 * static_cast<double>(shape_.layers));
  return static_cast<float>(scale);
}

void WeightSource::fill(const Block& block, DataType type, void* to, std::int64_t stride, int threads) const {
  const std::uint64_t numbers = stream(block.tensor, block.layer);
  const float deviation = scale(block.tensor);
  const std::int64_t columns = extent_of(shape_, block.tensor).columns;
  const auto rows = [&](auto* typed) {
    in_parts(block.rows, threads, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t row = first; row < last; ++row) {
        const std::int64_t index = (block.first_row + row) * columns + block.first_column;
        fill_normal(std::span(typed + row * stride, static_cast<std::size_t>(block.columns)), numbers,
                    static_cast<std::uint64_t>(index), deviation);
      }
    });
  };
  if (type == DataType::f32) {
    rows(static_cast<float*>(to));
  } else if (type == DataType::bf16) {
    rows(static_cast<bf16_bits*>(to));
  } else {
    throw Error(ExitCode::internal, "tokens", 0, "", "weights exist in f32 and bf16");
  }
}

std::vector<float> WeightSource::norm(Tensor tensor, std::int64_t layer) const {
  std::vector<float> values(static_cast<std::size_t>(shape_.hidden));
  fill_normal(std::span(values), stream(tensor, layer), 0, 0.1F);
  for (float& value : values) value += 1.0F;
  return values;
}

std::vector<double> WeightSource::whole(Tensor tensor, std::int64_t layer, DataType type) const {
  const Extent extent = extent_of(shape_, tensor);
  const auto size = static_cast<std::size_t>(extent.rows * extent.columns);
  const Block all{tensor, layer, 0, extent.rows, 0, extent.columns};
  if (type == DataType::bf16) {
    std::vector<bf16_bits> values(size);
    fill(all, type, values.data(), extent.columns, 1);
    std::vector<double> result(size);
    std::transform(values.begin(), values.end(), result.begin(), [](bf16_bits bits) { return from_bf16(bits); });
    return result;
  }
  std::vector<float> values(size);
  fill(all, type, values.data(), extent.columns, 1);
  return {values.begin(), values.end()};
}

std::vector<std::int32_t> make_prompt(const ModelShape& shape, std::uint64_t seed, std::int64_t sequence,
                                      std::int64_t length) {
  const std::uint64_t numbers = random_stream(seed, prompt_purpose + static_cast<std::uint64_t>(sequence));
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(length));
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<std::int32_t>(random_bits(numbers, i) % static_cast<std::uint64_t>(shape.vocabulary));
  }
  return tokens;
}

}  // namespace rackproof::tokens
