// RoPE and the write into the key and value cache. One block a row and head: queries, then keys, then values.
#pragma once

#include "common/backends/kernels/arithmetic.hpp"
#include "common/backends/token_kernels.hpp"

namespace rackproof::kernels::RACKPROOF_ISA {

template <typename Element>
struct Rope {
  RopeArgs args;

  [[nodiscard]] RACKPROOF_KERNEL std::int64_t heads() const { return args.heads + 2 * args.cache.kv_heads; }
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t blocks() const { return args.cache.batch * args.length * heads(); }
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t work() const { return 3 * args.cache.head_dim; }
  static constexpr std::int64_t most_lanes = max_head_dim / 2;
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t lanes() const { return args.cache.head_dim / 2; }

  template <typename Team>
  RACKPROOF_KERNEL void operator()(const Team& team, std::int64_t block, float* /*scratch*/) const {
    const KeyValueCache& cache = args.cache;
    const std::int64_t head_dim = cache.head_dim;
    const std::int64_t half = head_dim / 2;
    const std::int64_t row = block / heads();
    const std::int64_t head = block % heads();
    const std::int64_t sequence = row / args.length;
    const std::int64_t position = args.start + row % args.length;
    float* input = args.qkv + (row * heads() + head) * head_dim;
    const float* cosine = args.rotations + position * head_dim;
    const float* sine = cosine + half;

    if (head < args.heads) {
      const float scale = 1.0F / __builtin_sqrtf(static_cast<float>(head_dim));
      team.for_each(half, [=](std::int64_t i) {
        const float low = input[i];
        const float high = input[half + i];
        input[i] = (low * cosine[i] - high * sine[i]) * scale;
        input[half + i] = (high * cosine[i] + low * sine[i]) * scale;
      });
      return;
    }
    const bool is_key = head < args.heads + cache.kv_heads;
    const std::int64_t kv_head = head - args.heads - (is_key ? 0 : cache.kv_heads);
    const std::int64_t page = (sequence * cache.kv_heads + kv_head) * cache.pages + position / kv_page;
    const std::int64_t slot = position % kv_page;
    if (is_key) {
      Element* keys = static_cast<Element*>(cache.keys) + page * head_dim * kv_page + slot;
      team.for_each(half, [=](std::int64_t i) {
        const float low = input[i];
        const float high = input[half + i];
        store(low * cosine[i] - high * sine[i], keys[i * kv_page]);
        store(high * cosine[i] + low * sine[i], keys[(half + i) * kv_page]);
      });
    } else {
      Element* values = static_cast<Element*>(cache.values) + (page * kv_page + slot) * head_dim;
      team.for_each(head_dim, [=](std::int64_t i) { store(input[i], values[i]); });
    }
  }
};

}  // namespace rackproof::kernels::RACKPROOF_ISA
