#include "common/stats/order_statistics.hpp"

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <utility>

namespace rackproof::stats {
namespace {

/// Up to here the binomial distribution itself chooses the ranks, above it its normal approximation.
constexpr long largest_exact = 1000;

std::vector<double> without_nan(std::span<const double> values) {
  std::vector<double> kept;
  kept.reserve(values.size());
  std::copy_if(values.begin(), values.end(), std::back_inserter(kept), [](double v) { return !std::isnan(v); });
  return kept;
}

/// The order statistic of 0-based rank `rank`; reorders `values`.
double select(std::vector<double>& values, std::size_t rank) {
  const auto place = values.begin() + static_cast<std::ptrdiff_t>(rank);
  std::nth_element(values.begin(), place, values.end());
  return *place;
}

/// The lower rank j (1-based) of the interval of the median of n values; the upper one is n + 1 - j. 0: n too small.
/// Coverage of [x(j), x(n+1-j)] is 1 - 2 P(B <= j - 1), B binomial(n, 1/2).
long exact_lower_rank(long n, double z, double tail) {
  const boost::math::binomial_distribution<double> binomial(static_cast<double>(n), 0.5);
  const auto covered = [&](long j) { return j >= 1 && boost::math::cdf(binomial, static_cast<double>(j - 1)) <= tail; };
  // The normal approximation is off by one or two at most; from there the exact answer is a step away.
  const double root = std::sqrt(static_cast<double>(n));
  long j = std::clamp(static_cast<long>(std::floor((static_cast<double>(n) - z * root) / 2.0)), 0L, n);
  while (j > 0 && !covered(j)) --j;
  while (2 * (j + 1) <= n + 1 && covered(j + 1)) ++j;
  return j;
}

/// Positions, from 0, of the bounds of the interval of the median among n sorted values, where `ranks` of them count;
/// `exact_low`: exact_lower_rank() of them, for few.
std::optional<std::pair<std::size_t, std::size_t>> interval_places(long n, long ranks, long exact_low, double z) {
  long low = exact_low;
  long high = ranks + 1 - low;
  if (ranks > largest_exact) {
    const auto size = static_cast<double>(ranks);
    low = static_cast<long>(std::floor((size - z * std::sqrt(size)) / 2.0));
    high = static_cast<long>(std::ceil(1.0 + (size + z * std::sqrt(size)) / 2.0));
  }
  if (low < 1 || high > ranks) return std::nullopt;

  // The same fractions of the real sample, rounded outwards so that coverage is not lost.
  std::size_t low_index = static_cast<std::size_t>(low) - 1;
  std::size_t high_index = static_cast<std::size_t>(high) - 1;
  if (ranks != n) {
    const double scale = static_cast<double>(n - 1) / static_cast<double>(ranks - 1);
    low_index = static_cast<std::size_t>(std::floor(static_cast<double>(low_index) * scale));
    high_index = std::min(static_cast<std::size_t>(std::ceil(static_cast<double>(high_index) * scale)),
                          static_cast<std::size_t>(n) - 1);
  }
  return std::pair{low_index, high_index};
}

/// Of the mid-ranks of a sample, in its order.
double lag_one_of(const std::vector<double>& ranks) {
  const double mean = (static_cast<double>(ranks.size()) + 1.0) / 2.0;
  double variance = 0.0;
  double covariance = 0.0;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    variance += (ranks[i] - mean) * (ranks[i] - mean);
    if (i > 0) covariance += (ranks[i] - mean) * (ranks[i - 1] - mean);
  }
  return variance > 0.0 ? covariance / variance : 0.0;  // all values equal: no order to correlate
}

/// n (1 - r1) / (1 + r1) of the mid-ranks of a sample, in its order.
double effective_size_of(const std::vector<double>& ranks) {
  const auto n = static_cast<double>(ranks.size());
  const double r1 = lag_one_of(ranks);
  return std::clamp(n * (1.0 - r1) / (1.0 + r1), 1.0, n);
}

}  // namespace

double quantile(std::span<const double> values, double q) {
  std::vector<double> kept = without_nan(values);
  if (kept.empty() || std::isnan(q)) return std::numeric_limits<double>::quiet_NaN();
  const double position = static_cast<double>(kept.size() - 1) * std::clamp(q, 0.0, 1.0);
  const auto below = static_cast<std::size_t>(position);
  const double fraction = position - static_cast<double>(below);
  const double low = select(kept, below);
  if (fraction == 0.0) return low;
  // nth_element left everything above `below` behind it.
  const double high = *std::min_element(kept.begin() + static_cast<std::ptrdiff_t>(below) + 1, kept.end());
  return low == high ? low : low + fraction * (high - low);
}

double median(std::span<const double> values) { return quantile(values, 0.5); }

std::optional<Interval> median_interval(std::span<const double> values, double confidence, double effective) {
  std::vector<double> kept = without_nan(values);
  const auto n = static_cast<long>(kept.size());
  const long ranks = effective > 0.0 ? std::min(static_cast<long>(std::floor(effective)), n) : n;
  if (ranks < 2 || !(confidence > 0.0 && confidence < 1.0)) return std::nullopt;

  const double tail = (1.0 - confidence) / 2.0;
  const double z = boost::math::quantile(boost::math::normal_distribution<double>(), 1.0 - tail);
  const auto places = interval_places(n, ranks, ranks <= largest_exact ? exact_lower_rank(ranks, z, tail) : 0, z);
  if (!places) return std::nullopt;
  const double lower = select(kept, places->first);
  const double upper = select(kept, places->second);
  return Interval{lower, upper};
}

