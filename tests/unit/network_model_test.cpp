#include "common/stats/network_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "common/core/error.hpp"
#include "common/stats/line_fit.hpp"
#include "common/stats/piecewise.hpp"
#include "tests/unit/network_fixture.hpp"

namespace rackproof::stats {
namespace {

using testing::Machine;

constexpr double alpha = 2e-6;
constexpr double beta = 1.0 / 10e9;
const NetworkModelOptions brief{.bootstraps = 200};

double straight(double bytes) { return alpha + beta * bytes; }
/// Another protocol above 40 kB: a longer start, then faster. The lines meet at 167 kB.
double switched(double bytes) { return bytes < 40e3 ? straight(bytes) : 12e-6 + bytes / 25e9; }

bool holds(const Interval& interval, double value) { return interval.low <= value && value <= interval.high; }

const std::vector<double> no_times{
    0.0,    -1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), 5e-324, 0.99e-12,
    1.01e6, 1e308};

/// How often, of `seeds`, something holds.
template <typename Test>
double share(int seeds, Test&& test) {
  int count = 0;
  for (int seed = 0; seed < seeds; ++seed) count += test(static_cast<std::uint64_t>(seed)) ? 1 : 0;
  return static_cast<double>(count) / seeds;
}

double relative_cost(const std::vector<FitPoint>& points, const Line& line) {
  double cost = 0.0;
  for (const FitPoint& p : points) cost += std::abs(p.t - line.at(p)) / (p.t * relative_sigma(p, 0.02));
  return cost;
}

TEST(LineFit, no_line_through_two_points_or_along_an_axis_deviates_less) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> uniform;
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<FitPoint> points;
    for (int i = 0; i < 8; ++i) {
      const double x = 1.0 + 5.0 * uniform(random);
      const double y = std::exp(10.0 * uniform(random));
      points.push_back({x, y, (x + 0.01 * y) * std::exp(uniform(random) - 0.5), 0.05 * uniform(random), 0});
    }
    const Line line = least_absolute_line(points, 0.02);
    EXPECT_GE(line.a, 0.0);
    EXPECT_GE(line.b, 0.0);
    const double cost = relative_cost(points, line) * (1.0 - 1e-9);
    for (const FitPoint& p : points) {
      EXPECT_LE(cost, relative_cost(points, {p.t / p.x, 0.0}));
      EXPECT_LE(cost, relative_cost(points, {0.0, p.t / p.y}));
      for (const FitPoint& q : points) {
        const double determinant = p.x * q.y - q.x * p.y;
        const Line through{(p.t * q.y - q.t * p.y) / determinant, (p.x * q.t - q.x * p.t) / determinant};
        if (!(through.a >= 0.0 && through.b >= 0.0)) continue;
        EXPECT_LE(cost, relative_cost(points, through));
      }
    }
  }
}

TEST(LineFit, one_wild_point_among_many_hardly_moves_the_line) {
  std::vector<FitPoint> points;
  for (int e = 0; e < 12; ++e) points.push_back({1.0, std::ldexp(1.0, e), 100.0 + std::ldexp(1.0, e), 0.01, 0});
  points[5].t *= 10.0;
  const Line line = refine_line(points, 0.01, least_absolute_line(points, 0.01));
  EXPECT_NEAR(line.a, 100.0, 1.0);
  EXPECT_NEAR(line.b, 1.0, 0.02);
}

TEST(LineFit, the_scatter_is_what_the_errors_leave_unexplained) {
  Machine machine(8);
  std::vector<double> residuals;
  std::vector<double> errors;
  for (int i = 0; i < 4000; ++i) {
    errors.push_back(i % 2 == 0 ? 0.01 : 0.2);
    residuals.push_back(std::log(machine.effect(std::hypot(0.05, errors.back()))));
  }
  EXPECT_NEAR(robust_scatter(residuals, errors, 0), 0.05, 0.01);
  std::fill(errors.begin(), errors.end(), 0.5);
  EXPECT_EQ(robust_scatter(residuals, errors, 0), 0.0);
}

