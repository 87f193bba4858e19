#include "common/stats/network_scaling.hpp"

#include <algorithm>
#include <array>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>

#include "common/core/error.hpp"
#include "common/core/time_bounds.hpp"
#include "common/stats/network_bounds.hpp"
#include "common/stats/piecewise.hpp"

namespace rackproof::stats {
namespace {

Error bad_scaling_input(const char* what) {
  return {ExitCode::internal, "stats", 0, "", std::string("network scaling: ") + what};
}

/// Bytes that a rank sends: 2 (n-1)/n S.
double load(int ranks, double bytes) { return 2.0 * (ranks - 1.0) / ranks * bytes; }

FitPoint point_at(Steps law, int ranks, double bytes) {
  FitPoint point;
  point.x = steps(law, ranks);
  point.y = load(ranks, bytes);
  return point;
}

std::set<int> rank_counts(std::span<const ScalingRun> runs) {
  std::set<int> counts;
  for (const ScalingRun& run : runs) counts.insert(run.ranks);
  return counts;
}

/// Points by size, and within a size by run; law 0: logarithmic, 1: linear.
struct Points {
  GroupedPoints grouped;
  std::vector<double> bytes;  ///< of each group
};

Points points_of(std::span<const ScalingRun> runs) {
  std::map<double, std::vector<std::pair<int, const SizeSamples*>>> by_size;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    if (runs[r].ranks < 2) throw bad_scaling_input("a run of one rank");
    for (const SizeSamples& size : runs[r].sizes) {
      if (!(size.bytes > 0.0) || size.times.empty()) throw bad_scaling_input("a size without bytes or times");
      const bool good = std::all_of(size.times.begin(), size.times.end(), is_time);
      if (!good) throw bad_scaling_input("a time that no message takes");
      by_size[size.bytes].emplace_back(static_cast<int>(r), &size);
    }
  }
  if (by_size.size() < fewest_sizes) throw bad_scaling_input("too few sizes");
  const bool both = rank_counts(runs).size() >= 3;
  Points points;
  points.grouped.laws.resize(both ? 2 : 1);
  points.grouped.begin.push_back(0);
  for (const auto& [bytes, members] : by_size) {
    points.bytes.push_back(bytes);
    for (const auto& [r, size] : members) {
      const double t = median(size->times);
      const double error = median_error(size->times, effective_sample_size(size->times));
      for (std::size_t law = 0; law < points.grouped.laws.size(); ++law) {
        const int n = runs[static_cast<std::size_t>(r)].ranks;
        FitPoint point = point_at(law == 0 ? Steps::logarithmic : Steps::linear, n, bytes);
        point.t = t;
        point.error = error;
        point.run = r;
        points.grouped.laws[law].push_back(point);
      }
    }
    points.grouped.begin.push_back(points.grouped.laws[0].size());
  }
  return points;
}

using Values = std::vector<double>;

double weight(const FitPoint& point, double scatter) {
  const double sigma = relative_sigma(point, scatter);
  return 1.0 / (sigma * sigma);
}

/// Least squares of values on the relative columns x/t, y/t of the parameters that are not held at 0.
class Regression {
 public:
  Regression(std::span<const FitPoint> points, const Line& line, double scatter)
      : points_(points), line_(line), scatter_(scatter) {}

  /// What of the values the parameters do not take.
  [[nodiscard]] Values residuals(const Values& values) const {
    double xx = 0.0;
    double xy = 0.0;
    double yy = 0.0;
    double xv = 0.0;
    double yv = 0.0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double w = weight(points_[i], scatter_);
      const auto [x, y] = columns(points_[i]);
      xx += w * x * x;
      xy += w * x * y;
      yy += w * y * y;
      xv += w * x * values[i];
      yv += w * y * values[i];
    }
    const double determinant = xx * yy - xy * xy;
    double a = 0.0;
    double b = 0.0;
    if (determinant > 1e-12 * xx * yy && determinant > 0.0) {
      a = (yy * xv - xy * yv) / determinant;
      b = (xx * yv - xy * xv) / determinant;
    } else if (xx > 0.0) {
      a = xv / xx;
    } else if (yy > 0.0) {
      b = yv / yy;
    }
    Values left = values;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto [x, y] = columns(points_[i]);
      left[i] -= a * x + b * y;
    }
    return left;
  }

  /// The weighted mean of the values of each run.
  [[nodiscard]] Values means(const Values& values, const std::vector<int>& runs) const {
    Values sums(runs.size());
    Values weights(runs.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::size_t j = position(runs, points_[i].run);
      const double w = weight(points_[i], scatter_);
      sums[j] += w * values[i];
      weights[j] += w;
    }
    for (std::size_t j = 0; j < sums.size(); ++j) sums[j] /= weights[j];
    return sums;
  }

  static std::size_t position(const std::vector<int>& runs, int run) {
    return static_cast<std::size_t>(std::find(runs.begin(), runs.end(), run) - runs.begin());
  }

 private:
  [[nodiscard]] std::pair<double, double> columns(const FitPoint& point) const {
    const double model = line_.at(point);
    return {line_.a > 0.0 ? point.x / model : 0.0, line_.b > 0.0 ? point.y / model : 0.0};
  }

  std::span<const FitPoint> points_;
  Line line_;
  double scatter_;
};