long fewest_for_upper_bound(double q, double confidence) {
  if (!(q > 0.0 && q < 1.0 && confidence > 0.0 && confidence < 1.0)) return std::numeric_limits<long>::max();
  return std::max(1L, static_cast<long>(std::ceil(std::log1p(-confidence) / std::log(q))));
}

std::optional<double> quantile_upper_bound(std::span<const double> values, double q, double confidence,
                                           double effective) {
  std::vector<double> kept = without_nan(values);
  const auto n = static_cast<long>(kept.size());
  const long trials = effective > 0.0 ? std::min(static_cast<long>(std::floor(effective)), n) : n;
  if (trials < fewest_for_upper_bound(q, confidence)) return std::nullopt;

  const boost::math::binomial_distribution<double> binomial(static_cast<double>(trials), q);
  const auto covered = [&](long k) { return boost::math::cdf(binomial, static_cast<double>(k - 1)) >= confidence; };
  const double spread = std::sqrt(static_cast<double>(trials) * q * (1.0 - q));
  long k = std::clamp(static_cast<long>(static_cast<double>(trials) * q + 1.6 * spread), 1L, trials);
  while (k < trials && !covered(k)) ++k;
  while (k > 1 && covered(k - 1)) --k;

  // The same fraction of the real sample, rounded upwards.
  std::size_t index = static_cast<std::size_t>(k) - 1;
  if (trials != n) {
    const double scale = static_cast<double>(n - 1) / static_cast<double>(std::max(trials - 1, 1L));
    index = std::min(static_cast<std::size_t>(std::ceil(static_cast<double>(index) * scale)),
                     static_cast<std::size_t>(n) - 1);
  }
  return select(kept, index);
}

std::vector<double> mid_ranks(std::span<const double> values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (std::size_t first = 0; first < order.size();) {
    std::size_t last = first;
    while (last + 1 < order.size() && values[order[last + 1]] == values[order[first]]) ++last;
    const double shared = 1.0 + static_cast<double>(first + last) / 2.0;
    for (std::size_t i = first; i <= last; ++i) ranks[order[i]] = shared;
    first = last + 1;
  }
  return ranks;
}

double rank_autocorrelation(std::span<const double> values) { return lag_one_of(mid_ranks(values)); }

double effective_sample_size(std::span<const double> values) {
  const std::vector<double> kept = without_nan(values);
  const auto n = static_cast<double>(kept.size());
  if (kept.size() < 3) return n;
  return effective_size_of(mid_ranks(kept));
}

MedianEstimator::MedianEstimator(double confidence)
    : z_(boost::math::quantile(boost::math::normal_distribution<double>(), 1.0 - (1.0 - confidence) / 2.0)),
      tail_((1.0 - confidence) / 2.0),
      lower_ranks_(static_cast<std::size_t>(largest_exact) + 1, -1) {}

MedianEstimate MedianEstimator::operator()(std::span<const double> values) {
  sorted_.clear();
  for (const double value : values) {
    if (!std::isnan(value)) sorted_.push_back({value, sorted_.size()});
  }
  const std::size_t size = sorted_.size();
  if (size == 0) return {std::numeric_limits<double>::quiet_NaN(), std::nullopt};
  std::sort(sorted_.begin(), sorted_.end(), [](const Place& a, const Place& b) { return a.value < b.value; });
  const double low = sorted_[(size - 1) / 2].value;
  const double high = sorted_[size / 2].value;
  MedianEstimate estimate{low == high ? low : low + 0.5 * (high - low), std::nullopt};
  const auto n = static_cast<long>(size);
  const long ranks = std::min(static_cast<long>(std::floor(effective_size())), n);
  if (ranks < 2) return estimate;
  const auto places = interval_places(n, ranks, lower_rank(ranks), z_);
  if (places) estimate.interval = Interval{sorted_[places->first].value, sorted_[places->second].value};
  return estimate;
}

double MedianEstimator::effective_size() {
  const std::size_t size = sorted_.size();
  if (size < 3) return static_cast<double>(size);
  ranks_.resize(size);
  for (std::size_t first = 0; first < size;) {
    std::size_t last = first;
    while (last + 1 < size && sorted_[last + 1].value == sorted_[first].value) ++last;
    const double shared = 1.0 + static_cast<double>(first + last) / 2.0;
    for (std::size_t i = first; i <= last; ++i) ranks_[sorted_[i].index] = shared;
    first = last + 1;
  }
  return effective_size_of(ranks_);
}

long MedianEstimator::lower_rank(long ranks) {
  if (ranks > largest_exact) return 0;
  long& known = lower_ranks_[static_cast<std::size_t>(ranks)];
  if (known < 0) known = exact_lower_rank(ranks, z_, tail_);
  return known;
}

double change_point_p_value(std::span<const double> values) {
  if (values.size() < 2) return 1.0;
  const auto n = static_cast<double>(values.size());
  const std::vector<double> ranks = mid_ranks(values);
  double sum = 0.0;
  double largest = 0.0;
  for (std::size_t t = 1; t < ranks.size(); ++t) {
    sum += ranks[t - 1];
    largest = std::max(largest, std::abs(2.0 * sum - static_cast<double>(t) * (n + 1.0)));
  }
  return std::min(1.0, 2.0 * std::exp(-6.0 * largest * largest / (n * n * n + n * n)));
}

}  // namespace rackproof::stats
