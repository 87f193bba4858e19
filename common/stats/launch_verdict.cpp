#include "common/stats/launch_verdict.hpp"

#include <algorithm>
#include <boost/math/constants/constants.hpp>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <map>
#include <utility>

#include "common/core/error.hpp"
#include "common/stats/hodges_lehmann.hpp"
#include "common/stats/multiple_testing.hpp"

namespace rackproof::stats {
namespace {

/// A difference is found, or excluded, in four of five repetitions of the comparison.
constexpr double wanted_power = 0.8;
constexpr int fewest_for_spread = 2;

std::vector<double> logarithms(std::span<const double> times) {
  std::vector<double> logs;
  logs.reserve(times.size());
  for (const double time : times) {
    if (!(std::isfinite(time) && time > 0.0)) {
      throw Error(ExitCode::internal, "stats", 0, "judge_launches", "a time that is not above 0");
    }
    logs.push_back(std::log(time));
  }
  return logs;
}

/// Sum of squared deviations from the mean.
double squares(std::span<const double> values) {
  double mean = 0.0;
  for (const double value : values) mean += value / static_cast<double>(values.size());
  double sum = 0.0;
  for (const double value : values) sum += (value - mean) * (value - mean);
  return sum;
}

double pooled_spread(std::span<const double> base, std::span<const double> other) {
  const auto freedom = static_cast<double>(base.size() + other.size()) - 2.0;
  if (freedom < 1.0) return std::numeric_limits<double>::quiet_NaN();
  return std::sqrt((squares(base) + squares(other)) / freedom);
}

double normal_quantile(double p) { return boost::math::quantile(boost::math::normal_distribution<double>(), p); }

double t_quantile(double p, double freedom) {
  return boost::math::quantile(boost::math::students_t_distribution<double>(freedom), p);
}

/// Standard error of the estimate from n and m launches; pi / 3 because ranks use normals that well (Lehmann,
/// Nonparametrics, 1975, section 2.4).
double shift_error(double spread, double n, double m) {
  return spread * std::sqrt((1.0 / n + 1.0 / m) * boost::math::constants::pi<double>() / 3.0);
}

/// The distributions of U for the sizes that come up.
class Nulls {
 public:
  const RankSumNull* of(std::size_t n, std::size_t m) {
    if (std::max(n, m) > static_cast<std::size_t>(largest_exact_sample)) return nullptr;
    const auto [place, is_new] = all_.try_emplace({n, m});
    if (is_new) place->second = rank_sum_null(static_cast<int>(n), static_cast<int>(m));
    return &place->second;
  }

