#include "common/stats/line_fit.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "common/stats/order_statistics.hpp"

namespace rackproof::stats {
namespace {

constexpr double normal_median = 0.6744897501960817;  // of |N(0, 1)|
constexpr double normal_975 = 1.959963984540054;

/// The sums of a weighted regression on x and y.
struct Moments {
  double xx = 0.0;
  double xy = 0.0;
  double yy = 0.0;
  double xt = 0.0;
  double yt = 0.0;

  void add(double w, double x, double y, double t) {
    xx += w * x * x;
    xy += w * x * y;
    yy += w * y * y;
    xt += w * x * t;
    yt += w * y * t;
  }
  /// Least squares with a, b >= 0: the inner solution, or the better of the two edges.
  [[nodiscard]] Line line() const {
    const double determinant = xx * yy - xy * xy;
    if (determinant > 1e-12 * xx * yy) {
      const Line inner{(yy * xt - xy * yt) / determinant, (xx * yt - xy * xt) / determinant};
      if (inner.a >= 0.0 && inner.b >= 0.0) return inner;
    }
    // What an edge takes off the sum of squares: (sum w x t)^2 / sum w x^2.
    const double gain_x = xt > 0.0 ? xt * xt / xx : 0.0;
    const double gain_y = yt > 0.0 ? yt * yt / yy : 0.0;
    return gain_x >= gain_y ? Line{std::max(xt, 0.0) / xx, 0.0} : Line{0.0, std::max(yt, 0.0) / yy};
  }
};

double absolute_cost(std::span<const FitPoint> points, double scatter, const Line& line) {
  double cost = 0.0;
  for (const FitPoint& p : points) cost += std::abs(p.t - line.at(p)) / (p.t * relative_sigma(p, scatter));
  return cost;
}

/// The value at which half of the weight is reached.
double weighted_median(std::vector<std::pair<double, double>>& values) {
  std::sort(values.begin(), values.end());
  double total = 0.0;
  for (const auto& [value, weight] : values) total += weight;
  double sum = 0.0;
  for (const auto& [value, weight] : values) {
    sum += weight;
    if (2.0 * sum >= total) return value;
  }
  return values.back().first;
}

}  // namespace

double relative_sigma(const FitPoint& point, double scatter) {
  return std::sqrt(point.error * point.error + scatter * scatter + least_scatter * least_scatter);
}

double log_residual(const FitPoint& point, const Line& line) { return std::log(point.t / line.at(point)); }

double median_error(std::span<const double> times, double effective) {
  if (const auto interval = median_interval(times, 0.95, effective)) {
    return std::log(interval->high / interval->low) / (2.0 * normal_975);
  }
  if (times.size() < 3) return 0.30;
  const auto [least, most] = std::minmax_element(times.begin(), times.end());
  return std::max(0.05, std::log(*most / *least) / 2.0);
}

Line least_absolute_line(std::span<const FitPoint> points, double scatter) {
  // Divided by x: v = a + b q, each weighted with x / (t sigma). The best line goes through some point; of all through
  // point j the cost is convex in the slope, least at the weighted median of the slopes to the others, and a, b >= 0
  // only limits that slope.
  Line best;
  double least = std::numeric_limits<double>::infinity();
  std::vector<std::pair<double, double>> slopes;
  for (const FitPoint& pivot : points) {
    const double v = pivot.t / pivot.x;
    const double q = pivot.y / pivot.x;
    slopes.clear();
    for (const FitPoint& p : points) {
      const double step = p.y / p.x - q;
      if (step == 0.0) continue;
      const double weight = p.x / (p.t * relative_sigma(p, scatter)) * std::abs(step);
      const double slope = (p.t / p.x - v) / step;
      if (std::isfinite(slope) && std::isfinite(weight)) slopes.emplace_back(slope, weight);  // NaN cannot be sorted
    }
    const double slope = slopes.empty() ? 0.0 : std::clamp(weighted_median(slopes), 0.0, v / q);
    const Line line{std::max(0.0, v - slope * q), slope};
    const double cost = absolute_cost(points, scatter, line);
    if (cost < least) {
      least = cost;
      best = line;
    }
  }
  return best;
}

Line refine_line(std::span<const FitPoint> points, double scatter, Line start) {
  constexpr int most_steps = 50;
  constexpr double k = 1.345;
  Line line = start;
  for (int step = 0; step < most_steps; ++step) {
    Moments moments;
    for (const FitPoint& p : points) {
      const double model = line.at(p);
      const double residual = log_residual(p, line);
      const double sigma = relative_sigma(p, scatter);
      const double huber = std::min(1.0, k * sigma / std::max(std::abs(residual), 1e-300));
      // Gauss-Newton of log t: near the line, t is model (1 + residual).
      const double unit = model * sigma;
      moments.add(huber / (unit * unit), p.x, p.y, model * (1.0 + residual));
    }
    const Line next = moments.line();
    if (!(next.a > 0.0 || next.b > 0.0)) return start;
    const bool done = std::abs(next.a - line.a) <= 1e-9 * next.a && std::abs(next.b - line.b) <= 1e-9 * next.b;
    line = next;
    if (done) break;
  }
  return line;
}

double relative_variance(std::span<const FitPoint> points, double scatter, const Line& line, const FitPoint& where) {
  Moments moments;
  for (const FitPoint& p : points) {
    const double unit = line.at(p) * relative_sigma(p, scatter);
    moments.add(1.0 / (unit * unit), p.x, p.y, 0.0);
  }
  const double x = where.x / line.at(where);
  const double y = where.y / line.at(where);
  if (line.b == 0.0) return x * x / moments.xx;
  if (line.a == 0.0) return y * y / moments.yy;
  const double determinant = moments.xx * moments.yy - moments.xy * moments.xy;
  if (determinant <= 1e-12 * moments.xx * moments.yy) return std::numeric_limits<double>::infinity();
  return (x * x * moments.yy - 2.0 * x * y * moments.xy + y * y * moments.xx) / determinant;
}

double robust_scatter(std::span<const double> residuals, std::span<const double> errors, std::size_t parameters) {
  const auto excess = [&](double scatter) {
    std::vector<double> z(residuals.size());
    for (std::size_t i = 0; i < z.size(); ++i) {
      const FitPoint point{1.0, 1.0, 1.0, errors[i]};
      z[i] = std::abs(residuals[i]) / relative_sigma(point, scatter);
    }
    std::sort(z.begin(), z.end());
    const std::size_t taken = std::min(parameters, z.size() - 1);
    return median(std::span(z).subspan(taken)) - normal_median;
  };
  if (residuals.empty() || excess(0.0) <= 0.0) return 0.0;
  double low = 0.0;
  double high = least_scatter;
  while (excess(high) > 0.0 && high < 1e3) high *= 2.0;
  for (int step = 0; step < 60; ++step) {
    const double middle = 0.5 * (low + high);
    (excess(middle) > 0.0 ? low : high) = middle;
  }
  return high;
}

}  // namespace rackproof::stats
