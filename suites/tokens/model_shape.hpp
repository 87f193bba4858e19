// The shape of a Llama-architecture decoder, and what follows from it: parameters, operations, bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/core/data_type.hpp"

namespace rackproof::tokens {

struct ModelShape {
  std::string name;
  std::int64_t layers = 0;
  std::int64_t hidden = 0;
  std::int64_t heads = 0;     ///< of queries
  std::int64_t kv_heads = 0;  ///< of keys and of values; heads / kv_heads query heads share one
  std::int64_t head_dim = 0;
  std::int64_t ffn = 0;  ///< width of the gated feed-forward layer
  std::int64_t vocabulary = 0;
  bool tied = false;  ///< the head is the embedding table
  double rope_theta = 500000.0;
  double norm_epsilon = 1e-5;

  /// Weights of the matrix products of all layers: what each token is multiplied by, besides the head.
  [[nodiscard]] double layer_parameters() const;
  [[nodiscard]] double head_parameters() const;
  /// All that is trained: embedding, layers, norms, and the head where it is not the embedding.
  [[nodiscard]] double parameters() const;
  /// Bytes of keys and values that one token leaves in the cache: 2 L Hkv hd b.
  [[nodiscard]] double kv_bytes_per_token(DataType type) const;
};

/// The presets, smallest first.
[[nodiscard]] const std::vector<ModelShape>& preset_shapes();

/// A preset's name, or the path of a .toml file. Throws Error (usage) that lists the presets, or says what is wrong
/// with the file and where.
[[nodiscard]] ModelShape find_shape(const std::string& name_or_file);
/// Reads `text`, the content of `file`. Throws Error (usage).
[[nodiscard]] ModelShape parse_shape(const std::string& text, const std::string& file);

/// The number that `tp` ranks cannot share evenly ("8 key heads"), or empty.
[[nodiscard]] std::string indivisible_by(const ModelShape& shape, std::int64_t tp);

/// One launch of a phase on one replica.
struct Launch {
  DataType type = DataType::f32;
  std::int64_t tp = 1;
  std::int64_t batch = 1;
  std::int64_t capacity = 0;  ///< positions that the cache holds
  std::int64_t rows = 0;      ///< batch x the longest stretch of tokens that passes at once
};

/// Bytes that one rank needs at its worst moment, the filling of its weights.
struct Memory {
  double weights = 0.0;
  double cache = 0.0;
  double activations = 0.0;
  double staging = 0.0;  ///< the largest matrix, before it is packed
  [[nodiscard]] double total() const { return weights + cache + activations + staging; }
};
[[nodiscard]] Memory memory_needed(const ModelShape& shape, const Launch& launch);

/// Operations of a whole replica. A multiply and an add are two.
/// Prompt of P tokens, B sequences: B (2 N P + 2 V h + 2 L Hq hd P (P + 1)); N: layer parameters; the head runs for the
/// last position only; position t attends to t + 1 keys, with 2 hd for the score and 2 hd for the sum each.
[[nodiscard]] double prefill_flop(const ModelShape& shape, std::int64_t batch, double prompt);
/// One token of each sequence after `context` others: B (2 N + 2 V h + 4 L Hq hd (context + 1)).
[[nodiscard]] double decode_flop(const ModelShape& shape, std::int64_t batch, double context);
/// Bytes of weights that one step reads, once for the whole batch: (N + V h) b.
[[nodiscard]] double active_weight_bytes(const ModelShape& shape, DataType type);
/// Weights, and the keys and values of `context` + 1 positions of each sequence.
[[nodiscard]] double decode_bytes(const ModelShape& shape, DataType type, std::int64_t batch, double context);
/// Weights, and the keys and values written once and read once.
[[nodiscard]] double prefill_bytes(const ModelShape& shape, DataType type, std::int64_t batch, double prompt);

}  // namespace rackproof::tokens
