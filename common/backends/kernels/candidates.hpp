// The largest logits of a row, in order. One block a row.
#pragma once

#include "common/backends/kernels/arithmetic.hpp"
#include "common/backends/token_kernels.hpp"

namespace rackproof::kernels::RACKPROOF_ISA {

constexpr std::int64_t candidate_chunks = 256;

/// A row is cut into chunks whose largest logits are kept, so that each further candidate costs one look at the chunks
/// and one at the elements of one chunk: O(width + candidates x (chunks + width / chunks)).
struct Candidates {
  CandidatesArgs args;

  static constexpr std::int64_t scratch() { return candidate_chunks + 2; }
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t blocks() const { return args.count; }
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t work() const {
    return 2 * args.width + args.candidates * (candidate_chunks + args.width / candidate_chunks);
  }

  template <typename Team>
  RACKPROOF_KERNEL void operator()(const Team& team, std::int64_t block, float* scratch) const {
    const float none = -__builtin_inff();
    const float* logits = args.logits + block * args.width;
    Candidate* output = args.output + block * args.candidates;
    const std::int64_t chunk = ceil_div(args.width, candidate_chunks);
    const std::int64_t chunks = ceil_div(args.width, chunk);

    for (std::int64_t c = 0; c < chunks; ++c) {
      const float* from = logits + c * chunk;
      const std::int64_t elements = smaller(chunk, args.width - c * chunk);
      const float best = team.reduce_max(elements, [=](std::int64_t i) { return from[i]; });
      if (team.lane() == 0) scratch[c] = best;
    }
    team.barrier();

    // The next candidate is the first in the order (logit falling, token rising) after the one before.
    for (std::int64_t k = 0; k < args.candidates; ++k) {
      const float best = team.reduce_max(chunks, [=](std::int64_t c) { return scratch[c]; });
      if (team.lane() == 0) {
        output[k] = {none, -1};
        std::int64_t c = 0;
        while (c < chunks && scratch[c] != best) ++c;
        const std::int64_t end = smaller((c + 1) * chunk, args.width);
        std::int64_t at = c * chunk;
        // A candidate of equal logit that was taken before lies in this chunk or in one already lowered.
        const bool same = k > 0 && output[k - 1].logit == best;
        if (same && output[k - 1].token - args.first_token >= at) at = output[k - 1].token - args.first_token + 1;
        while (at < end && !(logits[at] == best)) ++at;
        if (at < end) {
          output[k] = {best, static_cast<std::int32_t>(args.first_token + at)};
          // What the chunk has left: an equal one further on, or the largest below.
          float left = -3.4e38F;
          bool equal = false;
          for (std::int64_t i = at + 1; i < end; ++i) equal = equal || logits[i] == best;
          for (std::int64_t i = c * chunk; i < end; ++i) {
            const float value = logits[i];
            left = value < best && value > left ? value : left;
          }
          scratch[c] = equal ? best : left;
        }
      }
      team.barrier();
    }
  }
};

}  // namespace rackproof::kernels::RACKPROOF_ISA
