// Causal grouped-query attention over a paged cache, for a prompt and for single steps alike. One block: up to 8 rows
// (a row is a query position and one of the heads that share a key head) against all pages that any of them may see,
// with the softmax carried along from page to page (Milakov and Gimelshein, Online normalizer calculation for softmax,
// 2018), so that scratch does not grow with the context.
//
// Where that makes too few blocks, the pages of a tile are split over several, and their sums put together afterwards
// (Dao et al., Flash-Decoding for long-context inference, 2023).
#pragma once

#include "common/backends/kernels/arithmetic.hpp"
#include "common/backends/token_kernels.hpp"

namespace rackproof::kernels::RACKPROOF_ISA {

constexpr int attention_rows = 8;
constexpr std::int64_t attention_most_splits = 256;

/// Floats that a block of a split attention leaves for a row: its sum over each dimension, weighted by
/// exp(score - largest), then the largest score, then the total of the weights.
RACKPROOF_KERNEL constexpr std::int64_t partial_floats(std::int64_t head_dim) { return head_dim + 2; }

template <typename Element>
struct AttentionCombine;

template <typename Element>
struct Attention {
  AttentionArgs args;
  std::int64_t splits = 1;
  float* partial = nullptr;  ///< [tiles in all, splits, attention_rows, partial_floats]; for splits > 1

  /// Floats of scratch that a block needs.
  RACKPROOF_KERNEL static constexpr std::int64_t scratch(std::int64_t head_dim) {
    return attention_rows * (2 * head_dim + kv_page + 3);
  }
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t group() const { return args.heads / args.cache.kv_heads; }
  /// Of one key head.
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t tiles() const { return ceil_div(args.length * group(), attention_rows); }
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t all_tiles() const {
    return args.cache.batch * args.cache.kv_heads * tiles();
  }
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t blocks() const { return all_tiles() * splits; }
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t work() const {
    const std::int64_t rows = smaller(args.length * group(), attention_rows);
    return rows * (args.start + ceil_div(args.length, 2)) * (4 * args.cache.head_dim + 20) / splits;
  }
  /// One warp, whose lanes take two positions or dimensions each: a page has no work for more, and blocks that need no
  /// barrier between warps hide each other's waiting for memory.
  static constexpr std::int64_t most_lanes = 32;
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t lanes() const { return most_lanes; }

  /// How many splits there should be where `at_once` blocks run at the same time: as many as make no more blocks than
  /// that, of at least two pages each, because every split has its sums written and read again.
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t splits_for(std::int64_t at_once) const {
    const std::int64_t pages = ceil_div(args.start + args.length, kv_page);
    const std::int64_t most = smaller(smaller(at_once / all_tiles(), pages / 2), attention_most_splits);
    return most < 2 ? 1 : most;
  }

  template <typename Team>
  RACKPROOF_KERNEL void operator()(const Team& team, std::int64_t block, float* scratch) const {
    // The last tiles see most positions: first, so that threads end together.
    const std::int64_t unsplit = block / splits;
    const std::int64_t tile = tiles() - 1 - unsplit / (args.cache.batch * args.cache.kv_heads);
    const std::int64_t head = unsplit % (args.cache.batch * args.cache.kv_heads);
    const std::int64_t first = tile * attention_rows;
    // The number of rows is known to the compiler, so that their sums stay in registers.
    switch (smaller(args.length * group() - first, attention_rows)) {
      case 1:
        return run<1>(team, head, first, block, scratch);
      case 2:
        return run<2>(team, head, first, block, scratch);
      case 3:
        return run<3>(team, head, first, block, scratch);
      case 4:
        return run<4>(team, head, first, block, scratch);
      case 5:
        return run<5>(team, head, first, block, scratch);
      case 6:
        return run<6>(team, head, first, block, scratch);
      case 7:
        return run<7>(team, head, first, block, scratch);
      default:
        return run<8>(team, head, first, block, scratch);
    }
  }