 private:
  std::map<std::pair<std::size_t, std::size_t>, RankSumNull> all_;
};

LaunchVerdict compare_sides(const LaunchTimes& one, double confidence, Nulls& nulls) {
  LaunchVerdict verdict;
  const std::vector<double> base = logarithms(one.base);
  const std::vector<double> other = logarithms(one.other);
  if (base.empty() || other.empty()) return verdict;
  const RankSumNull* null = nulls.of(base.size(), other.size());
  const Shift shift = hodges_lehmann(base, other, confidence, null);
  verdict.ratio = std::exp(shift.shift);
  verdict.low = std::exp(shift.low);
  verdict.high = std::exp(shift.high);
  const MannWhitney test = mann_whitney(base, other, null);
  verdict.p = test.p;
  verdict.method = test.method;
  verdict.spread = pooled_spread(base, other);
  return verdict;
}

LaunchCall call_of(const LaunchVerdict& verdict, double margin, double alpha) {
  const bool different = verdict.adjusted_p < alpha;
  if (different && verdict.low > 1.0 + margin) return LaunchCall::slower;
  if (different && verdict.high < 1.0 / (1.0 + margin)) return LaunchCall::faster;
  if (verdict.low >= 1.0 / (1.0 + margin) && verdict.high <= 1.0 + margin) return LaunchCall::same;
  return LaunchCall::inconclusive;
}

/// What the spread of launches must be for an interval as wide as this one: an outlier widens the standard deviation,
/// and not what ranks make of it. Below that where the interval is infinite.
double effective_spread(const LaunchTimes& one, const LaunchVerdict& verdict, double confidence) {
  const auto n = static_cast<double>(one.base.size());
  const auto m = static_cast<double>(one.other.size());
  if (std::isfinite(verdict.high) && verdict.low > 0.0) {
    const double half = (std::log(verdict.high) - std::log(verdict.low)) / 2.0;
    return half / (t_quantile((1.0 + confidence) / 2.0, n + m - 2.0) * shift_error(1.0, n, m));
  }
  if (!std::isnan(one.known_spread)) return one.known_spread;
  return one.base.size() + one.other.size() >= fewest_for_spread + 2 ? verdict.spread
                                                                     : std::numeric_limits<double>::quiet_NaN();
}

/// Would n launches a side decide? `distance`: |log ratio|; everything by logarithms.
bool decides(int n, double distance, double spread, double margin, int cases, const LaunchRules& rules) {
  const double error = shift_error(spread, n, n);
  const double reach =
      (t_quantile((1.0 + rules.confidence) / 2.0, 2.0 * n - 2.0) + normal_quantile(wanted_power)) * error;
  if (distance <= margin) return distance + reach <= margin;
  const double strictest = rules.alpha / cases;
  const bool significant = smallest_p(n, n) < strictest &&
                           distance >= (normal_quantile(1.0 - strictest / 2.0) + normal_quantile(wanted_power)) * error;
  return significant && distance - reach > margin;
}

void say_what_is_needed(const LaunchTimes& one, LaunchVerdict& verdict, int cases, const LaunchRules& rules) {
  const int fewest = fewest_launches(cases, rules);
  const double spread = effective_spread(one, verdict, rules.confidence);
  const int there = static_cast<int>(std::min(one.base.size(), one.other.size()));
  if (std::isnan(spread)) {
    verdict.at_least = true;
    verdict.launches_needed = std::max(fewest, there + 1);
    return;
  }
  const double distance = std::abs(std::log(verdict.ratio));
  const double margin = std::log1p(one.margin);
  // More launches never hinder, so that halving finds the first that are enough.
  int low = std::max({there + 1, fewest_launches(1, rules)});
  int high = most_launches + 1;
  while (low < high) {
    const int middle = (low + high) / 2;
    if (decides(middle, distance, spread, margin, cases, rules)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  verdict.launches_needed = low;
}

}  // namespace

int fewest_launches(int cases, const LaunchRules& rules) {
  int n = 1;
  const double strictest = std::min(rules.alpha / std::max(cases, 1), 1.0 - rules.confidence);
  while (n < most_launches && smallest_p(n, n) >= strictest) ++n;
  return n;
}

std::vector<LaunchVerdict> judge_launches(std::span<const LaunchTimes> cases, const LaunchRules& rules) {
  Nulls nulls;
  std::vector<LaunchVerdict> verdicts;
  std::vector<std::size_t> judged;
  std::vector<double> p_values;
  for (const LaunchTimes& one : cases) {
    verdicts.push_back(compare_sides(one, rules.confidence, nulls));
    if (std::isnan(verdicts.back().ratio)) continue;
    judged.push_back(verdicts.size() - 1);
    p_values.push_back(verdicts.back().p);
  }
  const std::vector<double> adjusted = holm(p_values);
  const int family = static_cast<int>(judged.size());
  for (std::size_t i = 0; i < judged.size(); ++i) {
    LaunchVerdict& verdict = verdicts[judged[i]];
    const LaunchTimes& one = cases[judged[i]];
    verdict.adjusted_p = adjusted[i];
    verdict.call = call_of(verdict, one.margin, rules.alpha);
    if (verdict.call == LaunchCall::inconclusive) say_what_is_needed(one, verdict, family, rules);
  }
  return verdicts;
}

}  // namespace rackproof::stats
