#include "common/stats/mann_whitney.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <cstddef>
#include <functional>

#include "common/core/error.hpp"
#include "common/stats/order_statistics.hpp"

namespace rackproof::stats {
namespace {

/// How many subsets of `picked` items have each sum, for sums 0 ... that of all. Counts are doubles: sums of positive
/// numbers, so that even those beyond 2^53 are known to nearly the last digit.
std::vector<double> subsets_by_sum(std::span<const int> items, std::size_t picked) {
  std::size_t largest = 0;
  std::vector<int> descending(items.begin(), items.end());
  std::sort(descending.begin(), descending.end(), std::greater<>());
  for (std::size_t i = 0; i < picked; ++i) largest += static_cast<std::size_t>(descending[i]);
  std::vector<std::vector<double>> counts(picked + 1, std::vector<double>(largest + 1, 0.0));
  counts[0][0] = 1.0;
  std::size_t seen = 0;
  for (const int item : items) {
    const auto value = static_cast<std::size_t>(item);
    ++seen;
    for (std::size_t k = std::min(picked, seen); k > 0; --k) {
      for (std::size_t sum = value; sum <= largest; ++sum) counts[k][sum] += counts[k - 1][sum - value];
    }
  }
  return counts[picked];
}

double two_sided(double lower, double upper) { return std::min(1.0, 2.0 * std::min(lower, upper)); }

/// Twice the mid-ranks: whole numbers.
std::vector<int> doubled_ranks(std::span<const double> ranks) {
  std::vector<int> doubled;
  doubled.reserve(ranks.size());
  for (const double rank : ranks) doubled.push_back(static_cast<int>(std::lround(2.0 * rank)));
  return doubled;
}

/// Over all ways to choose which `n` of these ranks are the first sample's; the first n are what was seen.
double permutation_p(std::span<const double> ranks, std::size_t n) {
  const std::vector<int> items = doubled_ranks(ranks);
  // The smaller sample has fewer subsets to count; where it is the second, its tails change places.
  const bool first = 2 * n <= items.size();
  const std::size_t picked = first ? n : items.size() - n;
  std::size_t seen = 0;
  for (std::size_t i = 0; i < picked; ++i) seen += static_cast<std::size_t>(items[first ? i : n + i]);
  const std::vector<double> counts = subsets_by_sum(items, picked);
  double lower = 0.0;
  double upper = 0.0;
  double all = 0.0;
  for (std::size_t sum = 0; sum < counts.size(); ++sum) {
    all += counts[sum];
    if (sum <= seen) lower += counts[sum];
    if (sum >= seen) upper += counts[sum];
  }
  return two_sided(lower / all, upper / all);
}

/// Sum of t^3 - t over groups of t equal values.
double tie_sum(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  double sum = 0.0;
  for (std::size_t first = 0; first < values.size();) {
    std::size_t last = first;
    while (last < values.size() && values[last] == values[first]) ++last;
    const auto t = static_cast<double>(last - first);
    sum += t * t * t - t;
    first = last;
  }
  return sum;
}

/// z = (|U - n m / 2| - 1/2) / s, s^2 = n m / 12 (N + 1 - sum (t^3 - t) / (N (N - 1))), N = n + m (Lehmann,
/// Nonparametrics, 1975, section 1.4).
double normal_p(double u, double n, double m, double ties) {
  const double all = n + m;
  const double variance = n * m / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
  if (!(variance > 0.0)) return 1.0;
  const double z = (std::abs(u - n * m / 2.0) - 0.5) / std::sqrt(variance);
  return std::min(1.0, 2.0 * boost::math::cdf(boost::math::complement(boost::math::normal_distribution<double>(), z)));
}

}  // namespace

RankSumNull rank_sum_null(int n, int m) {
  if (n < 1 || m < 1 || n > largest_exact_sample || m > largest_exact_sample) {
    throw Error(ExitCode::internal, "stats", 0, "rank_sum_null", fmt::format("samples of {} and {} values", n, m));
  }
  // Symmetric in n and m: choose which ranks the smaller sample has.
  const int picked = std::min(n, m);
  std::vector<int> ranks;
  for (int rank = 1; rank <= n + m; ++rank) ranks.push_back(rank);
  const std::vector<double> counts = subsets_by_sum(ranks, static_cast<std::size_t>(picked));
  RankSumNull null{n, m, {}};
  const auto least = static_cast<std::size_t>(picked * (picked + 1) / 2);
  double sum = 0.0;
  for (std::size_t u = least; u < counts.size(); ++u) {
    sum += counts[u];
    null.cdf.push_back(sum);
  }
  for (double& value : null.cdf) value /= sum;
  return null;
}

MannWhitney mann_whitney(std::span<const double> x, std::span<const double> y, const RankSumNull* null) {
  MannWhitney result;
  if (x.empty() || y.empty()) return result;
  std::vector<double> together(x.begin(), x.end());
  together.insert(together.end(), y.begin(), y.end());
  const std::vector<double> ranks = mid_ranks(together);
  const auto n = static_cast<double>(x.size());
  const auto m = static_cast<double>(y.size());
  double sum = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += ranks[i];
  result.u = sum - n * (n + 1.0) / 2.0;
  const double ties = tie_sum(together);
  if (ties > 0.0 && together.size() <= largest_exact_with_ties) {
    result.method = RankSumMethod::exact_with_ties;
    result.p = permutation_p(ranks, x.size());
  } else if (ties == 0.0 && x.size() <= largest_exact_sample && y.size() <= largest_exact_sample) {
    result.method = RankSumMethod::exact;
    const auto own = null == nullptr ? rank_sum_null(static_cast<int>(n), static_cast<int>(m)) : RankSumNull{};
    const std::vector<double>& cdf = null == nullptr ? own.cdf : null->cdf;
    const auto u = static_cast<std::size_t>(std::lround(result.u));
    result.p = two_sided(cdf[u], cdf[cdf.size() - 1 - u]);  // P(U >= u) = P(U <= n m - u)
  } else {
    result.method = RankSumMethod::normal;
    result.p = normal_p(result.u, n, m, ties);
  }
  return result;
}

double smallest_p(int n, int m) {
  // 1 / C(n + m, n) = product of i / (m + i), i = 1 ... n.
  double share = 1.0;
  for (int i = 1; i <= n; ++i) share *= static_cast<double>(i) / static_cast<double>(m + i);
  return std::min(1.0, 2.0 * share);
}

}  // namespace rackproof::stats
