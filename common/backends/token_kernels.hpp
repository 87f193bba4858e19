// The kernels of the token engine that are no library call. A device implements run() for each of them by running the
// functor of the same name in common/backends/kernels/, so that all devices do the same arithmetic.
// All pointers are device memory. Matrices are row-major. Ordered like all work of the device (device.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "common/core/data_type.hpp"

namespace rackproof {

/// What kernels with scratch memory of fixed size accept; run() throws Error (internal) otherwise.
/// A head has a multiple of 16 elements, at most this many:
constexpr std::int64_t max_head_dim = 256;
constexpr std::int64_t max_candidates = 1024;

/// Positions in a page of the key and value cache.
constexpr std::int64_t kv_page = 64;

/// Keys and values of one layer, in `type` (f32 or bf16). A page of keys has the position as its fastest index, so
/// that lanes which each take a position read neighbours; a page of values has the dimension there.
/// What was not written yet must be finite (fill with zeros first).
/// keys[batch][kv_heads][pages][head_dim][kv_page], values[batch][kv_heads][pages][kv_page][head_dim].
struct KeyValueCache {
  void* keys = nullptr;
  void* values = nullptr;
  DataType type = DataType::f32;
  std::int64_t batch = 0;
  std::int64_t kv_heads = 0;
  std::int64_t pages = 0;
  std::int64_t head_dim = 0;
};

/// output[i, :] = table[tokens[i] - first_row, :], or zeros where the table (a shard of the vocabulary) lacks the row.
struct EmbeddingArgs {
  const std::int32_t* tokens = nullptr;  ///< [count]
  std::int64_t count = 0;
  const void* table = nullptr;  ///< [rows, hidden] of `type`
  DataType type = DataType::f32;
  std::int64_t rows = 0;
  std::int64_t first_row = 0;
  std::int64_t hidden = 0;
  float* output = nullptr;  ///< [count, hidden]
};

/// For i in [0, count), r = i x row_stride: residual[r, :] += delta[r, :] (where there is a delta), then
/// output[i, :] = residual[r, :] x weight / sqrt(mean(residual[r, :]^2) + epsilon)
/// (RMSNorm: Zhang and Sennrich, NeurIPS 2019).
struct ResidualNormArgs {
  float* residual = nullptr;      ///< [count x row_stride, hidden]
  const float* delta = nullptr;   ///< as residual, or null
  const float* weight = nullptr;  ///< [hidden]
  void* output = nullptr;         ///< [count, hidden] of `output_type`
  DataType output_type = DataType::f32;
  std::int64_t count = 0;
  std::int64_t row_stride = 1;
  std::int64_t hidden = 0;
  float epsilon = 0.0F;
};

/// Turns queries and keys by their position and stores keys and values in the cache (RoPE: Su et al., RoFormer, 2021;
/// element i pairs with i + head_dim / 2). Queries are also scaled by 1 / sqrt(head_dim). Row b x length + t of qkv is
/// position start + t of sequence b.
struct RopeArgs {
  float* qkv = nullptr;              ///< [batch x length, (heads + 2 kv_heads) x head_dim]; the queries change
  const float* rotations = nullptr;  ///< [positions, 2, head_dim / 2]: cosines, then sines
  KeyValueCache cache;
  std::int64_t length = 0;
  std::int64_t start = 0;
  std::int64_t heads = 0;
};

/// Causal grouped-query attention (Ainslie et al., 2023) over the cache: row b x length + t of output, head h =
/// sum over p <= start + t of softmax_p(q . keys[p]) values[p], with the key head h / (heads / kv_heads).
struct AttentionArgs {
  const float* queries = nullptr;  ///< as RopeArgs left them: [batch x length, row_stride], the first heads x head_dim
  std::int64_t row_stride = 0;
  KeyValueCache cache;
  std::int64_t length = 0;
  std::int64_t start = 0;
  std::int64_t heads = 0;
  void* output = nullptr;  ///< [batch x length, heads x head_dim] of the cache's type
};

/// output[i, j] = silu(gate_up[i, j]) x gate_up[i, width + j], silu(x) = x / (1 + exp(-x))
/// (SwiGLU: Shazeer, GLU variants improve transformer, 2020).
struct SwigluArgs {
  const float* gate_up = nullptr;  ///< [count, 2 x width]
  void* output = nullptr;          ///< [count, width] of `output_type`
  DataType output_type = DataType::f32;
  std::int64_t count = 0;
  std::int64_t width = 0;
};

/// A token and its logit.
struct Candidate {
  float logit;
  std::int32_t token;
};

/// output[i, 0 .. candidates) = the largest logits of row i, largest first; of equal ones the smaller token first. NaN
/// counts as less than everything; what a row cannot fill is { -infinity, -1 }.
struct CandidatesArgs {
  const float* logits = nullptr;  ///< [count, width]
  std::int64_t count = 0;
  std::int64_t width = 0;
  std::int64_t first_token = 0;  ///< of column 0
  std::int64_t candidates = 1;   ///< 1 ... max_candidates
  Candidate* output = nullptr;   ///< [count, candidates]
};

class TokenKernels {
 public:
  TokenKernels() = default;
  TokenKernels(const TokenKernels&) = delete;
  TokenKernels& operator=(const TokenKernels&) = delete;
  virtual ~TokenKernels() = default;

  virtual void run(const EmbeddingArgs& args) = 0;
  virtual void run(const ResidualNormArgs& args) = 0;
  virtual void run(const RopeArgs& args) = 0;
  virtual void run(const AttentionArgs& args) = 0;
  virtual void run(const SwigluArgs& args) = 0;
  virtual void run(const CandidatesArgs& args) = 0;
  /// What runs them, for the record: "functors, avx512".
  [[nodiscard]] virtual std::string implementation() const = 0;
};

}  // namespace rackproof
