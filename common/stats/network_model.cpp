#include "common/stats/network_model.hpp"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <boost/random/beta_distribution.hpp>
#include <boost/random/mersenne_twister.hpp>
#include <boost/random/student_t_distribution.hpp>
#include <cmath>
#include <limits>
#include <utility>

#include "common/core/error.hpp"
#include "common/core/time_bounds.hpp"
#include "common/stats/line_fit.hpp"
#include "common/stats/piecewise.hpp"

namespace rackproof::stats {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

/// A size's sorted samples, from which medians are drawn.
struct Sample {
  double bytes = 0.0;
  std::vector<double> sorted;
  double effective = 0.0;
};

Error bad_input(const char* what) {
  return {ExitCode::internal, "stats", 0, "", std::string("network model: ") + what};
}

std::vector<Sample> samples_of(std::span<const SizeSamples> sizes) {
  if (sizes.size() < fewest_sizes) throw bad_input("too few sizes");
  std::vector<Sample> samples;
  for (const SizeSamples& size : sizes) {
    if (!(size.bytes > 0.0) || size.times.empty()) throw bad_input("a size without bytes or times");
    const bool good = std::all_of(size.times.begin(), size.times.end(), is_time);
    if (!good) throw bad_input("a time that no message takes");
    Sample sample{size.bytes, size.times, effective_sample_size(size.times)};
    std::sort(sample.sorted.begin(), sample.sorted.end());
    samples.push_back(std::move(sample));
  }
  std::sort(samples.begin(), samples.end(), [](const Sample& a, const Sample& b) { return a.bytes < b.bytes; });
  const auto same = [](const Sample& a, const Sample& b) { return a.bytes == b.bytes; };
  if (std::adjacent_find(samples.begin(), samples.end(), same) != samples.end()) throw bad_input("a size twice");
  return samples;
}

GroupedPoints points_of(const std::vector<Sample>& samples) {
  GroupedPoints points;
  points.laws.resize(1);
  points.begin.push_back(0);
  for (const Sample& sample : samples) {
    points.laws[0].push_back(
        {1.0, sample.bytes, median(sample.sorted), median_error(sample.sorted, sample.effective), 0});
    points.begin.push_back(points.laws[0].size());
  }
  return points;
}

/// What the pieces leave unexplained.
double scatter_of(const GroupedPoints& points, const std::vector<Piece>& pieces) {
  std::vector<double> residuals;
  std::vector<double> errors;
  std::size_t parameters = 0;
  for (const Piece& piece : pieces) {
    parameters += piece.parameters();
    for (const FitPoint& p : points.of(piece.law, piece.first, piece.end)) {
      residuals.push_back(log_residual(p, piece.line));
      errors.push_back(p.error);
    }
  }
  return robust_scatter(residuals, errors, parameters);
}

/// With the scatter known: new weights, then the M-estimate.
void refine(const GroupedPoints& points, double scatter, std::vector<Piece>& pieces) {
  for (Piece& piece : pieces) {
    const auto those = points.of(piece.law, piece.first, piece.end);
    piece.line = refine_line(those, scatter, least_absolute_line(those, scatter));
  }
}

double degrees_of_freedom(const GroupedPoints& points, const std::vector<Piece>& pieces) {
  std::size_t parameters = 0;
  for (const Piece& piece : pieces) parameters += piece.parameters();
  const std::size_t n = points.laws.front().size();
  return n > parameters ? static_cast<double>(n - parameters) : 1.0;
}

// ---- intervals ----

class Bootstrap {
 public:
  Bootstrap(const std::vector<Sample>& samples, const NetworkModelOptions& options)
      : samples_(samples), options_(options), random_(options.seed) {}

  /// The intervals of all pieces' parameters: each round draws a median for every size from its samples, and how much
  /// that size deviates from a line beside; where the pieces end is taken as known.
  void run(const GroupedPoints& points, const std::vector<Piece>& pieces, double scatter,
           std::vector<Segment>& segments) {
    std::vector<std::vector<double>> alphas(pieces.size());
    std::vector<std::vector<double>> betas(pieces.size());
    boost::random::student_t_distribution<double> deviation(degrees_of_freedom(points, pieces));
    for (int round = 0; round < options_.bootstraps; ++round) {
      GroupedPoints drawn = points;
      for (std::size_t i = 0; i < samples_.size(); ++i) {
        drawn.laws[0][i].t = draw_median(samples_[i]) * std::exp(scatter * deviation(random_));
      }
      for (std::size_t k = 0; k < pieces.size(); ++k) {
        const auto those = drawn.of(0, pieces[k].first, pieces[k].end);
        const Line line = refine_line(those, scatter, pieces[k].line);
        alphas[k].push_back(line.a);
        betas[k].push_back(line.b);
      }
    }
    const double tail = (1.0 - options_.confidence) / 2.0;
    for (std::size_t k = 0; k < pieces.size() && options_.bootstraps > 0; ++k) {
      segments[k].alpha_interval = {quantile(alphas[k], tail), quantile(alphas[k], 1.0 - tail)};
      segments[k].beta_interval = {quantile(betas[k], tail), quantile(betas[k], 1.0 - tail)};
    }
  }

