// Rows of the embedding table. One block a token.
#pragma once

#include "common/backends/kernels/arithmetic.hpp"
#include "common/backends/token_kernels.hpp"

namespace rackproof::kernels::RACKPROOF_ISA {

template <typename Element>
struct Embedding {
  EmbeddingArgs args;

  [[nodiscard]] RACKPROOF_KERNEL std::int64_t blocks() const { return args.count; }
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t work() const { return args.hidden; }
  static constexpr std::int64_t most_lanes = 1024;
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t lanes() const { return args.hidden; }

  template <typename Team>
  RACKPROOF_KERNEL void operator()(const Team& team, std::int64_t block, float* /*scratch*/) const {
    float* output = args.output + block * args.hidden;
    const std::int64_t row = args.tokens[block] - args.first_row;
    if (row < 0 || row >= args.rows) {
      team.for_each(args.hidden, [=](std::int64_t i) { output[i] = 0.0F; });
      return;
    }
    const Element* input = static_cast<const Element*>(args.table) + row * args.hidden;
    team.for_each(args.hidden, [=](std::int64_t i) { output[i] = load(input[i]); });
  }
};

}  // namespace rackproof::kernels::RACKPROOF_ISA
