// Is the median of a sample within a limit? By order statistics alone: nothing is assumed of the distribution of times.
#pragma once

#include <map>
#include <mutex>
#include <span>
#include <vector>

namespace rackproof::stats {

/// What a sample says of a limit.
struct LimitJudgement {
  enum class Side { open, within, beyond };
  Side side = Side::open;
  double median = 0.0;
  double low = 0.0;  ///< the 95 % interval of the median; NaN where there are too few samples
  double high = 0.0;
  double effective = 0.0;    ///< independent samples that they are worth
  double false_alarm = 0.0;  ///< probability that a part whose median is at the limit is said to be beyond it
  double detectable = 0.0;   ///< 0.03: a part 3 % beyond the limit is found with 90 %; NaN: no part ever is
};

/// For parts that are judged alike, so that of `parts` good ones at the limit with 97.5 % none is said to be beyond it.
/// Several threads may judge at once.
///
/// With n effective samples of which x(j) is the j-th smallest, and B(n, p) binomial:
///   beyond   where x(j) > limit, j the largest with P(B(n, 1/2) <= j - 1) <= 1 - 0.975^(1 / parts) (Sidak, JASA 62,
///            1967): a part whose median is at the limit gets there with that probability at most;
///   within   where x(n + 1 - j') <= limit, j' likewise for one part and 2.5 %: a part whose median is at the limit, or
///            beyond it, passes with 2.5 % at most;
///   open     otherwise.
/// Smallest detectable slowdown: a part that exceeds the limit with probability 90 % has at most j - 1 of n samples
/// within it, so that a share p of its times lies within the limit, with P(B(n, p) <= j - 1) = 0.9. If its times are
/// distributed as those seen, only longer by a factor, that is median / x_p - 1 beyond the limit, x_p the p-quantile of
/// what was seen.
class LimitTest {
 public:
  explicit LimitTest(int parts = 1) : parts_(parts) {}

  /// limit: s. longer: times above it lie beyond it, else those below. NaN among the times: dropped. effective: the
  /// independent samples that they are worth, where that is known better than from their order (0: it is not).
  [[nodiscard]] LimitJudgement judge(std::span<const double> times, double limit, bool longer = true,
                                     double effective = 0.0);
  /// True where so many independent samples are enough to say of a part that it is beyond its limit.
  [[nodiscard]] bool can_fail(double effective);
  /// That `parts` parts, each at its limit, are all said to keep it fails with this probability at most.
  [[nodiscard]] double family_false_alarm(double false_alarm) const;

 private:
  /// For n samples.
  struct Ranks {
    long beyond = 0;  ///< j; 0: too few samples to say so
    long within = 0;  ///< j'; 0: too few
    double false_alarm = 0.0;
    double share = 0.0;  ///< p; 0: never
  };
  const Ranks& ranks_for(long n);

  int parts_;
  std::mutex knowing_;
  std::map<long, Ranks> known_;
};

}  // namespace rackproof::stats
