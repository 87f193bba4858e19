// Synthetic weights: seeded normals, the same numbers whatever the number of ranks that share them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/core/data_type.hpp"
#include "suites/tokens/model_shape.hpp"

namespace rackproof::tokens {

/// Matrices are [in, out], embedding and head [vocabulary, hidden], norms [1, hidden].
enum class Tensor : std::uint64_t {
  embedding,
  head,
  final_norm,
  attention_norm,
  query,
  key,
  value,
  output,
  mlp_norm,
  gate,
  up,
  down
};

struct Extent {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
};
[[nodiscard]] Extent extent_of(const ModelShape& shape, Tensor tensor);

/// Element (row, column) of a tensor depends on (seed, tensor, layer, row, column) alone.
/// Standard deviations keep every activation near 1, so that no type overflows and every layer matters: 1 / sqrt(in)
/// for matrices, output and down also by 1 / sqrt(2 L) because 2 L of them add up in the residual (Radford et al.,
/// GPT-2, 2019); 1 / sqrt(hidden) for embedding and head; norms are 1 + 0.1 N(0, 1). A head that is tied is the
/// embedding.
class WeightSource {
 public:
  WeightSource(const ModelShape& shape, std::uint64_t seed) : shape_(shape), seed_(seed) {}

  /// A block of a tensor in `type` (f32, bf16): rows [first_row, first_row + rows) and columns [first_column,
  /// first_column + columns) to `to`, whose rows are `stride` elements apart.
  struct Block {
    Tensor tensor = Tensor::embedding;
    std::int64_t layer = 0;
    std::int64_t first_row = 0;
    std::int64_t rows = 0;
    std::int64_t first_column = 0;
    std::int64_t columns = 0;
  };
  void fill(const Block& block, DataType type, void* to, std::int64_t stride, int threads) const;
  /// Norm weights, always f32.
  [[nodiscard]] std::vector<float> norm(Tensor tensor, std::int64_t layer) const;
  /// A whole tensor as the model of `type` has it, for the reference.
  [[nodiscard]] std::vector<double> whole(Tensor tensor, std::int64_t layer, DataType type) const;

  [[nodiscard]] const ModelShape& shape() const { return shape_; }

 private:
  [[nodiscard]] std::uint64_t stream(Tensor tensor, std::int64_t layer) const;
  [[nodiscard]] float scale(Tensor tensor) const;

  ModelShape shape_;
  std::uint64_t seed_;
};

/// The prompt of sequence `sequence`: seeded tokens, uniform over the vocabulary.
[[nodiscard]] std::vector<std::int32_t> make_prompt(const ModelShape& shape, std::uint64_t seed, std::int64_t sequence,
                                                    std::int64_t length);

}  // namespace rackproof::tokens
