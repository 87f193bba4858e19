// Causal grouped-query attention over a paged cache, for a prompt and for single steps alike. One block: up to 8 rows
// (a row is a query position and one of the heads that share a key head) against all pages that any of them may see,
// with the softmax carried along from page to page (Milakov and Gimelshein, Online normalizer calculation for softmax,
// 2018), so that scratch does not grow with the context.
#pragma once

#include "common/backends/kernels/arithmetic.hpp"
#include "common/backends/token_kernels.hpp"

namespace rackproof::kernels::RACKPROOF_ISA {

constexpr int attention_rows = 8;

template <typename Element>
struct Attention {
  AttentionArgs args;

  /// Floats of scratch that a block needs.
  static constexpr std::int64_t scratch(std::int64_t head_dim) { return attention_rows * (2 * head_dim + kv_page + 3); }
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t group() const { return args.heads / args.cache.kv_heads; }
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t tiles() const { return ceil_div(args.length * group(), attention_rows); }
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t blocks() const {
    return args.cache.batch * args.cache.kv_heads * tiles();
  }
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t work() const {
    const std::int64_t rows = smaller(args.length * group(), attention_rows);
    return rows * (args.start + ceil_div(args.length, 2)) * (4 * args.cache.head_dim + 20);
  }

  template <typename Team>
  RACKPROOF_KERNEL void operator()(const Team& team, std::int64_t block, float* scratch) const {
    // The last tiles see most positions: first, so that threads end together.
    const std::int64_t tile = tiles() - 1 - block / (args.cache.batch * args.cache.kv_heads);
    const std::int64_t head = block % (args.cache.batch * args.cache.kv_heads);
    const std::int64_t first = tile * attention_rows;
    // The number of rows is known to the compiler, so that their sums stay in registers.
    switch (smaller(args.length * group() - first, attention_rows)) {
      case 1:
        return run<1>(team, head, first, scratch);
      case 2:
        return run<2>(team, head, first, scratch);
      case 3:
        return run<3>(team, head, first, scratch);
      case 4:
        return run<4>(team, head, first, scratch);
      case 5:
        return run<5>(team, head, first, scratch);
      case 6:
        return run<6>(team, head, first, scratch);
      case 7:
        return run<7>(team, head, first, scratch);
      default:
        return run<8>(team, head, first, scratch);
    }
  }

 private:
  /// Row r of the block: position start + (first + r) / group, head (first + r) % group of the group.
  template <int rows, typename Team>
  void run(const Team& team, std::int64_t head, std::int64_t first, float* scratch) const {
    const std::int64_t head_dim = args.cache.head_dim;
    const std::int64_t group_size = group();
    const std::int64_t sequence = head / args.cache.kv_heads;
    const std::int64_t kv_head = head % args.cache.kv_heads;
    float* queries = scratch;                   // [rows, head_dim]
    float* sums = queries + rows * head_dim;    // [rows, head_dim], weighted by exp(score - largest)
    float* weights = sums + rows * head_dim;    // [rows, kv_page]
    float* largest = weights + rows * kv_page;  // [rows]
    float* total = largest + rows;              // [rows]
    float* rescale = total + rows;              // [rows]

    for (int r = 0; r < rows; ++r) {
      const float* query = args.queries + (sequence * args.length + (first + r) / group_size) * args.row_stride +
                           (kv_head * group_size + (first + r) % group_size) * head_dim;
      float* query_copy = queries + r * head_dim;
      float* sum = sums + r * head_dim;
      team.for_each(head_dim, [=](std::int64_t d) {
        query_copy[d] = query[d];
        sum[d] = 0.0F;
      });
    }
    if (team.lane() == 0) {
      for (int r = 0; r < rows; ++r) {
        largest[r] = -3.0e38F;
        total[r] = 0.0F;
      }
    }
    team.barrier();

    const std::int64_t positions = args.start + (first + rows - 1) / group_size + 1;
    const std::int64_t page_elements = head_dim * kv_page;
    const std::int64_t first_page = head * args.cache.pages;
    for (std::int64_t page = 0; page * kv_page < positions; ++page) {
      const Element* keys = static_cast<const Element*>(args.cache.keys) + (first_page + page) * page_elements;
      const Element* values = static_cast<const Element*>(args.cache.values) + (first_page + page) * page_elements;
      const std::int64_t used = smaller(kv_page, positions - page * kv_page);

      // All of the page, whatever is used of it: a length that the compiler knows; the rest is masked below.
      team.for_each_wide(kv_page, [=](std::int64_t p) {
        typename Team::Wide scores[rows] = {};
        for (std::int64_t d = 0; d < head_dim; ++d) {
          const auto key = Team::load_wide(keys + d * kv_page + p);
          for (int r = 0; r < rows; ++r) scores[r] += queries[r * head_dim + d] * key;
        }
        for (int r = 0; r < rows; ++r) Team::store_wide(scores[r], weights + r * kv_page + p);
      });
      for (int r = 0; r < rows; ++r) {
        float* row = weights + r * kv_page;
        // Positions of this page that the row may see: causal.
        const std::int64_t limit = args.start + (first + r) / group_size + 1 - page * kv_page;
        const std::int64_t visible = limit < 0 ? 0 : smaller(limit, used);
        const float before = largest[r];
        const float now =
            larger(before, team.reduce_max(kv_page, [=](std::int64_t p) { return p < visible ? row[p] : -3.4e38F; }));
        team.for_each(kv_page, [=](std::int64_t p) { row[p] = p < visible ? exponential(row[p] - now) : 0.0F; });
        const float page_total = team.reduce_sum(kv_page, [=](std::int64_t p) { return row[p]; });
        if (team.lane() == 0) {
          rescale[r] = exponential(before - now);
          largest[r] = now;
          total[r] = total[r] * rescale[r] + page_total;
        }
      }
      team.barrier();
      team.for_each_wide(head_dim, [=](std::int64_t d) {
        typename Team::Wide sum[rows];
        for (int r = 0; r < rows; ++r) sum[r] = Team::load_wide(sums + r * head_dim + d) * rescale[r];
        for (std::int64_t p = 0; p < used; ++p) {
          const auto value = Team::load_wide(values + p * head_dim + d);
          for (int r = 0; r < rows; ++r) sum[r] += weights[r * kv_page + p] * value;
        }
        for (int r = 0; r < rows; ++r) Team::store_wide(sum[r], sums + r * head_dim + d);
      });
    }

    for (int r = 0; r < rows; ++r) {
      const float scale = 1.0F / total[r];
      const float* sum = sums + r * head_dim;
      Element* output =
          static_cast<Element*>(args.output) + ((sequence * args.length + (first + r) / group_size) * args.heads +
                                                kv_head * group_size + (first + r) % group_size) *
                                                   head_dim;
      team.for_each(head_dim, [=](std::int64_t d) { store(sum[d] * scale, output[d]); });
    }
  }
};

}  // namespace rackproof::kernels::RACKPROOF_ISA