TEST(NetworkModel, intervals_hold_the_true_alpha_and_beta_as_often_as_they_say) {
  for (const double misfit : {0.0, 0.03}) {
    int alphas = 0;
    int betas = 0;
    constexpr int seeds = 300;
    for (int seed = 0; seed < seeds; ++seed) {
      const NetworkModel model =
          fit_network_model(Machine(static_cast<std::uint64_t>(seed)).sweep(straight, misfit), brief);
      alphas += holds(model.segments.front().alpha_interval, alpha) ? 1 : 0;
      betas += holds(model.segments.back().beta_interval, beta) ? 1 : 0;
    }
    // 3 standard deviations of 300 trials at 95 % are 3.8 %.
    EXPECT_NEAR(alphas / static_cast<double>(seeds), 0.95, 0.045) << misfit;
    EXPECT_NEAR(betas / static_cast<double>(seeds), 0.95, 0.045) << misfit;
  }
}

TEST(NetworkModel, intervals_are_no_wider_than_the_noise_makes_them) {
  const NetworkModel model = fit_network_model(Machine(1).sweep(straight), brief);
  const Segment& segment = model.segments.front();
  EXPECT_LT(segment.alpha_interval.high / segment.alpha_interval.low, 1.02);
  EXPECT_LT(segment.beta_interval.high / segment.beta_interval.low, 1.05);
  EXPECT_LE(segment.alpha_interval.low, segment.alpha);
  EXPECT_GE(segment.alpha_interval.high, segment.alpha);
}

TEST(NetworkModel, a_straight_line_stays_one_segment) {
  const auto one = [](std::uint64_t seed) {
    return fit_network_model(Machine(seed).sweep(straight, 0.03), brief).segments.size() == 1;
  };
  EXPECT_GE(share(100, one), 0.93);
}

TEST(NetworkModel, finds_where_a_protocol_changes) {
  const auto found = [](std::uint64_t seed) {
    const NetworkModel model = fit_network_model(Machine(seed).sweep(switched, 0.02), brief);
    if (model.crossovers.size() != 1) return false;
    const Crossover& crossover = model.crossovers.front();
    return crossover.below == 32768.0 && crossover.above == 131072.0 && crossover.equal_at > 100e3 &&
           crossover.equal_at < 300e3;
  };
  EXPECT_GE(share(100, found), 0.90);
}

TEST(NetworkModel, tells_alpha_and_beta_of_both_protocols) {
  const NetworkModel model = fit_network_model(Machine(4).sweep(switched, 0.0, 1), brief);
  ASSERT_EQ(model.segments.size(), 2U);
  EXPECT_NEAR(model.segments[0].alpha, alpha, 0.02 * alpha);
  EXPECT_NEAR(model.segments[1].alpha, 12e-6, 0.05 * 12e-6);
  EXPECT_NEAR(model.segments[1].beta, 1.0 / 25e9, 0.03 / 25e9);
  EXPECT_NEAR(model.time(1024.0), straight(1024.0), 0.02 * straight(1024.0));
  EXPECT_NEAR(model.time(1048576.0), switched(1048576.0), 0.02 * switched(1048576.0));
}

TEST(NetworkModel, finds_three_segments_where_there_are_three) {
  const auto three = [](double bytes) {
    return bytes < 4e3 ? 1e-6 : bytes < 300e3 ? 4e-6 + bytes / 2e9 : 160e-6 + bytes / 20e9;
  };
  const NetworkModel model = fit_network_model(Machine(5).sweep(three, 0.0, 1), brief);
  ASSERT_EQ(model.crossovers.size(), 2U);
  EXPECT_EQ(model.crossovers[0].below, 2048.0);
  EXPECT_EQ(model.crossovers[1].below, 262144.0);
}

TEST(NetworkModel, flags_the_one_size_that_is_too_slow) {
  const auto flagged = [](std::uint64_t seed) {
    auto sizes = Machine(seed).sweep(straight, 0.01);
    SizeSamples& bad = sizes[seed % sizes.size()];
    for (double& t : bad.times) t *= 1.3;
    const NetworkModel model = fit_network_model(sizes, brief);
    return model.off_model.size() == 1 && model.off_model.front().bytes == bad.bytes &&
           model.off_model.front().deviation > 0.2 && model.off_model.front().deviation < 0.45;
  };
  EXPECT_GE(share(120, flagged), 0.92);
}

