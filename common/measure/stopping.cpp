#include "common/measure/stopping.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/stats/order_statistics.hpp"

namespace rackproof {
namespace {

constexpr double steady_level = 0.05;
constexpr double clock_share = 0.05;
constexpr int smallest_growth = 8;

/// How many cycles fit into `time`, at least 0.
int fitting(double time, double cycle) {
  if (!(time > 0.0)) return 0;
  const double count = time / std::max(cycle, 1e-12);
  // A part in a million is no reason to leave a sample out: sums of times are not exact.
  return count < 1e9 ? static_cast<int>(std::floor(count + 1e-6)) : std::numeric_limits<int>::max();
}

}  // namespace

bool is_converged(const StoppingRule& rule, std::span<const double> figures) {
  if (figures.size() < static_cast<std::size_t>(std::max(rule.min_samples, fewest_samples))) return false;
  const auto interval = stats::median_interval(figures, 0.95, stats::effective_sample_size(figures));
  return interval.has_value() &&
         interval->high - interval->low <= 2.0 * rule.relative_half_width * stats::median(figures);
}

int next_batch(const StoppingRule& rule, int samples, double elapsed, double cycle) {
  if (samples < fewest_samples) {
    const int most = std::max(fewest_samples, std::min({rule.min_samples, rule.max_samples, largest_batch}));
    return std::clamp(fitting(rule.budget - elapsed, cycle) / 2, fewest_samples - samples, most);
  }
  const int fits = fitting(rule.budget - elapsed, cycle);
  const int left = rule.max_samples - samples;
  if (fits == 0 || left <= 0) return 0;
  const int wanted = samples < rule.min_samples ? rule.min_samples - samples : std::max(smallest_growth, samples / 4);
  return std::min({wanted, left, std::max(1, fits / 2), largest_batch});
}

bool is_steady(std::span<const double> figures) {
  if (figures.size() < static_cast<std::size_t>(steady_window)) return false;
  return stats::change_point_p_value(figures.last(steady_window)) > steady_level;
}

int next_warmup_batch(const StoppingRule& rule, int steps, double elapsed, double cycle) {
  if (steps == 0) return 1;
  const int fits = fitting(warmup_share * rule.budget - elapsed, cycle);
  return std::max(0, std::min({fits, steady_window / 2, most_warmup_steps - steps}));
}

int streamed_operations(double time) {
  const double wanted = std::ceil(streamed_seconds / std::max(time, streamed_seconds / most_streamed));
  return std::max(static_cast<int>(wanted), fewest_streamed);
}

bool needs_barrier(double clock_error, double time) { return clock_error > clock_share * time; }

}  // namespace rackproof
