#include "suites/tokens/sampling.hpp"

#include <algorithm>
#include <cmath>

#include "common/core/random.hpp"

namespace rackproof::tokens {
namespace {

constexpr std::uint64_t sampling_purpose = 2ULL << 40U;

bool comes_first(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

}  // namespace

std::int32_t choose_token(std::vector<Candidate> candidates, const Sampling& sampling, std::int64_t sequence,
                          std::int64_t position) {
  std::erase_if(candidates, [](const Candidate& candidate) { return candidate.token < 0; });
  if (candidates.empty()) return 0;
  const auto kept = std::min<std::size_t>(candidates.size(), static_cast<std::size_t>(sampling.candidates()));
  std::partial_sort(candidates.begin(), candidates.begin() + static_cast<std::ptrdiff_t>(kept), candidates.end(),
                    comes_first);
  candidates.resize(kept);
  if (sampling.greedy) return candidates.front().token;

  const double largest = candidates.front().logit;
  std::vector<double> cumulative(kept);
  double total = 0.0;
  for (std::size_t i = 0; i < kept; ++i) {
    total += std::exp((candidates[i].logit - largest) / sampling.temperature);
    cumulative[i] = total;
  }
  std::size_t nucleus = 1;
  while (nucleus < kept && cumulative[nucleus - 1] < sampling.top_p * total) ++nucleus;

  const std::uint64_t stream = random_stream(sampling.seed, sampling_purpose + static_cast<std::uint64_t>(sequence));
  const double chance = random_uniform(stream, static_cast<std::uint64_t>(position)) * cumulative[nucleus - 1];
  for (std::size_t i = 0; i + 1 < nucleus; ++i) {
    if (chance < cumulative[i]) return candidates[i].token;
  }
  return candidates[nucleus - 1].token;
}

std::vector<Candidate> largest_logits(std::span<const float> logits, std::int64_t count) {
  std::vector<Candidate> all;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (!std::isnan(logits[i])) all.push_back({logits[i], static_cast<std::int32_t>(i)});
  }
  std::sort(all.begin(), all.end(), comes_first);
  all.resize(std::min(all.size(), static_cast<std::size_t>(count)));
  return all;
}

}  // namespace rackproof::tokens
