#include "suites/tokens/reference.hpp"

#include <algorithm>
#include <cmath>

namespace rackproof::tokens {
namespace {

using Vector = std::vector<double>;

/// y[j] = sum_i x[i] w[i, j]; w is [in, out].
Vector times(const Vector& x, const Vector& w, std::int64_t out) {
  Vector y(static_cast<std::size_t>(out), 0.0);
  for (std::size_t i = 0; i < x.size(); ++i) {
    for (std::size_t j = 0; j < y.size(); ++j) y[j] += x[i] * w[i * y.size() + j];
  }
  return y;
}

Vector normalised(const Vector& x, const Vector& weight, double epsilon) {
  double squares = 0.0;
  for (const double value : x) squares += value * value;
  const double scale = 1.0 / std::sqrt(squares / static_cast<double>(x.size()) + epsilon);
  Vector y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] * scale * weight[i];
  return y;
}

void add(Vector& x, const Vector& y) {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
}

/// Turns each pair (i, i + hd / 2) of each head by position / theta^(2 i / hd).
void turn(Vector& x, std::int64_t head_dim, std::int64_t position, double theta) {
  const auto size = static_cast<std::size_t>(head_dim);
  for (std::size_t head = 0; head < x.size(); head += size) {
    for (std::size_t i = 0; i < size / 2; ++i) {
      const double angle = static_cast<double>(position) *
                           std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
      const double low = x[head + i];
      const double high = x[head + i + size / 2];
      x[head + i] = low * std::cos(angle) - high * std::sin(angle);
      x[head + i + size / 2] = high * std::cos(angle) + low * std::sin(angle);
    }
  }
}

}  // namespace

Reference::Reference(const WeightSource& source, DataType type)
    : shape_(source.shape()),
      embedding_(source.whole(Tensor::embedding, 0, type)),
      head_(source.whole(Tensor::head, 0, type)) {
  const auto norm = [&](Tensor tensor, std::int64_t layer) {
    const std::vector<float> values = source.norm(tensor, layer);
    return Matrix(values.begin(), values.end());
  };
  final_norm_ = norm(Tensor::final_norm, 0);
  for (std::int64_t i = 0; i < shape_.layers; ++i) {
    layers_.push_back(
        {norm(Tensor::attention_norm, i), source.whole(Tensor::query, i, type), source.whole(Tensor::key, i, type),
         source.whole(Tensor::value, i, type), source.whole(Tensor::output, i, type), norm(Tensor::mlp_norm, i),
         source.whole(Tensor::gate, i, type), source.whole(Tensor::up, i, type), source.whole(Tensor::down, i, type)});
  }
}

double Reference::work(const ModelShape& shape, std::int64_t tokens) {
  const auto count = static_cast<double>(tokens);
  return count * (shape.layer_parameters() + shape.head_parameters()) +
         count * count * static_cast<double>(shape.layers * shape.heads * shape.head_dim);
}

std::vector<double> Reference::logits(std::span<const std::int32_t> tokens) const {
  const std::int64_t head_dim = shape_.head_dim;
  const auto size = static_cast<std::size_t>(head_dim);
  const auto group = static_cast<std::size_t>(shape_.heads / shape_.kv_heads);

  std::vector<Vector> residual;
  for (const std::int32_t token : tokens) {
    const auto row = embedding_.begin() + static_cast<std::ptrdiff_t>(token) * shape_.hidden;
    residual.emplace_back(row, row + shape_.hidden);
  }
  for (const Layer& layer : layers_) {
    std::vector<Vector> keys;
    std::vector<Vector> values;
    for (std::size_t t = 0; t < tokens.size(); ++t) {
      const Vector x = normalised(residual[t], layer.attention_norm, shape_.norm_epsilon);
      Vector query = times(x, layer.query, shape_.heads * head_dim);
      Vector key = times(x, layer.key, shape_.kv_heads * head_dim);
      turn(query, head_dim, static_cast<std::int64_t>(t), shape_.rope_theta);
      turn(key, head_dim, static_cast<std::int64_t>(t), shape_.rope_theta);
      keys.push_back(std::move(key));
      values.push_back(times(x, layer.value, shape_.kv_heads * head_dim));

      Vector attended(query.size(), 0.0);
      for (std::size_t head = 0; head < static_cast<std::size_t>(shape_.heads); ++head) {
        const std::size_t kv = head / group * size;
        Vector weights(t + 1);
        for (std::size_t p = 0; p <= t; ++p) {
          double score = 0.0;
          for (std::size_t d = 0; d < size; ++d) score += query[head * size + d] * keys[p][kv + d];
          weights[p] = score / std::sqrt(static_cast<double>(head_dim));
        }
        const double largest = *std::max_element(weights.begin(), weights.end());
        double total = 0.0;
        for (double& weight : weights) total += weight = std::exp(weight - largest);
        for (std::size_t p = 0; p <= t; ++p) {
          for (std::size_t d = 0; d < size; ++d) attended[head * size + d] += weights[p] / total * values[p][kv + d];
        }
      }
      add(residual[t], times(attended, layer.output, shape_.hidden));

      const Vector y = normalised(residual[t], layer.mlp_norm, shape_.norm_epsilon);
      Vector gate = times(y, layer.gate, shape_.ffn);
      const Vector up = times(y, layer.up, shape_.ffn);
      for (std::size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1.0 + std::exp(-gate[i])) * up[i];
      add(residual[t], times(gate, layer.down, shape_.hidden));
    }
  }
  std::vector<double> logits;
  for (const Vector& row : residual) {
    const Vector x = normalised(row, final_norm_, shape_.norm_epsilon);
    for (std::int64_t token = 0; token < shape_.vocabulary; ++token) {
      double logit = 0.0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        logit += x[i] * head_[static_cast<std::size_t>(token * shape_.hidden) + i];
      }
      logits.push_back(logit);
    }
  }
  return logits;
}

}  // namespace rackproof::tokens