 private:
  /// Row r of the block: position start + (first + r) / group, head (first + r) % group of the group.
  template <int rows, typename Team>
  RACKPROOF_KERNEL_CALL void run(const Team& team, std::int64_t head, std::int64_t first, std::int64_t block,
                                 float* scratch) const {
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

    const std::int64_t positions = args.start + (first + rows - 1) / group_size + 1;
    const std::int64_t page_elements = head_dim * kv_page;
    const std::int64_t first_page = head * args.cache.pages;
    const std::int64_t pages = ceil_div(positions, kv_page);
    const std::int64_t split = block % splits;
    const std::int64_t end = (split + 1) * pages / splits;
    for (std::int64_t page = split * pages / splits; page < end; ++page) {
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

    if (splits > 1) {
      const std::int64_t floats = partial_floats(head_dim);
      float* to = partial + block * attention_rows * floats;
      for (int r = 0; r < rows; ++r) {
        const float* sum = sums + r * head_dim;
        float* row = to + r * floats;
        team.for_each(head_dim, [=](std::int64_t d) { row[d] = sum[d]; });
        if (team.lane() == 0) {
          row[head_dim] = largest[r];
          row[head_dim + 1] = total[r];
        }
      }
      return;
    }
    for (int r = 0; r < rows; ++r) {
      const float scale = 1.0F / total[r];
      const float* sum = sums + r * head_dim;
      Element* output = output_row(head, first + r);
      team.for_each(head_dim, [=](std::int64_t d) { store(sum[d] * scale, output[d]); });
    }
  }

  friend struct AttentionCombine<Element>;
  /// Row `row` of the tiles of a key head of a sequence.
  [[nodiscard]] RACKPROOF_KERNEL Element* output_row(std::int64_t head, std::int64_t row) const {
    const std::int64_t sequence = head / args.cache.kv_heads;
    const std::int64_t kv_head = head % args.cache.kv_heads;
    return static_cast<Element*>(args.output) +
           ((sequence * args.length + row / group()) * args.heads + kv_head * group() + row % group()) *
               args.cache.head_dim;
  }
};

/// Puts the sums of the splits of an attention together. One block a row of its tiles.
template <typename Element>
struct AttentionCombine {
  Attention<Element> attention;

  RACKPROOF_KERNEL static constexpr std::int64_t scratch() { return attention_most_splits; }
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t blocks() const { return attention.all_tiles() * attention_rows; }
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t work() const {
    return attention.splits * 2 * attention.args.cache.head_dim;
  }
  static constexpr std::int64_t most_lanes = max_head_dim;
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t lanes() const { return attention.args.cache.head_dim; }

  template <typename Team>
  RACKPROOF_KERNEL void operator()(const Team& team, std::int64_t block, float* scratch) const {
    const AttentionArgs& args = attention.args;
    const std::int64_t unsplit = block / attention_rows;
    const std::int64_t tile = attention.tiles() - 1 - unsplit / (args.cache.batch * args.cache.kv_heads);
    const std::int64_t head = unsplit % (args.cache.batch * args.cache.kv_heads);
    const std::int64_t row = tile * attention_rows + block % attention_rows;
    if (row >= args.length * attention.group()) return;

    const std::int64_t head_dim = args.cache.head_dim;
    const std::int64_t splits = attention.splits;
    const std::int64_t stride = attention_rows * partial_floats(head_dim);  // from split to split
    const float* sums =
        attention.partial + unsplit * splits * stride + block % attention_rows * partial_floats(head_dim);
    const float* largest = sums + head_dim;
    const float* total = largest + 1;
    const float all = team.reduce_max(splits, [=](std::int64_t s) { return largest[s * stride]; });
    // A split that the row sees nothing of has a total of 0.
    team.for_each(splits, [=](std::int64_t s) { scratch[s] = exponential(largest[s * stride] - all); });
    const float scale = 1.0F / team.reduce_sum(splits, [=](std::int64_t s) { return scratch[s] * total[s * stride]; });
    Element* output = attention.output_row(head, row);
    team.for_each(head_dim, [=](std::int64_t d) {
      float sum = 0.0F;
      for (std::int64_t s = 0; s < splits; ++s) sum += scratch[s] * sums[s * stride + d];
      store(sum * scale, output[d]);
    });
  }
};

}  // namespace rackproof::kernels::RACKPROOF_ISA
