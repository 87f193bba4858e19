// Robust fits of t = a x + b y with a, b >= 0 and relative errors. Internal to the network models.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace rackproof::stats {

/// A median and what it is made of.
struct FitPoint {
  double x = 1.0;      ///< multiplies a; > 0
  double y = 0.0;      ///< multiplies b; > 0
  double t = 0.0;      ///< s, median
  double error = 0.0;  ///< relative standard error of the median
  int run = 0;         ///< the launch that it was measured in
};

struct Line {
  double a = 0.0;
  double b = 0.0;

  [[nodiscard]] double at(const FitPoint& p) const { return a * p.x + b * p.y; }
};

/// What to reckon with beside a median's own error where nothing is known: no network is a straight line to less.
inline constexpr double least_scatter = 0.005;

/// sqrt(error^2 + scatter^2 + least_scatter^2).
[[nodiscard]] double relative_sigma(const FitPoint& point, double scatter);
/// log(t / line), the relative deviation.
[[nodiscard]] double log_residual(const FitPoint& point, const Line& line);

/// Relative standard error of the median: from its 95 % interval by ranks (corrected for autocorrelation); with fewer
/// than 6 samples half their range, at least 5 %; with fewer than 3 30 %.
[[nodiscard]] double median_error(std::span<const double> times, double effective);

/// Least sum of |t - line| / (t sigma). Exact: through every point the best slope is a weighted median.
/// At least one point.
[[nodiscard]] Line least_absolute_line(std::span<const FitPoint> points, double scatter);

/// Huber's M-estimate (k = 1.345) of log residuals over sigma, from `start`.
[[nodiscard]] Line refine_line(std::span<const FitPoint> points, double scatter, Line start);

/// Squared relative standard error of `line` at `where`, for least squares on these points with weights 1 / sigma^2.
/// A parameter that is 0 counts as known. Infinite where the points do not determine the rest.
[[nodiscard]] double relative_variance(std::span<const FitPoint> points, double scatter, const Line& line,
                                       const FitPoint& where);

/// The scatter with which the median of |residual| / sigma, of all but the `parameters` smallest, is that of a normal
/// distribution (a robust form of Paule and Mandel, J. Res. NBS 87, 1982). 0 where the errors alone explain them.
[[nodiscard]] double robust_scatter(std::span<const double> residuals, std::span<const double> errors,
                                    std::size_t parameters);

}  // namespace rackproof::stats