TEST(NetworkModel, a_healthy_sweep_is_flagged_in_at_most_one_of_twenty_seeds) {
  for (const double misfit : {0.0, 0.03}) {
    for (const int every : {1, 2}) {
      const auto clean = [&](std::uint64_t seed) {
        return fit_network_model(Machine(seed).sweep(straight, misfit, every), {.bootstraps = 0}).off_model.empty();
      };
      EXPECT_GE(share(300, clean), 0.95) << misfit << " " << every;
    }
  }
  const auto clean = [](std::uint64_t seed) {
    return fit_network_model(Machine(seed).sweep(switched, 0.03), {.bootstraps = 0}).off_model.empty();
  };
  EXPECT_GE(share(300, clean), 0.95);
}

TEST(NetworkModel, never_falls_with_size_and_never_goes_below_zero) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Machine machine(seed);
    // Sizes that deviate by half and more: nothing about them is a line.
    const NetworkModel model = fit_network_model(machine.sweep(switched, 0.7), {.bootstraps = 0});
    double last = 0.0;
    for (const Segment& segment : model.segments) {
      EXPECT_GE(segment.alpha, 0.0);
      EXPECT_GE(segment.beta, 0.0);
      EXPECT_GE(segment.sizes, 3U);
      // The M-estimate moves the lines of the search, hence not exactly.
      EXPECT_GE(segment.time(segment.first), 0.5 * last) << seed;
      last = segment.time(segment.last);
    }
  }
}

TEST(NetworkModel, a_time_that_falls_with_size_is_off_the_model) {
  // 8 KiB takes longer than 32 KiB.
  auto sizes = Machine(6).sweep(straight, 0.0);
  const auto slow = std::find_if(sizes.begin(), sizes.end(), [](const auto& s) { return s.bytes == 8192.0; });
  for (double& t : slow->times) t *= 4.0;
  const NetworkModel model = fit_network_model(sizes, brief);
  ASSERT_EQ(model.off_model.size(), 1U);
  EXPECT_EQ(model.off_model.front().bytes, 8192.0);
  EXPECT_NEAR(model.off_model.front().measured / model.off_model.front().expected, 4.0, 0.2);
}

TEST(NetworkModel, latency_alone_has_no_slope_and_bandwidth_alone_no_latency) {
  const NetworkModel flat = fit_network_model(Machine(7).sweep([](double) { return 5e-6; }), brief);
  EXPECT_NEAR(flat.segments.front().alpha, 5e-6, 0.02 * 5e-6);
  EXPECT_LT(flat.segments.back().time(67108864.0), 5.3e-6);
  const NetworkModel steep = fit_network_model(Machine(7).sweep([](double s) { return s / 1e9; }), brief);
  EXPECT_NEAR(steep.segments.back().beta, 1e-9, 0.02e-9);
  EXPECT_LT(steep.segments.front().alpha, 0.1 * 8e-9);
}

TEST(NetworkModel, a_size_that_is_hardly_known_counts_little) {
  auto sizes = Machine(9).sweep(straight);
  sizes.back().times = {0.004, 0.02, 0.11, 0.6};  // truth: 6.7 ms
  const NetworkModel model = fit_network_model(sizes, brief);
  EXPECT_NEAR(model.segments.back().beta, beta, 0.04 * beta);
  EXPECT_TRUE(model.off_model.empty());
}

TEST(NetworkModel, is_the_same_for_the_same_seed_and_in_any_order) {
  auto sizes = Machine(10).sweep(straight, 0.02);
  const NetworkModel first = fit_network_model(sizes, brief);
  std::reverse(sizes.begin(), sizes.end());
  const NetworkModel again = fit_network_model(sizes, brief);
  EXPECT_EQ(first.segments.front().alpha, again.segments.front().alpha);
  EXPECT_EQ(first.segments.front().alpha_interval.low, again.segments.front().alpha_interval.low);
  NetworkModelOptions other = brief;
  other.seed = 2;
  EXPECT_NE(first.segments.front().alpha_interval.low,
            fit_network_model(sizes, other).segments.front().alpha_interval.low);
}

