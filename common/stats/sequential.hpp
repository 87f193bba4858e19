// Is a median within a limit? Asked sample by sample, so that what is clear is settled early. Pure numbers.
//
// A sample is within or beyond the limit; nothing else about it counts, so nothing is assumed of the distribution of
// times. Wald's sequential probability ratio test (Sequential tests of statistical hypotheses, Annals of Mathematical
// Statistics 16, 1945) of "a share of good_share lies beyond" against "a share of bad_share does": after n samples, b
// of them beyond,
//
//   ratio = f (b ln(bad / good) + (n - b) ln((1 - bad) / (1 - good)))
//
// and the limit is exceeded where ratio >= ln(1 / producers_risk), kept where ratio <= -ln(1 / consumers_risk). With
// these bounds, a little wider than Wald's, neither risk exceeds what is stated (Ville's inequality for likelihood
// ratios). A part whose share is between the two may be called either way: the indifference zone, in which the median
// is.
//
// Neighbouring samples may resemble each other. f is the share of them that counts, (1 - r) / (1 + r). r is the lag-1
// autocorrelation r1 of the ranks of the times, raised by the (1 + 4 r1) / n by which few samples underestimate it
// (Marriott and Pope, Bias in the estimation of autocorrelations, Biometrika 41, 1954). A dozen samples do not tell it
// well, and a test that may end at any of them ends where they tell it too low; so it is never less than 0.3, and,
// where samples lie on both sides of the limit, raised by 1.5 standard errors sqrt((1 - r1^2) / n). A part far from its
// limit has all of them on one side: eight decide. These numbers are chosen by simulation
// (tests/unit/limit_test_test.cpp prints it): both risks are kept up to an autocorrelation of 0.6 of the logarithms of
// times.
#pragma once

#include <vector>

namespace rackproof::stats {

/// What the test promises, and what of.
struct SequentialPlan {
  double producers_risk = 0.01;  ///< that a good part is said to exceed its limit, at most
  double consumers_risk = 0.01;  ///< that a bad part is said to keep it, at most
  double good_share = 0.25;      ///< good: no more of its samples lie beyond the limit
  double bad_share = 0.75;       ///< bad: no fewer do
  int fewest = 8;                ///< samples, before which nothing is decided
};

/// True where the test can be made: risks in (0, 0.5), 0 < good_share < bad_share < 1, fewest >= 3.
[[nodiscard]] bool is_sound(const SequentialPlan& plan);

/// One part against one limit.
class SequentialTest {
 public:
  enum class Side { open, within, beyond };

  /// limit: s. longer: times above it lie beyond it, else those below. Throws Error (internal) for a plan that is not
  /// sound.
  SequentialTest(double limit, bool longer, const SequentialPlan& plan = {});

  /// In the order in which they were taken. What is settled stays.
  void add(double time);
  [[nodiscard]] Side side() const noexcept { return side_; }
  /// Samples until it was settled, or so far.
  [[nodiscard]] int samples() const noexcept { return count_; }

 private:
  void look();

  double limit_;
  bool longer_;
  SequentialPlan plan_;
  Side side_ = Side::open;
  int count_ = 0;
  int beyond_ = 0;
  int next_look_;
  std::vector<double> times_;
};

/// The samples that a test of a fixed number of them needs for the same risks: the smallest n for which some c has
/// P(B(n, good) > c) <= producers_risk and P(B(n, bad) <= c) <= consumers_risk, B binomial.
[[nodiscard]] int fixed_sample(const SequentialPlan& plan);

}  // namespace rackproof::stats
