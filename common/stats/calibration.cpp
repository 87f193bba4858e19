#include "common/stats/calibration.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "common/core/error.hpp"
#include "common/core/random.hpp"
#include "common/stats/hodges_lehmann.hpp"
#include "common/stats/order_statistics.hpp"

namespace rackproof::stats {
namespace {

constexpr std::size_t fewest_to_deal = 8;
constexpr std::uint64_t deals = 1000;
constexpr double held = 0.95;

double standard_deviation(std::span<const double> values) {
  const auto n = static_cast<double>(values.size());
  double mean = 0.0;
  for (const double value : values) mean += value / n;
  double sum = 0.0;
  for (const double value : values) sum += (value - mean) * (value - mean);
  return std::sqrt(sum / (n - 1.0));
}

/// The interval's end that is farther from "no difference", of the logarithm.
double farther_end(const std::vector<double>& logs, const std::vector<int>& order, double confidence,
                   const RankSumNull* null) {
  const std::size_t half = logs.size() / 2;
  std::vector<double> base;
  std::vector<double> other;
  for (std::size_t i = 0; i < 2 * half; ++i) {
    (i < half ? base : other).push_back(logs[static_cast<std::size_t>(order[i])]);
  }
  const Shift shift = hodges_lehmann(base, other, confidence, null);
  return std::max(shift.high, -shift.low);
}

}  // namespace

Calibration calibrate_launches(std::span<const std::vector<double>> times, double floor, double confidence) {
  Calibration result;
  if (times.empty()) return result;
  const std::size_t n = times.front().size();
  if (n < fewest_to_deal || std::any_of(times.begin(), times.end(), [n](const auto& one) { return one.size() != n; })) {
    throw Error(ExitCode::internal, "stats", 0, "calibrate_launches", "too few launches, or not the same of all cases");
  }
  std::vector<std::vector<double>> logs;
  for (const std::vector<double>& one : times) {
    logs.emplace_back();
    for (const double time : one) logs.back().push_back(std::log(time));
    result.spread.push_back(standard_deviation(logs.back()));
  }
  const auto half = static_cast<int>(n / 2);
  const RankSumNull known = half <= largest_exact_sample ? rank_sum_null(half, half) : RankSumNull{};
  const RankSumNull* const null = half <= largest_exact_sample ? &known : nullptr;
  std::vector<std::vector<double>> ends(times.size());
  std::vector<double> farthest;
  for (std::uint64_t deal = 0; deal < deals; ++deal) {
    const std::vector<int> order = shuffled(static_cast<int>(n), deal);
    double most = 0.0;
    for (std::size_t c = 0; c < logs.size(); ++c) {
      ends[c].push_back(farther_end(logs[c], order, confidence, null));
      most = std::max(most, ends[c].back());
    }
    farthest.push_back(most);
  }
  const auto margin = [&](const std::vector<double>& all) { return std::max(floor, std::expm1(quantile(all, held))); };
  for (const std::vector<double>& one : ends) result.margin.push_back(margin(one));
  result.all = margin(farthest);
  return result;
}

}  // namespace rackproof::stats