TEST(Piecewise, divides_without_a_gap_whatever_the_times_are) {
  for (const double wrong : no_times) {
    if (wrong < 0.0) continue;
    for (const std::size_t every : {1U, 2U, 12U}) {
      GroupedPoints points;
      points.laws.resize(1);
      points.begin.push_back(0);
      for (std::size_t i = 0; i < 24; ++i) {
        const double bytes = std::ldexp(1.0, static_cast<int>(i));
        points.laws[0].push_back({1.0, bytes, i % every == 0 ? wrong : straight(bytes), 0.01, 0});
        points.begin.push_back(i + 1);
      }
      std::size_t end = 0;
      for (const Piece& piece : divide(points, 3)) {
        EXPECT_EQ(piece.first, end) << wrong << " " << every;
        EXPECT_GE(piece.end, piece.first + fewest_groups) << wrong << " " << every;
        end = piece.end;
      }
      EXPECT_EQ(end, points.groups()) << wrong << " " << every;
    }
  }
}

TEST(NetworkModel, sound_times_however_wild_give_a_finite_model) {
  std::mt19937_64 random(17);
  std::uniform_real_distribution<double> decade(-11.9, 5.9);
  for (int trial = 0; trial < 40; ++trial) {
    std::vector<SizeSamples> sizes;
    for (int e = 0; e < 12; ++e) {
      SizeSamples& size = sizes.emplace_back(SizeSamples{std::ldexp(1.0, 5 * e), {}});
      for (int i = 0; i <= e; ++i) size.times.push_back(std::pow(10.0, decade(random)));
    }
    const NetworkModel model = fit_network_model(sizes, brief);
    for (const Segment& segment : model.segments) {
      EXPECT_TRUE(std::isfinite(segment.alpha) && std::isfinite(segment.beta)) << trial;
      EXPECT_GT(segment.time(segment.last), 0.0) << trial;
    }
  }
}

TEST(NetworkModel, a_median_is_judged_where_its_interval_is_narrow) {
  Machine machine(18);
  EXPECT_TRUE(is_judgeable({8.0, machine.samples(1e-6, 20)}));
  EXPECT_TRUE(is_judgeable({8.0, std::vector<double>(6, 1e-6)}));
  EXPECT_FALSE(is_judgeable({8.0, std::vector<double>(5, 1e-6)}));
  EXPECT_FALSE(is_judgeable({8.0, {}}));
  EXPECT_TRUE(is_judgeable({8.0, {1.0, 1.1, 0.9, 1.4, 0.6, 1.0}}));
  EXPECT_FALSE(is_judgeable({8.0, {1.0, 1.1, 0.9, 1.6, 0.6, 1.0}}));
  EXPECT_FALSE(is_judgeable({8.0, {1.0, 1.1, 0.9, 1.4, 0.4, 1.0}}));
}

TEST(NetworkModel, refuses_what_cannot_be_fitted) {
  const std::vector<SizeSamples> good = Machine(11).sweep(straight);
  EXPECT_THROW((void)fit_network_model(std::span(good).first(3)), Error);
  EXPECT_NO_THROW((void)fit_network_model(std::span(good).first(4)));
  for (const double wrong : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN()}) {
    auto sizes = good;
    sizes[2].bytes = wrong;
    EXPECT_THROW((void)fit_network_model(sizes), Error);
  }
  for (const double wrong : no_times) {
    auto sizes = good;
    sizes[2].times[0] = wrong;
    EXPECT_THROW((void)fit_network_model(sizes), Error) << wrong;
    for (SizeSamples& size : sizes) std::fill(size.times.begin(), size.times.end(), wrong);
    EXPECT_THROW((void)fit_network_model(sizes), Error) << wrong;
  }
  auto twice = good;
  twice[1].bytes = twice[0].bytes;
  EXPECT_THROW((void)fit_network_model(twice), Error);
  auto empty = good;
  empty[3].times.clear();
  EXPECT_THROW((void)fit_network_model(empty), Error);
}

}  // namespace
}  // namespace rackproof::stats
