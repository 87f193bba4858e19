#include "common/stats/pooled_limit_test.hpp"

#include <algorithm>
#include <boost/math/special_functions/beta.hpp>
#include <cmath>
#include <cstddef>
#include <limits>

namespace rackproof::stats {
namespace {

constexpr double nothing_known = std::numeric_limits<double>::quiet_NaN();
constexpr double pooled_tail = 0.025;
constexpr double pooled_power = 0.9;
constexpr double most_correlation = 0.95;

/// Of those that are positive numbers.
std::vector<double> logarithms(std::span<const double> times) {
  std::vector<double> logs;
  for (const double time : times) {
    if (time > 0.0 && std::isfinite(time)) logs.push_back(std::log(time));
  }
  return logs;
}

double middle_of_sorted(const std::vector<double>& sorted) {
  return 0.5 * (sorted[(sorted.size() - 1) / 2] + sorted[sorted.size() / 2]);
}

}  // namespace

void PooledLimitTest::add(std::span<const double> times) {
  const std::vector<double> logs = logarithms(times);
  const std::size_t size = logs.size();
  if (size < 2) return;
  for (std::size_t i = 0; i < size; ++i) {
    std::vector<double> others = logs;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
    std::sort(others.begin(), others.end());
    deviations_.push_back(logs[i] - middle_of_sorted(others));
  }
  if (size < 3) return;
  double mean = 0.0;
  for (const double log : logs) mean += log / static_cast<double>(size);
  for (std::size_t i = 0; i < size; ++i) {
    variance_ += (logs[i] - mean) * (logs[i] - mean);
    if (i > 0) covariance_ += (logs[i] - mean) * (logs[i - 1] - mean);
  }
  samples_ += static_cast<double>(size);
  ++correlated_parts_;
}

void PooledLimitTest::finish() {
  std::sort(deviations_.begin(), deviations_.end());
  if (!(variance_ > 0.0)) return;
  const double seen = covariance_ / variance_;
  correlation_ = std::clamp(seen + (1.0 + 4.0 * seen) * correlated_parts_ / samples_, 0.0, most_correlation);
  for (double& deviation : deviations_) deviation /= std::sqrt(1.0 - correlation_);
}

long PooledLimitTest::effective(std::size_t samples) const {
  const double worth = static_cast<double>(samples) * (1.0 - correlation_) / (1.0 + correlation_);
  return std::max(1L, static_cast<long>(std::floor(worth + 1e-9)));
}

double PooledLimitTest::share_beyond(double x, bool up) const {
  const auto count = up ? deviations_.end() - std::lower_bound(deviations_.begin(), deviations_.end(), x)
                        : std::upper_bound(deviations_.begin(), deviations_.end(), -x) - deviations_.begin();
  return static_cast<double>(count + 1) / static_cast<double>(deviations_.size() + 1);
}

double PooledLimitTest::tail(double x, bool up, long samples) const {
  const double share = share_beyond(x, up);
  const auto needed = static_cast<double>(samples / 2 + 1);
  if (share >= 1.0) return 1.0;
  // P(B(m, p) >= k) = I_p(k, m - k + 1).
  return boost::math::ibeta(needed, static_cast<double>(samples) - needed + 1.0, share);
}

double PooledLimitTest::least_beyond(double probability, bool up, long samples) const {
  // Only behind the outermost deviation is the share what it can be at least.
  std::size_t low = 0;
  std::size_t high = deviations_.size();
  const auto candidate = [&](std::size_t i) {
    if (i == deviations_.size()) return std::nextafter(up ? deviations_.back() : -deviations_.front(), 1e300);
    return up ? deviations_[i] : -deviations_[deviations_.size() - 1 - i];
  };
  if (deviations_.empty() || tail(candidate(high), up, samples) > probability) return nothing_known;
  while (low < high) {
    const std::size_t middle = (low + high) / 2;
    if (tail(candidate(middle), up, samples) <= probability) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return candidate(low);
}

LimitJudgement PooledLimitTest::judge(std::span<const double> times, double limit, bool longer) const {
  LimitJudgement judgement{
      LimitJudgement::Side::open, nothing_known, nothing_known, nothing_known, 0.0, 0.0, nothing_known};
  std::vector<double> excess = logarithms(times);
  const std::size_t size = excess.size();
  if (size == 0) return judgement;
  // Above 0 is beyond the limit.
  for (double& log : excess) log = longer ? log - std::log(limit) : std::log(limit) - log;
  std::sort(excess.begin(), excess.end());
  const long samples = effective(size);
  judgement.effective = static_cast<double>(samples);
  const double middle = middle_of_sorted(excess);
  judgement.median = limit * std::exp(longer ? middle : -middle);
  if (deviations_.empty()) return judgement;
  const double above = least_beyond(pooled_tail, true, samples);
  const double below = least_beyond(pooled_tail, false, samples);
  judgement.low = judgement.median * std::exp(-above);
  judgement.high = judgement.median * std::exp(below);
  const double each = -std::expm1(std::log1p(-pooled_tail) / static_cast<double>(std::max(parts_, 1)));
  const double critical = least_beyond(each, longer, samples);
  if (!std::isnan(critical)) {
    judgement.false_alarm = each;
    // What the median of a part deviates by, or more, with this probability.
    const double usual = -least_beyond(1.0 - pooled_power, !longer, samples);
    judgement.detectable = std::expm1(critical - usual);
    if (excess[(size - 1) / 2] >= critical) judgement.side = LimitJudgement::Side::beyond;
  }
  if (tail(-excess[size / 2], !longer, samples) <= pooled_tail && excess[size / 2] <= 0.0) {
    judgement.side = LimitJudgement::Side::within;
  }
  return judgement;
}

}  // namespace rackproof::stats
