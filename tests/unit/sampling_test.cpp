// The choice of the next token.
#include "suites/tokens/sampling.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <vector>

namespace rackproof::tokens {
namespace {

std::vector<Candidate> candidates_of(const std::vector<float>& logits) {
  std::vector<Candidate> all;
  for (std::size_t i = 0; i < logits.size(); ++i) all.push_back({logits[i], static_cast<std::int32_t>(i)});
  return all;
}

Sampling random_sampling(int top_k, double top_p, double temperature, std::uint64_t seed = 1) {
  return {.greedy = false, .top_k = top_k, .top_p = top_p, .temperature = temperature, .seed = seed};
}

std::map<std::int32_t, double> counts_of(const std::vector<float>& logits, const Sampling& sampling, int draws) {
  std::map<std::int32_t, double> counts;
  for (int i = 0; i < draws; ++i) counts[choose_token(candidates_of(logits), sampling, 0, i)] += 1.0;
  return counts;
}

TEST(Sampling, greedy_takes_the_largest_and_of_equal_ones_the_first_token) {
  EXPECT_EQ(choose_token(candidates_of({1.0F, 3.0F, 2.0F, 3.0F}), {}, 0, 0), 1);
  EXPECT_EQ(choose_token({{3.0F, 9}, {3.0F, 4}, {1.0F, 0}}, {}, 5, 7), 4);
}

TEST(Sampling, the_order_in_which_ranks_bring_candidates_does_not_matter) {
  const std::vector<Candidate> one{{2.0F, 5}, {1.0F, 3}, {2.5F, 700}, {0.5F, 999}};
  const std::vector<Candidate> other{one[2], one[3], one[0], one[1]};
  for (std::int64_t position = 0; position < 100; ++position) {
    EXPECT_EQ(choose_token(one, random_sampling(3, 0.9, 1.0), 2, position),
              choose_token(other, random_sampling(3, 0.9, 1.0), 2, position));
  }
}

TEST(Sampling, places_that_a_rank_could_not_fill_are_passed_over) {
  const float none = -std::numeric_limits<float>::infinity();
  EXPECT_EQ(choose_token({{none, -1}, {-5.0F, 8}, {none, -1}}, random_sampling(40, 1.0, 1.0), 0, 0), 8);
  EXPECT_EQ(choose_token({{none, -1}}, {}, 0, 0), 0);
}

TEST(Sampling, equal_seeds_choose_alike_and_others_do_not) {
  const std::vector<float> logits(50, 0.0F);
  const auto draw = [&](std::uint64_t seed, std::int64_t sequence) {
    std::vector<std::int32_t> tokens;
    for (std::int64_t position = 0; position < 64; ++position) {
      tokens.push_back(choose_token(candidates_of(logits), random_sampling(50, 1.0, 1.0, seed), sequence, position));
    }
    return tokens;
  };
  EXPECT_EQ(draw(1, 0), draw(1, 0));
  EXPECT_NE(draw(1, 0), draw(2, 0));
  EXPECT_NE(draw(1, 0), draw(1, 1));
}

TEST(Sampling, tokens_come_as_often_as_the_softmax_says) {
  const std::vector<float> logits{0.3F, -1.0F, 1.2F, 0.0F, 2.0F, -0.5F, 0.9F, -2.0F};
  const double temperature = 0.7;
  const int draws = 20000;
  std::map<std::int32_t, double> counts = counts_of(logits, random_sampling(8, 1.0, temperature), draws);
  double total = 0.0;
  for (const float logit : logits) total += std::exp(logit / temperature);
  double chi_square = 0.0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double expected = draws * std::exp(logits[i] / temperature) / total;
    const double difference = counts[static_cast<std::int32_t>(i)] - expected;
    chi_square += difference * difference / expected;
  }
  // 7 degrees of freedom: 24.3 is exceeded once in a thousand. The seed is fixed, so this is not a matter of luck.
  EXPECT_LT(chi_square, 24.3);
}

TEST(Sampling, top_k_leaves_the_k_largest) {
  const auto counts = counts_of({0.0F, 0.1F, 0.2F, 0.3F, 0.4F}, random_sampling(2, 1.0, 1.0), 500);
  EXPECT_EQ(counts.size(), 2U);
  EXPECT_TRUE(counts.contains(3) && counts.contains(4));
}

TEST(Sampling, top_p_leaves_the_smallest_set_that_reaches_it) {
  // Probabilities 0.5, 0.3, 0.15, 0.05.
  const std::vector<float> logits{std::log(0.5F), std::log(0.3F), std::log(0.15F), std::log(0.05F)};
  EXPECT_EQ(counts_of(logits, random_sampling(4, 0.4, 1.0), 500).size(), 1U);
  EXPECT_EQ(counts_of(logits, random_sampling(4, 0.7, 1.0), 500).size(), 2U);
  EXPECT_EQ(counts_of(logits, random_sampling(4, 0.9, 1.0), 500).size(), 3U);
  EXPECT_EQ(counts_of(logits, random_sampling(4, 1.0, 1.0), 500).size(), 4U);
}

TEST(Sampling, a_low_temperature_is_greedy_and_large_logits_do_not_overflow) {
  const auto counts = counts_of({900.0F, 901.0F, 899.0F}, random_sampling(3, 1.0, 0.01), 200);
  EXPECT_EQ(counts.size(), 1U);
  EXPECT_TRUE(counts.contains(1));
}

TEST(Sampling, largest_logits_sorts_and_leaves_nan_out) {
  const std::vector<float> logits{1.0F, NAN, 3.0F, 1.0F};
  const auto largest = largest_logits(logits, 3);
  ASSERT_EQ(largest.size(), 3U);
  EXPECT_EQ(largest[0].token, 2);
  EXPECT_EQ(largest[1].token, 0);
  EXPECT_EQ(largest[2].token, 3);
}

}  // namespace
}  // namespace rackproof::tokens
