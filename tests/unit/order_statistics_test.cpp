// The expected numbers were computed with numpy 2.4.6 and scipy 1.17.1 from the same inputs; each block says how.
#include "common/stats/order_statistics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

namespace rackproof::stats {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
const std::vector<double> ten{3.1, 1.2, 4.8, 1.2, 5.9, 2.6, 5.3, 5.8, 9.7, 9.3};

/// x <- (1103515245 x + 12345) mod 2^31, as fractions: the same series in Python's integers.
std::vector<double> series(int count, std::uint64_t seed) {
  std::vector<double> values;
  for (int i = 0; i < count; ++i) {
    seed = (seed * 1103515245U + 12345U) % (1ULL << 31U);
    values.push_back(static_cast<double>(seed) / 2147483648.0);
  }
  return values;
}

/// y <- 0.7 y + x: neighbours resemble each other.
std::vector<double> autocorrelated(const std::vector<double>& input) {
  std::vector<double> values;
  double last = 0.0;
  for (const double x : input) values.push_back(last = 0.7 * last + x);
  return values;
}

std::vector<double> one_to(int n) {
  std::vector<double> values(static_cast<std::size_t>(n));
  std::iota(values.begin(), values.end(), 1.0);
  std::shuffle(values.begin(), values.end(), std::mt19937(7));
  return values;
}

TEST(Quantile, interpolates_as_numpy_does) {
  // np.quantile(ten, q)
  EXPECT_DOUBLE_EQ(quantile(ten, 0.0), 1.2);
  EXPECT_DOUBLE_EQ(quantile(ten, 0.1), 1.2);
  EXPECT_DOUBLE_EQ(quantile(ten, 0.25), 2.725);
  EXPECT_DOUBLE_EQ(quantile(ten, 0.5), 5.05);
  EXPECT_DOUBLE_EQ(quantile(ten, 0.75), 5.875);
  EXPECT_DOUBLE_EQ(quantile(ten, 0.999), 9.696399999999999);
  EXPECT_DOUBLE_EQ(quantile(ten, 1.0), 9.7);
  // np.median of the 200 numbers
  EXPECT_DOUBLE_EQ(median(series(200, 42)), 0.5322775724343956);
  EXPECT_DOUBLE_EQ(median(autocorrelated(series(200, 42))), 1.6752355036770832);
}

TEST(Quantile, ignores_nan_and_has_no_answer_for_nothing) {
  EXPECT_DOUBLE_EQ(median(std::vector<double>{nan, 2.0, nan, 1.0, 3.0}), 2.0);
  EXPECT_TRUE(std::isnan(median(std::vector<double>{})));
  EXPECT_TRUE(std::isnan(median(std::vector<double>{nan})));
  EXPECT_DOUBLE_EQ(quantile(std::vector<double>{4.0}, 0.9), 4.0);
}

TEST(Quantile, infinities_stay_what_they_are) {
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_DOUBLE_EQ(median(std::vector<double>{1.0, infinity, infinity}), infinity);
  EXPECT_DOUBLE_EQ(quantile(std::vector<double>{infinity, infinity}, 0.5), infinity);
}

struct Ranks {
  int n;
  double confidence;
  double low;
  double high;
};

class MedianIntervalRanks : public ::testing::TestWithParam<Ranks> {};

TEST_P(MedianIntervalRanks, agree_with_the_binomial_distribution) {
  const Ranks expected = GetParam();
  // Of the numbers 1..n the value is the rank.
  const auto interval = median_interval(one_to(expected.n), expected.confidence);
  ASSERT_TRUE(interval.has_value());
  EXPECT_EQ(interval->low, expected.low);
  EXPECT_EQ(interval->high, expected.high);
}

// n <= 1000: j = the largest with scipy.stats.binom.cdf(j - 1, n, 0.5) <= (1 - confidence) / 2, k = n + 1 - j.
// Above: floor((n - z sqrt n) / 2), ceil(1 + (n + z sqrt n) / 2) with z = scipy.stats.norm.ppf((1 + confidence) / 2).
INSTANTIATE_TEST_SUITE_P(Scipy, MedianIntervalRanks,
                         ::testing::Values(Ranks{6, 0.95, 1, 6}, Ranks{7, 0.95, 1, 7}, Ranks{10, 0.95, 2, 9},
                                           Ranks{10, 0.99, 1, 10}, Ranks{20, 0.95, 6, 15}, Ranks{20, 0.99, 4, 17},
                                           Ranks{30, 0.95, 10, 21}, Ranks{31, 0.95, 10, 22}, Ranks{50, 0.95, 18, 33},
                                           Ranks{99, 0.95, 40, 60}, Ranks{100, 0.95, 40, 61}, Ranks{101, 0.99, 38, 64},
                                           Ranks{500, 0.95, 228, 273}, Ranks{999, 0.95, 469, 531},
                                           Ranks{1000, 0.95, 469, 532}, Ranks{1000, 0.99, 459, 542},
                                           Ranks{1001, 0.95, 469, 533}, Ranks{1024, 0.95, 480, 545},
                                           Ranks{1024, 0.99, 470, 555}, Ranks{5000, 0.95, 2430, 2571}));

TEST(MedianInterval, needs_six_values_at_95_percent_and_eight_at_99) {
  // binom.cdf(0, 5, 0.5) = 0.03125 > 0.025; binom.cdf(0, 7, 0.5) = 0.0078 > 0.005
  EXPECT_FALSE(median_interval(one_to(5)).has_value());
  EXPECT_TRUE(median_interval(one_to(6)).has_value());
  EXPECT_FALSE(median_interval(one_to(7), 0.99).has_value());
  EXPECT_TRUE(median_interval(one_to(8), 0.99).has_value());
  EXPECT_FALSE(median_interval(std::vector<double>{}).has_value());
}

TEST(MedianInterval, counts_only_numbers) {
  std::vector<double> values = one_to(20);
  values.insert(values.end(), 30, nan);
  const auto interval = median_interval(values);
  ASSERT_TRUE(interval.has_value());
  EXPECT_EQ(interval->low, 6.0);
  EXPECT_EQ(interval->high, 15.0);
}

TEST(MedianInterval, widens_with_fewer_effective_values) {
  // 10 effective values: ranks 2 and 9 of 10, so the fractions 1/9 and 8/9 of ranks 1..100, rounded outwards:
  // indices floor(11 - 0) = 11 and ceil(88) = 88, values 12 and 89.
  const auto interval = median_interval(one_to(100), 0.95, 10.0);
  ASSERT_TRUE(interval.has_value());
  EXPECT_EQ(interval->low, 12.0);
  EXPECT_EQ(interval->high, 89.0);
  EXPECT_FALSE(median_interval(one_to(100), 0.95, 5.9).has_value());
  // More than there are changes nothing.
  EXPECT_EQ(median_interval(one_to(100), 0.95, 1e6)->low, 40.0);
}

TEST(MedianInterval, covers_the_true_median_as_often_as_it_says) {
  std::mt19937_64 random(12345);
  std::exponential_distribution<double> draw;  // skewed, as latencies are; its median is ln 2
  constexpr int trials = 4000;
  int covered = 0;
  for (int trial = 0; trial < trials; ++trial) {
    std::vector<double> values(40);
    for (double& v : values) v = draw(random);
    const auto interval = median_interval(values);
    covered += interval->low <= std::log(2.0) && std::log(2.0) <= interval->high;
  }
  // At n = 40 the exact coverage is 0.9615; 3 standard deviations of 4000 trials are 0.009.
  EXPECT_NEAR(covered / static_cast<double>(trials), 0.9615, 0.010);
}

TEST(QuantileUpperBound, needs_as_many_values_as_the_tail_asks_for) {
  // ceil(log(0.05) / log(q))
  EXPECT_EQ(fewest_for_upper_bound(0.5), 5);
  EXPECT_EQ(fewest_for_upper_bound(0.9), 29);
  EXPECT_EQ(fewest_for_upper_bound(0.99), 299);
  EXPECT_EQ(fewest_for_upper_bound(0.999), 2995);
  EXPECT_FALSE(quantile_upper_bound(one_to(2994), 0.999).has_value());
  EXPECT_EQ(quantile_upper_bound(one_to(2995), 0.999), 2995.0);
  EXPECT_FALSE(quantile_upper_bound(one_to(4), 0.5).has_value());
  EXPECT_FALSE(quantile_upper_bound(std::vector<double>{}, 0.5).has_value());
  for (const double q : {0.0, 1.0, nan}) EXPECT_FALSE(quantile_upper_bound(one_to(100), q).has_value());
}

TEST(QuantileUpperBound, is_the_order_statistic_of_the_binomial_distribution) {
  // The smallest k with P(B <= k - 1) >= 0.95, summed in exact fractions.
  EXPECT_EQ(quantile_upper_bound(one_to(5), 0.5), 5.0);
  EXPECT_EQ(quantile_upper_bound(one_to(100), 0.5), 59.0);
  EXPECT_EQ(quantile_upper_bound(one_to(100), 0.9), 96.0);
  EXPECT_EQ(quantile_upper_bound(one_to(1024), 0.99), 1020.0);
  EXPECT_EQ(quantile_upper_bound(one_to(10000), 0.999), 9996.0);
}

TEST(QuantileUpperBound, moves_outwards_with_fewer_effective_values) {
  // 50 effective values: the 47th or so of 50 is the fraction (k - 1) / 49 of the ranks of 1..1000, rounded upwards.
  const double k = quantile_upper_bound(one_to(50), 0.9).value();
  EXPECT_EQ(quantile_upper_bound(one_to(1000), 0.9, 0.95, 50.0), std::ceil((k - 1.0) * 999.0 / 49.0) + 1.0);
  EXPECT_FALSE(quantile_upper_bound(one_to(1000), 0.9, 0.95, 28.0).has_value());
}

TEST(QuantileUpperBound, holds_as_often_as_it_says) {
  std::mt19937_64 random(99);
  std::exponential_distribution<double> draw;
  constexpr int trials = 2000;
  int held = 0;
  for (int trial = 0; trial < trials; ++trial) {
    std::vector<double> values(350);
    for (double& v : values) v = draw(random);
    held += quantile_upper_bound(values, 0.99).value() >= std::log(100.0);
  }
  // k = 350 here: 1 - 0.99^350 = 0.970; 3 standard deviations of 2000 trials are 0.0115.
  EXPECT_NEAR(held / static_cast<double>(trials), 0.970, 0.0125);
}

TEST(MidRanks, share_the_mean_among_equals) {
  // scipy.stats.rankdata(ten)
  EXPECT_THAT(mid_ranks(ten), ::testing::ElementsAre(4, 1.5, 5, 1.5, 8, 3, 6, 7, 10, 9));
}

TEST(EffectiveSampleSize, shrinks_with_autocorrelation) {
  // r = scipy.stats.rankdata(v) - (n + 1) / 2; r1 = sum(r[1:] r[:-1]) / sum(r r); n (1 - r1) / (1 + r1)
  EXPECT_NEAR(effective_sample_size(series(200, 42)), 177.68973452587124, 1e-9);
  EXPECT_NEAR(effective_sample_size(autocorrelated(series(200, 42))), 34.41488472103455, 1e-9);
  EXPECT_NEAR(effective_sample_size(ten), 6.777493606138107, 1e-12);
}

TEST(EffectiveSampleSize, never_exceeds_the_sample) {
  EXPECT_EQ(effective_sample_size(std::vector<double>{1, 9, 2, 8, 1, 9, 2, 8}), 8.0);  // negative correlation
  EXPECT_EQ(effective_sample_size(std::vector<double>(50, 3.0)), 50.0);
  EXPECT_EQ(effective_sample_size(std::vector<double>{}), 0.0);
}

TEST(ChangePoint, is_seen_in_a_step_and_in_a_trend_and_not_in_noise) {
  // K = max_t |sum_{i<=t<j} sign(x_i - x_j)| by numpy: 96, 100 and 24; p = 2 exp(-6 K^2 / (n^3 + n^2))
  std::vector<double> step;
  for (int i = 0; i < 20; ++i) step.push_back(i < 8 ? 10.0 + 0.1 * (i % 3) : 5.0 + 0.1 * ((i - 8) % 3));
  EXPECT_NEAR(change_point_p_value(step), 0.0027677793408726094, 1e-12);
  std::vector<double> falling;
  for (int i = 0; i < 20; ++i) falling.push_back(20.0 - i);
  EXPECT_NEAR(change_point_p_value(falling), 0.0015809806462399323, 1e-12);
  EXPECT_EQ(change_point_p_value(series(20, 42)), 1.0);
  EXPECT_EQ(change_point_p_value(std::vector<double>{1.0}), 1.0);
}

TEST(MedianEstimator, gives_the_numbers_that_the_single_functions_give) {
  MedianEstimator estimator;
  std::mt19937 random(9);
  std::normal_distribution<double> normal;
  for (const std::size_t size : {0U, 1U, 2U, 3U, 5U, 6U, 7U, 30U, 101U, 1000U, 1001U, 3000U}) {
    for (const double correlation : {0.0, 0.9, -0.5}) {
      for (const double grain : {1e-9, 0.5}) {  // 0.5: many are equal
        std::vector<double> values;
        double last = 0.0;
        for (std::size_t i = 0; i < size; ++i) {
          last = correlation * last + normal(random);
          values.push_back(i % 50 == 49 ? std::nan("") : std::round(last / grain) * grain);
        }
        const MedianEstimate estimate = estimator(values);
        const auto interval = median_interval(values, 0.95, effective_sample_size(values));
        if (size == 0) {
          EXPECT_TRUE(std::isnan(estimate.median));
        } else {
          EXPECT_EQ(estimate.median, median(values)) << size;
        }
        ASSERT_EQ(estimate.interval.has_value(), interval.has_value()) << size;
        if (interval) {
          EXPECT_EQ(estimate.interval->low, interval->low) << size;
          EXPECT_EQ(estimate.interval->high, interval->high) << size;
        }
      }
    }
  }
}

}  // namespace
}  // namespace rackproof::stats
