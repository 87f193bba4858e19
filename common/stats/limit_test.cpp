#include "common/stats/limit_test.hpp"

#include <algorithm>
#include <boost/math/distributions/beta.hpp>
#include <boost/math/distributions/binomial.hpp>
#include <cmath>
#include <cstddef>
#include <limits>

#include "common/stats/order_statistics.hpp"

namespace rackproof::stats {
namespace {

constexpr double no_number = std::numeric_limits<double>::quiet_NaN();
constexpr double limit_tail = 0.025;
constexpr double power = 0.9;

/// The largest j with P(B(n, 1/2) <= j - 1) <= tail_probability; 0: none.
long largest_rank(long n, double tail_probability) {
  const boost::math::binomial_distribution<double> binomial(static_cast<double>(n), 0.5);
  long low = 0;
  long high = n / 2 + 1;
  while (low < high) {
    const long middle = (low + high + 1) / 2;
    if (boost::math::cdf(binomial, static_cast<double>(middle - 1)) <= tail_probability) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

/// Of the j-th of n, at the same fraction of `size` sorted values; up: rounded upwards.
std::size_t place_of(long j, long n, std::size_t size, bool up) {
  const double fraction =
      n > 1 ? static_cast<double>(j - 1) / static_cast<double>(n - 1) * static_cast<double>(size - 1) : 0.0;
  const double rounded = up ? std::ceil(fraction - 1e-9) : std::floor(fraction + 1e-9);
  return std::min(static_cast<std::size_t>(std::max(rounded, 0.0)), size - 1);
}

double sorted_quantile(const std::vector<double>& sorted, double q) {
  const double position = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (position - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

const LimitTest::Ranks& LimitTest::ranks_for(long n) {
  const std::lock_guard lock(knowing_);
  const auto [entry, is_new] = known_.try_emplace(n);
  Ranks& ranks = entry->second;
  if (!is_new) return ranks;
  const double each = -std::expm1(std::log1p(-limit_tail) / static_cast<double>(std::max(parts_, 1)));
  ranks.beyond = largest_rank(n, each);
  ranks.within = largest_rank(n, limit_tail);
  if (ranks.beyond > 0) {
    const boost::math::binomial_distribution<double> binomial(static_cast<double>(n), 0.5);
    ranks.false_alarm = boost::math::cdf(binomial, static_cast<double>(ranks.beyond - 1));
    // P(B(n, p) <= j - 1) = 1 - I_p(j, n - j + 1).
    const boost::math::beta_distribution<double> beta(static_cast<double>(ranks.beyond),
                                                      static_cast<double>(n - ranks.beyond + 1));
    ranks.share = boost::math::quantile(beta, 1.0 - power);
  }
  return ranks;
}

LimitJudgement LimitTest::judge(std::span<const double> times, double limit, bool longer, double effective) {
  LimitJudgement judgement;
  std::vector<double> sorted;
  sorted.reserve(times.size());
  std::copy_if(times.begin(), times.end(), std::back_inserter(sorted), [](double t) { return !std::isnan(t); });
  if (sorted.empty()) return {judgement.side, no_number, no_number, no_number, 0.0, 0.0, no_number};
  judgement.effective = effective > 0.0 ? effective : effective_sample_size(sorted);
  std::sort(sorted.begin(), sorted.end());
  const std::size_t size = sorted.size();
  const long n = std::max(1L, static_cast<long>(std::floor(judgement.effective)));
  const Ranks& ranks = ranks_for(n);
  judgement.median = sorted_quantile(sorted, 0.5);
  judgement.low = ranks.within > 0 ? sorted[place_of(ranks.within, n, size, false)] : no_number;
  judgement.high = ranks.within > 0 ? sorted[place_of(n + 1 - ranks.within, n, size, true)] : no_number;
  judgement.false_alarm = ranks.false_alarm;
  judgement.detectable = no_number;
  if (ranks.beyond > 0) {
    const double share = longer ? ranks.share : 1.0 - ranks.share;
    const double at_share = sorted_quantile(sorted, share);
    judgement.detectable = longer ? judgement.median / at_share - 1.0 : at_share / judgement.median - 1.0;
    const std::size_t place =
        longer ? place_of(ranks.beyond, n, size, false) : place_of(n + 1 - ranks.beyond, n, size, true);
    const bool is_beyond = longer ? sorted[place] > limit : sorted[place] < limit;
    if (is_beyond) judgement.side = LimitJudgement::Side::beyond;
  }
  if (ranks.within > 0 && (longer ? judgement.high <= limit : judgement.low >= limit)) {
    judgement.side = LimitJudgement::Side::within;
  }
  return judgement;
}

bool LimitTest::can_fail(double effective) {
  return ranks_for(std::max(1L, static_cast<long>(std::floor(effective)))).beyond > 0;
}

double LimitTest::family_false_alarm(double false_alarm) const {
  return -std::expm1(static_cast<double>(parts_) * std::log1p(-false_alarm));
}

}  // namespace rackproof::stats