std::vector<int> runs_of(std::span<const FitPoint> points) {
  std::set<int> runs;
  for (const FitPoint& point : points) runs.insert(point.run);
  return {runs.begin(), runs.end()};
}

/// The scatter of whole runs and its degrees of freedom. The parameters take part of what runs deviate: with the mean
/// residual of run j being sum_k A_jk u_k for effects u of variance v, E sum_j mean_j^2 = v tr(A'A), and the degrees of
/// freedom are tr(A'A)^2 / tr((A'A)^2).
struct RunScatter {
  double scatter = 0.0;
  double freedom = 0.0;
};

RunScatter run_scatter(std::span<const FitPoint> points, const Line& line, double scatter) {
  const std::vector<int> runs = runs_of(points);
  const Regression regression(points, line, scatter);
  std::vector<Values> columns;  // of A
  for (const int run : runs) {
    Values effect;
    for (const FitPoint& point : points) effect.push_back(point.run == run ? 1.0 : 0.0);
    columns.push_back(regression.means(regression.residuals(effect), runs));
  }
  double trace = 0.0;
  double trace_of_square = 0.0;
  for (std::size_t j = 0; j < columns.size(); ++j) {
    for (std::size_t k = 0; k < columns.size(); ++k) {
      double product = 0.0;
      for (std::size_t i = 0; i < runs.size(); ++i) product += columns[j][i] * columns[k][i];
      if (j == k) trace += product;
      trace_of_square += product * product;
    }
  }
  Values residuals;
  for (const FitPoint& point : points) residuals.push_back(log_residual(point, line));
  double sum = 0.0;
  for (const double mean : regression.means(residuals, runs)) sum += mean * mean;
  // Less than most of one degree of freedom: the parameters go through every run.
  if (trace < 0.75) return {};
  return {std::sqrt(sum / trace), trace * trace / trace_of_square};
}

/// Squared relative standard error of the line at `where`, where points of one run share its effect: generalised least
/// squares with V = D + v 1 1' a run, V^-1 by Sherman and Morrison.
double grouped_variance(std::span<const FitPoint> points, const Line& line, double scatter, double run,
                        const FitPoint& where) {
  struct Sums {
    double w = 0.0;
    double x = 0.0;
    double y = 0.0;
  };
  std::map<int, Sums> sums;
  double xx = 0.0;
  double xy = 0.0;
  double yy = 0.0;
  for (const FitPoint& point : points) {
    const double w = weight(point, scatter);
    const double x = point.x / line.at(point);
    const double y = point.y / line.at(point);
    Sums& of_run = sums[point.run];
    of_run.w += w;
    of_run.x += w * x;
    of_run.y += w * y;
    xx += w * x * x;
    xy += w * x * y;
    yy += w * y * y;
  }
  for (const auto& [which, s] : sums) {
    const double taken = run * run / (1.0 + run * run * s.w);
    xx -= taken * s.x * s.x;
    xy -= taken * s.x * s.y;
    yy -= taken * s.y * s.y;
  }
  const double x = where.x / line.at(where);
  const double y = where.y / line.at(where);
  if (line.b == 0.0) return x * x / xx;
  if (line.a == 0.0) return y * y / yy;
  const double determinant = xx * yy - xy * xy;
  if (determinant <= 1e-12 * xx * yy) return std::numeric_limits<double>::infinity();
  return (x * x * yy - 2.0 * x * y * xy + y * y * xx) / determinant;
}

