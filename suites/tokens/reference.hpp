// The model as its definition reads: one rank, fp64, one loop after the other. Slow, and the yardstick of the rest.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "suites/tokens/weights.hpp"

namespace rackproof::tokens {

class Reference {
 public:
  /// The model with the weights that `type` can hold; everything else is fp64.
  Reference(const WeightSource& source, DataType type);

  /// Logits [tokens.size(), vocabulary] of one sequence: row t follows token t.
  [[nodiscard]] std::vector<double> logits(std::span<const std::int32_t> tokens) const;

  /// Multiplications that logits() of so many tokens takes, about.
  [[nodiscard]] static double work(const ModelShape& shape, std::int64_t tokens);

 private:
  using Matrix = std::vector<double>;
  struct Layer {
    Matrix attention_norm, query, key, value, output, mlp_norm, gate, up, down;
  };

  ModelShape shape_;
  Matrix embedding_, head_, final_norm_;
  std::vector<Layer> layers_;
};

}  // namespace rackproof::tokens
