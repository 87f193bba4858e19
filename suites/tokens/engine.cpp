#include "suites/tokens/engine.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>

#include "common/core/error.hpp"

namespace rackproof::tokens {
namespace {

std::size_t bytes_of(std::int64_t elements, DataType type) {
  return static_cast<std::size_t>(elements) * size_of(type);
}

}  // namespace

Engine::Engine(Device& device, Collective* group, const Setup& setup)
    : device_(&device),
      group_(group != nullptr && group->size() > 1 ? group : nullptr),
      setup_(setup),
      ranks_(group_ != nullptr ? group_->size() : 1),
      rank_(group_ != nullptr ? group_->rank() : 0),
      heads_(setup.shape.heads / ranks_),
      kv_heads_(setup.shape.kv_heads / ranks_),
      ffn_(setup.shape.ffn / ranks_),
      vocabulary_(setup.shape.vocabulary / ranks_) {
  if (group_ == nullptr) {
    build();
    return;
  }
  // Those who could would wait in the first collective for those who could not.
  agree(*group_, [this] { build(); });
}

void Engine::build() {
  const ModelShape& shape = setup_.shape;
  if (const std::string number = indivisible_by(shape, ranks_); !number.empty()) {
    throw Error(ExitCode::internal, "tokens", 0, "", "the ranks do not divide the model's " + number);
  }
  // cos and sin of position / theta^(2 i / hd), computed in f64: an f32 angle of a late position has lost its fraction.
  const std::int64_t half = shape.head_dim / 2;
  std::vector<float> rotations(static_cast<std::size_t>(setup_.capacity * shape.head_dim));
  for (std::int64_t position = 0; position < setup_.capacity; ++position) {
    float* row = rotations.data() + position * shape.head_dim;
    for (std::int64_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(position) *
                           std::pow(shape.rope_theta, -static_cast<double>(i) / static_cast<double>(half));
      row[i] = static_cast<float>(std::cos(angle));
      row[half + i] = static_cast<float>(std::sin(angle));
    }
  }
  rotations_ = upload(rotations);
  fill_weights();

  const std::int64_t pages = (setup_.capacity + kv_page - 1) / kv_page;
  const std::size_t cache = bytes_of(setup_.batch * kv_heads_ * pages * kv_page * shape.head_dim, setup_.type);
  for (Layer& layer : layers_) {
    layer.keys = zeros(cache);
    layer.values = zeros(cache);
  }
  // The head lies as its rows are, so that a tied one needs no second copy; it meets `batch` rows only.
  MatmulProblem head = product(setup_.batch, vocabulary_, shape.hidden);
  head.layout = WeightLayout::plain;
  head.transposed_weights = true;
  head.weights_for_m = 0;
  head_product_ = device_->matmul(head);
  last_ = device_->allocate(bytes_of(setup_.batch * shape.hidden, setup_.type));
  logits_ = device_->allocate(bytes_of(setup_.batch * vocabulary_, DataType::f32));
  reserve(setup_.packed_for);
  // Takes its memory now, so that a step takes none.
  (void)device_->token_kernels();
}

void Engine::fill_weights() {
  const ModelShape& shape = setup_.shape;
  const WeightSource source(shape, setup_.seed);
  const std::int64_t hidden = shape.hidden;
  const std::int64_t queries = heads_ * shape.head_dim;
  const std::int64_t keys = kv_heads_ * shape.head_dim;
  const std::int64_t widest = std::max({queries + 2 * keys, 2 * ffn_, vocabulary_}) * hidden;

  // Written on the host, then copied: a device's memory need not be the host's.
  std::vector<std::byte> staging(bytes_of(widest, setup_.type));
  const auto staged = device_->allocate(staging.size());
  using Block = WeightSource::Block;
  struct Part {
    Block block;
    std::int64_t column;  // where the part begins in the fused matrix
  };
  const auto write = [&](const std::vector<Part>& parts, std::int64_t columns) {
    for (const Part& part : parts) {
      source.fill(part.block, setup_.type, staging.data() + bytes_of(part.column, setup_.type), columns,
                  device_->threads());
    }
    return bytes_of(parts.front().block.rows * columns, setup_.type);
  };
  const auto pack = [&](Matmul& matmul, const std::vector<Part>& parts, std::int64_t columns) {
    const std::size_t bytes = write(parts, columns);
    device_->copy_to_device(staged->data(), staging.data(), bytes);
    auto packed = device_->allocate(matmul.weight_bytes());
    matmul.pack(staged->data(), packed->data());
    return packed;
  };
  const auto vocabulary_part = [&](Tensor tensor) {
    const std::size_t bytes = write({{{tensor, 0, rank_ * vocabulary_, vocabulary_, 0, hidden}, 0}}, hidden);
    auto buffer = device_->allocate(bytes);
    device_->copy_to_device(buffer->data(), staging.data(), bytes);
    return buffer;
  };

  embedding_ = vocabulary_part(Tensor::embedding);
  if (!shape.tied) head_ = vocabulary_part(Tensor::head);
  final_norm_ = upload(source.norm(Tensor::final_norm, 0));
  Products& plans = products(setup_.packed_for);
  layers_.resize(static_cast<std::size_t>(shape.layers));
  for (std::int64_t i = 0; i < shape.layers; ++i) {
    Layer& layer = layers_[static_cast<std::size_t>(i)];
    const auto columns_of = [&](Tensor tensor, std::int64_t columns) {
      return Block{tensor, i, 0, hidden, rank_ * columns, columns};
    };
    layer.attention_norm = upload(source.norm(Tensor::attention_norm, i));
    layer.qkv = pack(*plans.qkv,
                     {{columns_of(Tensor::query, queries), 0},
                      {columns_of(Tensor::key, keys), queries},
                      {columns_of(Tensor::value, keys), queries + keys}},
                     queries + 2 * keys);
    layer.output = pack(*plans.output, {{{Tensor::output, i, rank_ * queries, queries, 0, hidden}, 0}}, hidden);
    layer.mlp_norm = upload(source.norm(Tensor::mlp_norm, i));
    layer.gate_up =
        pack(*plans.gate_up, {{columns_of(Tensor::gate, ffn_), 0}, {columns_of(Tensor::up, ffn_), ffn_}}, 2 * ffn_);
    layer.down = pack(*plans.down, {{{Tensor::down, i, rank_ * ffn_, ffn_, 0, hidden}, 0}}, hidden);
  }
}

MatmulProblem Engine::product(std::int64_t rows, std::int64_t n, std::int64_t k) const {
  return {.m = rows,
          .n = n,
          .k = k,
          .input = setup_.type,
          .output = DataType::f32,
          .layout = WeightLayout::packed,
          .weights_for_m = setup_.packed_for};
}

Engine::Products& Engine::products(std::int64_t rows) {
  const auto found = products_.find(rows);
  if (found != products_.end()) return found->second;
  const ModelShape& shape = setup_.shape;
  const std::int64_t queries = heads_ * shape.head_dim;
  const std::int64_t keys = kv_heads_ * shape.head_dim;
  Products plans{device_->matmul(product(rows, queries + 2 * keys, shape.hidden)),
                 device_->matmul(product(rows, shape.hidden, queries)),
                 device_->matmul(product(rows, 2 * ffn_, shape.hidden)),
                 device_->matmul(product(rows, shape.hidden, ffn_))};
  return products_.emplace(rows, std::move(plans)).first->second;
}

void Engine::reserve(std::int64_t rows) {
  if (rows <= activations_.rows) return;
  const ModelShape& shape = setup_.shape;
  const std::int64_t queries = heads_ * shape.head_dim;
  const std::int64_t keys = kv_heads_ * shape.head_dim;
  recorded_.clear();  // the buffers in there are about to go
  activations_ = {};
  activations_.tokens = device_->allocate(bytes_of(rows, DataType::i32));
  activations_.residual = device_->allocate(bytes_of(rows * shape.hidden, DataType::f32));
  activations_.delta = device_->allocate(bytes_of(rows * shape.hidden, DataType::f32));
  activations_.normed = device_->allocate(bytes_of(rows * shape.hidden, setup_.type));
  activations_.qkv = device_->allocate(bytes_of(rows * (queries + 2 * keys), DataType::f32));
  activations_.attended = device_->allocate(bytes_of(rows * queries, setup_.type));
  activations_.gate_up = device_->allocate(bytes_of(rows * 2 * ffn_, DataType::f32));
  activations_.activated = device_->allocate(bytes_of(rows * ffn_, setup_.type));
  activations_.rows = rows;
}

std::unique_ptr<Buffer> Engine::upload(std::span<const float> values) {
  auto buffer = device_->allocate(values.size_bytes());
  device_->copy_to_device(buffer->data(), values.data(), values.size_bytes());
  return buffer;
}

std::unique_ptr<Buffer> Engine::zeros(std::size_t bytes) {
  auto buffer = device_->allocate(bytes);
  const std::vector<std::byte> zero(std::min(bytes, std::size_t{1} << 20U));
  for (std::size_t at = 0; at < bytes; at += zero.size()) {
    device_->copy_to_device(buffer->as<std::byte>() + at, zero.data(), std::min(zero.size(), bytes - at));
  }
  return buffer;
}

void Engine::sum_over_ranks(Buffer& buffer, std::int64_t rows) {
  if (group_ == nullptr) return;
  group_->all_reduce(buffer.data(), buffer.data(), static_cast<std::size_t>(rows * setup_.shape.hidden), DataType::f32);
}

void Engine::forward(std::span<const std::int32_t> tokens, std::int64_t length, std::int64_t start) {
  reserve(setup_.batch * length);
  device_->copy_to_device(activations_.tokens->data(), tokens.data(), tokens.size_bytes());
  run(length, start);
}

void Engine::run(std::int64_t length, std::int64_t start) {
  const ModelShape& shape = setup_.shape;
  const std::int64_t rows = setup_.batch * length;
  const auto epsilon = static_cast<float>(shape.norm_epsilon);
  TokenKernels& kernels = device_->token_kernels();
  Products& plans = products(rows);
  Activations& at = activations_;

  kernels.run(EmbeddingArgs{.tokens = at.tokens->as<std::int32_t>(),
                            .count = rows,
                            .table = embedding_->data(),
                            .type = setup_.type,
                            .rows = vocabulary_,
                            .first_row = rank_ * vocabulary_,
                            .hidden = shape.hidden,
                            .output = at.residual->as<float>()});
  sum_over_ranks(*at.residual, rows);

  const float* delta = nullptr;  // what the layer before adds to the residual: added when it is next read
  for (Layer& layer : layers_) {
    const KeyValueCache cache{.keys = layer.keys->data(),
                              .values = layer.values->data(),
                              .type = setup_.type,
                              .batch = setup_.batch,
                              .kv_heads = kv_heads_,
                              .pages = (setup_.capacity + kv_page - 1) / kv_page,
                              .head_dim = shape.head_dim};
    ResidualNormArgs norm{.residual = at.residual->as<float>(),
                          .delta = delta,
                          .weight = layer.attention_norm->as<float>(),
                          .output = at.normed->data(),
                          .output_type = setup_.type,
                          .count = rows,
                          .row_stride = 1,
                          .hidden = shape.hidden,
                          .epsilon = epsilon};
    kernels.run(norm);
    plans.qkv->run(at.normed->data(), layer.qkv->data(), at.qkv->data());
    kernels.run(RopeArgs{.qkv = at.qkv->as<float>(),
                         .rotations = rotations_->as<float>(),
                         .cache = cache,
                         .length = length,
                         .start = start,
                         .heads = heads_});
    kernels.run(AttentionArgs{.queries = at.qkv->as<float>(),
                              .row_stride = (heads_ + 2 * kv_heads_) * shape.head_dim,
                              .cache = cache,
                              .length = length,
                              .start = start,
                              .heads = heads_,
                              .output = at.attended->data()});
    plans.output->run(at.attended->data(), layer.output->data(), at.delta->data());
    sum_over_ranks(*at.delta, rows);

    delta = at.delta->as<float>();
    norm.delta = delta;
    norm.weight = layer.mlp_norm->as<float>();
    kernels.run(norm);
    plans.gate_up->run(at.normed->data(), layer.gate_up->data(), at.gate_up->data());
    kernels.run(SwigluArgs{.gate_up = at.gate_up->as<float>(),
                           .output = at.activated->data(),
                           .output_type = setup_.type,
                           .count = rows,
                           .width = ffn_});
    plans.down->run(at.activated->data(), layer.down->data(), at.delta->data());
    sum_over_ranks(*at.delta, rows);
  }
  // Only the last position of each sequence goes through the head.
  const std::int64_t last = (length - 1) * shape.hidden;
  kernels.run(ResidualNormArgs{.residual = at.residual->as<float>() + last,
                               .delta = delta + last,
                               .weight = final_norm_->as<float>(),
                               .output = last_->data(),
                               .output_type = setup_.type,
                               .count = setup_.batch,
                               .row_stride = length,
                               .hidden = shape.hidden,
                               .epsilon = epsilon});
  head_product_->run(last_->data(), (shape.tied ? embedding_ : head_)->data(), logits_->data());
}

std::vector<Candidate> Engine::candidates(std::int64_t count) {
  find_candidates(count);
  return fetch_candidates(count);
}

void Engine::find_candidates(std::int64_t count) {
  reserve_candidates(count);
  run_candidates(count);
}

void Engine::reserve_candidates(std::int64_t count) {
  const std::size_t local = static_cast<std::size_t>(setup_.batch * count) * sizeof(Candidate);
  if (local_candidates_ != nullptr && local_candidates_->bytes() >= local) return;
  recorded_.clear();
  local_candidates_ = device_->allocate(local);
  all_candidates_ = device_->allocate(local * static_cast<std::size_t>(ranks_));
}

void Engine::run_candidates(std::int64_t count) {
  static_assert(sizeof(Candidate) == 2 * sizeof(std::int32_t));
  device_->token_kernels().run(CandidatesArgs{.logits = logits_->as<float>(),
                                              .count = setup_.batch,
                                              .width = vocabulary_,
                                              .first_token = rank_ * vocabulary_,
                                              .candidates = count,
                                              .output = local_candidates_->as<Candidate>()});
  if (group_ == nullptr) return;
  group_->all_gather(local_candidates_->data(), all_candidates_->data(),
                     static_cast<std::size_t>(setup_.batch * count) * 2, DataType::i32);
}

std::vector<Candidate> Engine::fetch_candidates(std::int64_t count) {
  std::vector<Candidate> all(static_cast<std::size_t>(ranks_ * setup_.batch * count));
  const Buffer& from = group_ != nullptr ? *all_candidates_ : *local_candidates_;
  device_->copy_to_host(all.data(), from.data(), all.size() * sizeof(Candidate));
  return all;
}

void Engine::advance(std::span<const std::int32_t> tokens, std::int64_t start, std::int64_t count) {
  const auto found = recorded_.find({start, count});
  if (found == recorded_.end()) {
    forward(tokens, 1, start);
    find_candidates(count);
    return;
  }
  device_->copy_to_device(activations_.tokens->data(), tokens.data(), tokens.size_bytes());
  found->second->replay();
}

void Engine::record_advance(std::int64_t start, std::int64_t count) {
  if (group_ != nullptr && !group_->can_be_recorded()) return;
  const auto work = [this, start, count] {
    run(1, start);
    run_candidates(count);
  };
  // Once for real before it is recorded: what libraries load or take at the first call cannot be recorded.
  reserve(setup_.batch);
  reserve_candidates(count);
  products(setup_.batch);
  if (recorded_.empty() && !device_->is_host()) {
    work();
    device_->synchronize();
  }
  recorded_[{start, count}] = device_->record(work);
}

std::vector<float> Engine::logits() {
  const std::size_t local = static_cast<std::size_t>(setup_.batch * vocabulary_);
  std::vector<float> parts(local * static_cast<std::size_t>(ranks_));
  if (group_ == nullptr) {
    device_->copy_to_host(parts.data(), logits_->data(), parts.size() * sizeof(float));
    return parts;
  }
  const auto gathered = device_->allocate(parts.size() * sizeof(float));
  group_->all_gather(logits_->data(), gathered->data(), local, DataType::f32);
  device_->copy_to_host(parts.data(), gathered->data(), parts.size() * sizeof(float));
  // [ranks, batch, part] to [batch, ranks, part].
  std::vector<float> all(parts.size());
  for (std::int64_t sequence = 0; sequence < setup_.batch; ++sequence) {
    for (int rank = 0; rank < ranks_; ++rank) {
      const float* part = parts.data() + (rank * setup_.batch + sequence) * vocabulary_;
      std::copy(part, part + vocabulary_, all.data() + (sequence * ranks_ + rank) * vocabulary_);
    }
  }
  return all;
}

}  // namespace rackproof::tokens