/// What sizes deviate within their runs.
double scatter_within(std::span<const FitPoint> points, const Line& line, std::size_t parameters) {
  std::map<int, Values> by_run;
  for (const FitPoint& point : points) by_run[point.run].push_back(log_residual(point, line));
  Values residuals;
  Values errors;
  for (const FitPoint& point : points) {
    residuals.push_back(log_residual(point, line) - median(by_run[point.run]));
    errors.push_back(point.error);
  }
  return robust_scatter(residuals, errors, parameters + by_run.size());
}

Steps law_of(std::size_t law) { return law == 0 ? Steps::logarithmic : Steps::linear; }

}  // namespace

double steps(Steps law, int ranks) { return law == Steps::logarithmic ? 2.0 * ceil_log2(ranks) : 2.0 * (ranks - 1); }

NetworkScaling::NetworkScaling(std::span<const ScalingRun> runs, int most_segments) {
  if (rank_counts(runs).size() < 2) throw bad_scaling_input("one number of ranks");
  const Points points = points_of(runs);
  for (const stats::Piece& piece : divide(points.grouped, static_cast<std::size_t>(std::max(1, most_segments)))) {
    const auto those = points.grouped.of(piece.law, piece.first, piece.end);
    Evidence evidence;
    evidence.points.assign(those.begin(), those.end());
    evidence.scatter = scatter_within(those, piece.line, piece.parameters());
    const Line line = refine_line(those, evidence.scatter, least_absolute_line(those, evidence.scatter));
    const std::size_t taken = piece.parameters() + runs_of(those).size();
    evidence.within_freedom = those.size() > taken ? static_cast<double>(those.size() - taken) : 1.0;
    const RunScatter whole = run_scatter(those, line, evidence.scatter);
    evidence.run_scatter = whole.scatter;
    evidence.freedom = whole.freedom;
    evidence.piece = {points.bytes[piece.first], points.bytes[piece.end - 1], law_of(piece.law), line.a, line.b};
    evidence_.push_back(std::move(evidence));
  }
}

const NetworkScaling::Evidence& NetworkScaling::evidence_at(double bytes) const {
  for (std::size_t k = 0; k + 1 < evidence_.size(); ++k) {
    if (bytes <= std::sqrt(evidence_[k].piece.last * evidence_[k + 1].piece.first)) return evidence_[k];
  }
  return evidence_.back();
}

Prediction NetworkScaling::predict(int ranks, double bytes, double confidence, double error) const {
  const Evidence& evidence = evidence_at(bytes);
  const Line line{evidence.piece.alpha, evidence.piece.beta};
  const FitPoint where = point_at(evidence.piece.steps, ranks, bytes);
  Prediction prediction;
  prediction.median = line.at(where);
  if (!(evidence.freedom > 0.0)) return prediction;
  const double parameters = grouped_variance(evidence.points, line, evidence.scatter, evidence.run_scatter, where);
  const double of_runs = parameters + evidence.run_scatter * evidence.run_scatter;
  const double of_sizes = evidence.scatter * evidence.scatter + least_scatter * least_scatter + error * error;
  const double variance = of_runs + of_sizes;
  if (!std::isfinite(variance)) return prediction;
  const double freedom =
      variance * variance / (of_runs * of_runs / evidence.freedom + of_sizes * of_sizes / evidence.within_freedom);
  const boost::math::students_t_distribution<double> student(freedom);
  const double width = boost::math::quantile(student, 0.5 + confidence / 2.0) * std::sqrt(variance);
  prediction.interval = Interval{prediction.median * std::exp(-width), prediction.median * std::exp(width)};
  return prediction;
}

std::vector<NetworkScaling::Piece> NetworkScaling::pieces() const {
  std::vector<Piece> all;
  for (const Evidence& evidence : evidence_) all.push_back(evidence.piece);
  return all;
}

std::optional<BackTest> back_test(std::span<const ScalingRun> runs, double confidence) {
  const std::set<int> counts = rank_counts(runs);
  if (counts.size() < 3) return std::nullopt;
  BackTest test;
  test.ranks = *counts.rbegin();
  std::vector<ScalingRun> smaller;
  std::copy_if(runs.begin(), runs.end(), std::back_inserter(smaller),
               [&](const ScalingRun& run) { return run.ranks < test.ranks; });
  const NetworkScaling scaling(smaller);
  for (const ScalingRun& run : runs) {
    if (run.ranks != test.ranks) continue;
    for (const SizeSamples& size : run.sizes) {
      const double error = median_error(size.times, effective_sample_size(size.times));
      test.sizes.push_back(
          {size.bytes, median(size.times), scaling.predict(test.ranks, size.bytes, confidence, error)});
    }
  }
  return test;
}

}  // namespace rackproof::stats
