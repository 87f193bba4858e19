#include "common/stats/hodges_lehmann.hpp"

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "common/core/error.hpp"
#include "common/stats/order_statistics.hpp"

namespace rackproof::stats {
namespace {

/// The largest k with P(U <= k - 1) <= tail; 0: there is none.
std::size_t rank_of_end(const RankSumNull& null, double tail) {
  return static_cast<std::size_t>(std::upper_bound(null.cdf.begin(), null.cdf.end(), tail) - null.cdf.begin());
}

/// The same with P(U <= u) = Phi((u + 1/2 - n m / 2) / s).
std::size_t normal_rank_of_end(double n, double m, double tail) {
  const double z = boost::math::quantile(boost::math::normal_distribution<double>(), tail);
  const double k = std::floor(n * m / 2.0 + 0.5 + z * std::sqrt(n * m * (n + m + 1.0) / 12.0));
  return k > 0.0 ? static_cast<std::size_t>(k) : 0;
}

}  // namespace

Shift hodges_lehmann(std::span<const double> x, std::span<const double> y, double confidence, const RankSumNull* null) {
  if (x.empty() || y.empty()) throw Error(ExitCode::internal, "stats", 0, "hodges_lehmann", "an empty sample");
  std::vector<double> differences;
  differences.reserve(x.size() * y.size());
  for (const double second : y) {
    for (const double first : x) differences.push_back(second - first);
  }
  std::sort(differences.begin(), differences.end());

  const double tail = (1.0 - confidence) / 2.0;
  std::size_t k = 0;
  if (null != nullptr) {
    k = rank_of_end(*null, tail);
  } else if (x.size() <= largest_exact_sample && y.size() <= largest_exact_sample) {
    k = rank_of_end(rank_sum_null(static_cast<int>(x.size()), static_cast<int>(y.size())), tail);
  } else {
    k = normal_rank_of_end(static_cast<double>(x.size()), static_cast<double>(y.size()), tail);
  }
  Shift result;
  result.shift = median(differences);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  result.low = k == 0 ? -infinity : differences[k - 1];
  result.high = k == 0 ? infinity : differences[differences.size() - k];
  return result;
}

}  // namespace rackproof::stats
