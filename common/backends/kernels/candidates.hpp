// The largest logits of a row, in order. One block a row.
#pragma once

#include "common/backends/kernels/arithmetic.hpp"
#include "common/backends/token_kernels.hpp"

namespace rackproof::kernels::RACKPROOF_ISA {

constexpr std::int64_t candidate_chunks = 256;

/// The first i of [0, n) that `holds`, the same on every lane; n where there is none. n <= 2^24, the integers of f32.
template <typename Team, typename Condition>
RACKPROOF_KERNEL std::int64_t first_where(const Team& team, std::int64_t n, Condition holds) {
  const float found = team.reduce_max(
      n, [=](std::int64_t i) { return holds(i) ? -static_cast<float>(static_cast<std::int32_t>(i)) : -3.4e38F; });
  return found > -3.0e38F ? static_cast<std::int64_t>(-found) : n;
}

/// A row is cut into chunks whose largest logits are kept, so that each further candidate costs one look at the chunks
/// and one at the elements of one chunk: O(width + candidates x (chunks + width / chunks)). Parts of the team take the
/// chunks, and one part then picks the candidates, which follow from one another: small parts wait less for each other.
struct Candidates {
  CandidatesArgs args;

  RACKPROOF_KERNEL static constexpr std::int64_t scratch() { return candidate_chunks; }
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t blocks() const { return args.count; }
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t work() const {
    return 2 * args.width + args.candidates * (candidate_chunks + args.width / candidate_chunks);
  }
  static constexpr std::int64_t most_lanes = 1024;
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t lanes() const { return args.width; }

  template <typename Team>
  RACKPROOF_KERNEL void operator()(const Team& team, std::int64_t block, float* scratch) const {
    const float* logits = args.logits + block * args.width;
    Candidate* output = args.output + block * args.candidates;
    // A multiple of what vectors hold; the last chunks may be empty.
    const std::int64_t chunk = ceil_div(args.width, candidate_chunks * 16) * 16;
    const std::int64_t width = args.width;

    team.for_each_part(candidate_chunks, [=](const auto& part, std::int64_t c) {
      const float* from = logits + c * chunk;
      const float best = part.reduce_max(smaller(chunk, width - c * chunk), [=](std::int64_t i) { return from[i]; });
      if (part.lane() == 0) scratch[c] = best;
    });
    const Candidates self = *this;
    team.for_each_part(
        1, [=](const auto& part, std::int64_t /*one*/) { self.pick(part, logits, chunk, scratch, output); });
  }

 private:
  /// The next candidate is the first in the order (logit falling, token rising) after the one before.
  template <typename Team>
  RACKPROOF_KERNEL void pick(const Team& team, const float* logits, std::int64_t chunk, float* largest,
                             Candidate* output) const {
    Candidate before{0.0F, -1};
    for (std::int64_t k = 0; k < args.candidates; ++k) {
      const float best = team.reduce_max(candidate_chunks, [=](std::int64_t c) { return largest[c]; });
      // The first chunk has the first token: chunks lie in the order of tokens.
      const std::int64_t c = first_where(team, candidate_chunks, [=](std::int64_t i) { return largest[i] == best; });
      const float* from = logits + c * chunk;
      const std::int64_t elements = smaller(chunk, args.width - c * chunk);
      // A candidate of equal logit that was taken before lies in this chunk or in one already lowered.
      const bool same = before.token >= 0 && before.logit == best;
      const auto after = static_cast<std::int32_t>(same ? before.token - args.first_token - c * chunk : -1);
      const std::int64_t at = first_where(
          team, elements, [=](std::int64_t i) { return (from[i] == best) & (static_cast<std::int32_t>(i) > after); });
      const bool found = at < elements;
      before = found ? Candidate{best, static_cast<std::int32_t>(args.first_token + c * chunk + at)}
                     : Candidate{-__builtin_inff(), -1};
      if (team.lane() == 0) output[k] = before;
      if (!found || k + 1 == args.candidates) continue;
      // What the chunk has left: an equal one further on, or the largest below.
      const auto taken = static_cast<std::int32_t>(at);
      const float left = team.reduce_max(elements, [=](std::int64_t i) {
        const float value = from[i];
        const bool later = (value == best) & (static_cast<std::int32_t>(i) > taken);
        return (later | (value < best)) ? value : -3.4e38F;
      });
      if (team.lane() == 0) largest[c] = left;
      team.barrier();
    }
  }
};

}  // namespace rackproof::kernels::RACKPROOF_ISA
