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

Certainty::Certainty(const StoppingRule& rule, bool takes_part) : takes_part_(takes_part) {
  for (const TimeBound& bound : rule.limits) {
    entries_.push_back({stats::SequentialTest(bound.seconds, bound.longer, rule.plan), bound.of_job});
  }
}

void Certainty::add(std::span<const double> times, bool of_job) {
  for (Entry& entry : entries_) {
    if (entry.of_job != of_job) continue;
    for (const double time : times) entry.test.add(time);
  }
}

void Certainty::add_own(std::span<const double> times) { add(times, false); }
void Certainty::add_job(std::span<const double> figures) { add(figures, true); }

bool Certainty::is_open(bool of_job) const {
  if (!of_job && !takes_part_) return false;
  return std::any_of(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.of_job == of_job && entry.test.side() == stats::SequentialTest::Side::open;
  });
}

bool is_converged(const StoppingRule& rule, std::span<const double> figures) {
  if (figures.size() < static_cast<std::size_t>(std::max(rule.min_samples, fewest_samples))) return false;
  const auto interval = stats::median_interval(figures, 0.95, stats::effective_sample_size(figures));
  return interval.has_value() &&
         interval->high - interval->low <= 2.0 * rule.relative_half_width * stats::median(figures);
}

int next_batch(const StoppingRule& rule, int samples, double elapsed, double cycle) {
  if (samples < fewest_samples) {
    // Where a few samples may be enough, they are looked at first.
    const int first = rule.limits.empty() ? rule.min_samples : std::min(rule.min_samples, rule.plan.fewest);
    const int most = std::max(fewest_samples, std::min({first, rule.max_samples, largest_batch}));
    return std::clamp(fitting(rule.budget - elapsed, cycle) / 2, fewest_samples - samples, most);
  }
  const int fits = fitting(rule.budget - elapsed, cycle);
  const int left = rule.max_samples - samples;
  if (fits == 0 || left <= 0) return 0;
  const int growth = std::max(smallest_growth, samples / 4);
  const int wanted = samples < rule.min_samples && rule.limits.empty() ? rule.min_samples - samples : growth;
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
