// The choice of the next token from the largest logits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/backends/token_kernels.hpp"

namespace rackproof::tokens {

/// Greedy, or: the top_k largest logits, softmax with temperature over them, the smallest set of the likeliest whose
/// probabilities reach top_p (nucleus sampling: Holtzman et al., ICLR 2020), and one of these by chance.
struct Sampling {
  bool greedy = true;
  int top_k = 40;  ///< 1 ... max_candidates
  double top_p = 0.95;
  double temperature = 0.8;
  std::uint64_t seed = 1;

  /// How many candidates a rank must bring.
  [[nodiscard]] std::int64_t candidates() const { return greedy ? 1 : top_k; }
};

/// The token that follows position `position` of sequence `sequence`. `candidates`: in any order, the largest logits
/// of all parts of the vocabulary, at least the sampling.candidates() largest among them (or all there are). The choice
/// depends on the arguments alone, so that ranks with the same candidates choose alike. Candidates without a token
/// (-1) are passed over; token 0 where none is left.
[[nodiscard]] std::int32_t choose_token(std::vector<Candidate> candidates, const Sampling& sampling,
                                        std::int64_t sequence, std::int64_t position);

/// The sampling.candidates() largest of all logits, slow and obvious, to check the kernel by.
[[nodiscard]] std::vector<Candidate> largest_logits(std::span<const float> logits, std::int64_t count);

}  // namespace rackproof::tokens