 private:
  /// The median of a sample that is drawn from the sample is one of its values: of n uniform positions the middle one
  /// is Beta((n+1)/2, (n+1)/2) distributed.
  double draw_median(const Sample& sample) {
    const double shape = (sample.effective + 1.0) / 2.0;
    const double position = boost::random::beta_distribution<double>(shape, shape)(random_);
    const auto n = sample.sorted.size();
    return sample.sorted[std::min(n - 1, static_cast<std::size_t>(position * static_cast<double>(n)))];
  }

  const std::vector<Sample>& samples_;
  const NetworkModelOptions& options_;
  boost::random::mt19937_64 random_;
};

// ---- sizes off the model ----

/// How far `point` is from what the others of a piece say.
struct Deviation {
  double log_ratio = 0.0;
  double z = infinity;
  double expected = 0.0;
};

Deviation deviation_from(std::span<const FitPoint> others, double scatter, const FitPoint& point) {
  Deviation found;
  const Line line = refine_line(others, scatter, least_absolute_line(others, scatter));
  const double sigma = relative_sigma(point, scatter);
  found.expected = line.at(point);
  found.log_ratio = log_residual(point, line);
  found.z = found.log_ratio / std::sqrt(sigma * sigma + relative_variance(others, scatter, line, point));
  return found;
}

/// Against its own piece without it; at a piece's end also against its neighbour, to which it may belong.
Deviation left_out(const GroupedPoints& points, const std::vector<Piece>& pieces, std::size_t own, std::size_t group,
                   double scatter) {
  const FitPoint& point = points.laws[0][group];
  const auto against = [&](std::size_t k) {
    const auto those = points.of(0, pieces[k].first, pieces[k].end);
    std::vector<FitPoint> others;
    for (const FitPoint& p : those) {
      if (&p != &point) others.push_back(p);
    }
    return deviation_from(others, scatter, point);
  };
  Deviation least = against(own);
  const auto consider = [&](std::size_t k) {
    const Deviation other = against(k);
    if (std::abs(other.z) < std::abs(least.z)) least = other;
  };
  if (group == pieces[own].first && own > 0) consider(own - 1);
  if (group + 1 == pieces[own].end && own + 1 < pieces.size()) consider(own + 1);
  return least;
}

std::vector<OffModel> off_model(const GroupedPoints& points, const std::vector<Piece>& pieces, double scatter,
                                const NetworkModelOptions& options) {
  const double family = 1.0 - options.confidence;
  const auto tests = 2.0 * static_cast<double>(points.groups());
  const boost::math::students_t_distribution<double> student(degrees_of_freedom(points, pieces));
  const double limit = std::max(3.5, boost::math::quantile(boost::math::complement(student, family / tests)));
  std::vector<OffModel> found;
  for (std::size_t k = 0; k < pieces.size(); ++k) {
    for (std::size_t group = pieces[k].first; group < pieces[k].end; ++group) {
      const Deviation d = left_out(points, pieces, k, group, scatter);
      if (std::abs(d.z) <= limit || std::abs(d.log_ratio) <= std::log1p(options.least_deviation)) continue;
      const FitPoint& point = points.laws[0][group];
      found.push_back({point.y, point.t, d.expected, point.t / d.expected - 1.0, d.z});
    }
  }
  return found;
}

std::vector<Crossover> crossovers_of(const std::vector<Segment>& segments) {
  std::vector<Crossover> found;
  for (std::size_t k = 0; k + 1 < segments.size(); ++k) {
    const Segment& lower = segments[k];
    const Segment& upper = segments[k + 1];
    const double equal_at = (upper.alpha - lower.alpha) / (lower.beta - upper.beta);
    found.push_back({lower.last, upper.first,
                     std::isfinite(equal_at) && equal_at > 0.0 ? equal_at : std::numeric_limits<double>::quiet_NaN()});
  }
  return found;
}

}  // namespace

bool is_judgeable(const SizeSamples& size) {
  constexpr std::size_t fewest_samples = 6;
  constexpr double widest = 0.5;
  if (size.times.size() < fewest_samples) return false;
  const auto interval = median_interval(size.times, 0.95, effective_sample_size(size.times));
  const double middle = median(size.times);
  return interval && interval->low >= (1.0 - widest) * middle && interval->high <= (1.0 + widest) * middle;
}

double NetworkModel::time(double bytes) const {
  for (std::size_t k = 0; k + 1 < segments.size(); ++k) {
    if (bytes <= std::sqrt(segments[k].last * segments[k + 1].first)) return segments[k].time(bytes);
  }
  return segments.back().time(bytes);
}

NetworkModel fit_network_model(std::span<const SizeSamples> sizes, const NetworkModelOptions& options) {
  const std::vector<Sample> samples = samples_of(sizes);
  const GroupedPoints points = points_of(samples);
  std::vector<Piece> pieces = divide(points, static_cast<std::size_t>(std::max(1, options.most_segments)));
  NetworkModel model;
  model.scatter = scatter_of(points, pieces);
  refine(points, model.scatter, pieces);
  for (const Piece& piece : pieces) {
    model.segments.push_back({samples[piece.first].bytes, samples[piece.end - 1].bytes, piece.end - piece.first,
                              piece.line.a, piece.line.b, Interval{piece.line.a, piece.line.a},
                              Interval{piece.line.b, piece.line.b}});
  }
  Bootstrap(samples, options).run(points, pieces, model.scatter, model.segments);
  model.crossovers = crossovers_of(model.segments);
  model.off_model = off_model(points, pieces, model.scatter, options);
  return model;
}

}  // namespace rackproof::stats
