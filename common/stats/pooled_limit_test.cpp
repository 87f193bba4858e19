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
/// What more of them do to the mean is little.
constexpr std::size_t most_samples_of_meeting = 32;

/// Of those that are positive numbers.
std::vector<double> positive_logarithms(std::span<const double> times) {
  std::vector<double> logs;
  for (const double time : times) {
    if (time > 0.0 && std::isfinite(time)) logs.push_back(std::log(time));
  }
  return logs;
}

/// Sums of squares about the mean and of products of neighbours, as expected of n samples with a variance of 1 whose
/// correlation is r^k at a distance of k.
struct ExpectedSums {
  double squares = 0.0;
  double products = 0.0;
};

ExpectedSums expected_sums(std::size_t n, double r) {
  std::vector<double> with_mean(n);  // of each sample with the mean of all
  double of_mean = 0.0;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < n; ++k) {
      with_mean[i] += std::pow(r, static_cast<double>(std::max(i, k) - std::min(i, k))) / static_cast<double>(n);
    }
    of_mean += with_mean[i] / static_cast<double>(n);
  }
  ExpectedSums sums;
  for (std::size_t i = 0; i < n; ++i) {
    sums.squares += 1.0 - 2.0 * with_mean[i] + of_mean;
    if (i > 0) sums.products += r - with_mean[i] - with_mean[i - 1] + of_mean;
  }
  return sums;
}

double middle_of_sorted(const std::vector<double>& sorted) {
  return 0.5 * (sorted[(sorted.size() - 1) / 2] + sorted[sorted.size() / 2]);
}

}  // namespace

void PooledLimitTest::add(std::span<const std::vector<double>> meetings) {
  std::vector<double> all;
  for (const std::vector<double>& times : meetings) {
    const std::vector<double> logs = positive_logarithms(times);
    all.insert(all.end(), logs.begin(), logs.end());
    if (logs.size() < 3) continue;
    const auto size = static_cast<double>(logs.size());
    double mean = 0.0;
    for (const double log : logs) mean += log / size;
    for (std::size_t i = 0; i < logs.size(); ++i) {
      variance_ += (logs[i] - mean) * (logs[i] - mean);
      if (i > 0) covariance_ += (logs[i] - mean) * (logs[i - 1] - mean);
    }
    ++meetings_[std::min(logs.size(), most_samples_of_meeting)];
  }
  if (all.size() < 2) return;
  std::sort(all.begin(), all.end());
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto other = [&](std::size_t k) { return all[k < i ? k : k + 1]; };
    const std::size_t others = all.size() - 1;
    deviations_.push_back(all[i] - 0.5 * (other((others - 1) / 2) + other(others / 2)));
  }
}

double PooledLimitTest::correlation_behind(double seen) const {
  const auto expected = [this](double r) {
    ExpectedSums all;
    for (const auto& [samples, meetings] : meetings_) {
      const ExpectedSums sums = expected_sums(samples, r);
      all.squares += meetings * sums.squares;
      all.products += meetings * sums.products;
    }
    return all.products / all.squares;
  };
  double low = 0.0;
  double high = most_correlation;
  for (int i = 0; i < 20; ++i) (expected((low + high) / 2.0) < seen ? low : high) = (low + high) / 2.0;
  return low;
}

void PooledLimitTest::finish() {
  if (variance_ > 0.0) {
    correlation_ = correlation_behind(covariance_ / variance_);
    for (double& deviation : deviations_) deviation /= std::sqrt(1.0 - correlation_);
  }
  std::sort(deviations_.begin(), deviations_.end());
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
  const long majority = samples / 2 + 1;
  const auto needed = static_cast<double>(majority);
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
  std::vector<double> excess = positive_logarithms(times);
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
    const double usual = least_beyond(pooled_power, longer, samples);
    judgement.detectable = std::expm1(critical - usual);
    if (excess[(size - 1) / 2] >= critical) judgement.side = LimitJudgement::Side::beyond;
  }
  if (tail(-excess[size / 2], !longer, samples) <= pooled_tail && excess[size / 2] <= 0.0) {
    judgement.side = LimitJudgement::Side::within;
  }
  return judgement;
}

}  // namespace rackproof::stats
