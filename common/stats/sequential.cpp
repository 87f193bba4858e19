#include "common/stats/sequential.hpp"

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

#include "common/core/error.hpp"
#include "common/stats/order_statistics.hpp"

namespace rackproof::stats {
namespace {

/// Looking at every sample costs a sort each; later on a look in 16 loses little.
constexpr int looks_thin_out = 16;
constexpr double least_correlation = 0.3;
constexpr double largest_correlation = 0.95;
constexpr double standard_errors = 1.5;

/// The share of samples that counts. `mixed`: they lie on both sides of the limit.
double counting_share(std::span<const double> times, bool mixed) {
  const auto n = static_cast<double>(times.size());
  const double seen = rank_autocorrelation(times);
  const double uncertain = mixed ? standard_errors * std::sqrt(std::max(0.0, 1.0 - seen * seen) / n) : 0.0;
  const double correlation =
      std::clamp(seen + (1.0 + 4.0 * seen) / n + uncertain, least_correlation, largest_correlation);
  return (1.0 - correlation) / (1.0 + correlation);
}

}  // namespace

bool is_sound(const SequentialPlan& plan) {
  const auto is_risk = [](double risk) { return risk > 0.0 && risk < 0.5; };
  return is_risk(plan.producers_risk) && is_risk(plan.consumers_risk) && plan.good_share > 0.0 &&
         plan.good_share < plan.bad_share && plan.bad_share < 1.0 && plan.fewest >= 3;
}

SequentialTest::SequentialTest(double limit, bool longer, const SequentialPlan& plan)
    : limit_(limit), longer_(longer), plan_(plan), next_look_(plan.fewest) {
  if (!is_sound(plan)) throw Error(ExitCode::internal, "stats", 0, "", "a sequential test with an unsound plan");
}

void SequentialTest::add(double time) {
  if (side_ != Side::open) return;
  times_.push_back(std::isnan(time) ? std::numeric_limits<double>::infinity() : time);
  ++count_;
  // What is no number is beyond every limit.
  const bool within = longer_ ? time <= limit_ : time >= limit_;
  if (!within) ++beyond_;
  if (count_ == next_look_) look();
}

void SequentialTest::look() {
  const double if_beyond = std::log(plan_.bad_share / plan_.good_share);
  const double if_within = std::log((1.0 - plan_.bad_share) / (1.0 - plan_.good_share));
  const bool mixed = beyond_ > 0 && beyond_ < count_;
  const double ratio = counting_share(times_, mixed) * (beyond_ * if_beyond + (count_ - beyond_) * if_within);
  if (ratio >= -std::log(plan_.producers_risk)) {
    side_ = Side::beyond;
  } else if (ratio <= std::log(plan_.consumers_risk)) {
    side_ = Side::within;
  }
  next_look_ += std::max(1, count_ / looks_thin_out);
}

int fixed_sample(const SequentialPlan& plan) {
  if (!is_sound(plan)) throw Error(ExitCode::internal, "stats", 0, "", "a sequential test with an unsound plan");
  constexpr int most = 100'000;
  for (int n = 1; n < most; ++n) {
    const boost::math::binomial_distribution<double> good(n, plan.good_share);
    const boost::math::binomial_distribution<double> bad(n, plan.bad_share);
    // The smallest c that keeps the producer's risk; a larger one only raises the consumer's.
    int c = static_cast<int>(n * plan.good_share);
    while (c < n && boost::math::cdf(boost::math::complement(good, c)) > plan.producers_risk) ++c;
    if (boost::math::cdf(bad, c) <= plan.consumers_risk) return n;
  }
  return most;
}

}  // namespace rackproof::stats
