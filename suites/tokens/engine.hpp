// A Llama-architecture decoder on one device, or on several that share each layer (tensor parallel).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "common/backends/collective.hpp"
#include "common/backends/device.hpp"
#include "suites/tokens/weights.hpp"

namespace rackproof::tokens {

/// Megatron's split (Shoeybi et al., 2019): queries, keys, values, gate and up by columns; output and down by rows,
/// with an all-reduce of [batch x length, hidden] f32 after each; embedding and head by vocabulary, with one more
/// all-reduce after the embedding. Matrix products take `type` and accumulate in f32; the residual stream is f32.
class Engine {
 public:
  struct Setup {
    ModelShape shape;
    DataType type = DataType::f32;
    std::uint64_t seed = 1;
    std::int64_t batch = 1;     ///< sequences that advance together
    std::int64_t capacity = 0;  ///< positions that the key and value cache holds
    /// Rows (batch x length) of the stretch that the packed weights are laid out for; other lengths take them too.
    std::int64_t packed_for = 1;
  };

  /// Collective over `group` (nullptr: this rank alone holds the whole model); both references must outlive the engine.
  /// Allocates and fills the weights. Throws Error on every rank of the group where one of them fails.
  Engine(Device& device, Collective* group, const Setup& setup);
  Engine(const Engine&) = delete;  // recordings know where it is
  Engine& operator=(const Engine&) = delete;
  ~Engine() = default;

  /// Collective. Runs tokens [batch, length] as positions [start, start + length) of their sequences, with what the
  /// cache holds of the positions before. Leaves the logits that follow the last position.
  void forward(std::span<const std::int32_t> tokens, std::int64_t length, std::int64_t start);

  /// Collective. The `count` largest logits of each rank's part of the vocabulary, [ranks, batch, count], the same on
  /// every rank; count <= max_candidates, parts smaller than that fill up with token -1.
  [[nodiscard]] std::vector<Candidate> candidates(std::int64_t count);
  /// Its two halves: what the device does, and the copy of what it found to the host.
  void find_candidates(std::int64_t count);
  [[nodiscard]] std::vector<Candidate> fetch_candidates(std::int64_t count);

  /// Collective. forward(tokens, 1, start), then find_candidates(count). Where record_advance() was called for the same
  /// start and count, by one start of what was recorded.
  void advance(std::span<const std::int32_t> tokens, std::int64_t start, std::int64_t count);

  /// Collective. Has the device record what advance() with this start and count asks of it, once the tokens are there.
  /// Does nothing where the group's collectives cannot be recorded. What the
  /// cache holds of position `start` on, and the logits, are undefined afterwards.
  void record_advance(std::int64_t start, std::int64_t count);

  /// Collective. All logits, [batch, vocabulary], the same on every rank.
  [[nodiscard]] std::vector<float> logits();

  [[nodiscard]] int ranks() const { return ranks_; }
  [[nodiscard]] const Setup& setup() const { return setup_; }

 private:
  struct Products {
    std::unique_ptr<Matmul> qkv, output, gate_up, down;
  };
  struct Layer {
    std::unique_ptr<Buffer> attention_norm, qkv, output, mlp_norm, gate_up, down;
    std::unique_ptr<Buffer> keys, values;
  };
  struct Activations {
    std::int64_t rows = 0;
    std::unique_ptr<Buffer> tokens, residual, delta, normed, qkv, attended, gate_up, activated;
  };

  void build();
  void fill_weights();
  void reserve(std::int64_t rows);
  Products& products(std::int64_t rows);
  [[nodiscard]] MatmulProblem product(std::int64_t rows, std::int64_t n, std::int64_t k) const;
  [[nodiscard]] std::unique_ptr<Buffer> upload(std::span<const float> values);
  [[nodiscard]] std::unique_ptr<Buffer> zeros(std::size_t bytes);
  void sum_over_ranks(Buffer& buffer, std::int64_t rows);
  void reserve_candidates(std::int64_t count);
  // Device work alone: no waiting, no memory taken, no copy from or to the host.
  void run(std::int64_t length, std::int64_t start);
  void run_candidates(std::int64_t count);

  Device* device_;
  Collective* group_;
  Setup setup_;
  int ranks_;
  int rank_;
  // This rank's part.
  std::int64_t heads_, kv_heads_, ffn_, vocabulary_;

  std::unique_ptr<Buffer> embedding_, head_, final_norm_, rotations_;  // head_: null where it is the embedding
  std::vector<Layer> layers_;
  std::map<std::int64_t, Products> products_;  // by rows
  std::unique_ptr<Matmul> head_product_;
  Activations activations_;
  std::unique_ptr<Buffer> last_, logits_, local_candidates_, all_candidates_;
  std::map<std::pair<std::int64_t, std::int64_t>, std::unique_ptr<Recording>> recorded_;  // by start and count
};

}  // namespace rackproof::tokens
