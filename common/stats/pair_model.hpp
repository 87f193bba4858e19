// Which link or which node is slow, from the times of pairs. Pure numbers: no MPI, no files.
//
// The model of one measurement of the pair {i, j}, of kind k (inside a node, or between nodes):
//
//   log t_ij = base_k + effect_i + effect_j + link_ij + noise
//
// effect_i is what endpoint i (its NIC, its host, its device) adds to each of its pairs, link_ij what is wrong with
// this pair alone. Nearly all of both are 0. Base and effects are fitted by sweeping out medians in turn from a start
// of zero until nothing moves (Tukey, Exploratory Data Analysis, 1977, chapter 11: median polish, here for pairs
// instead of a two-way table), so that a fault shows in one number only, whether an endpoint met all others or only
// O(log n) of them; the median of all effects is 0. Residuals are what is left of log t; their scale s is 1.4826 MAD,
// corrected for the fitted numbers.
//
// An endpoint is blamed when its effect stands out from those of its peers: z = effect / (the larger of Qn of all
// effects and 1.2533 s / sqrt(partners)), p from Student's t with as many degrees of freedom as the scale is worth
// (0.82 n for Qn, 0.367 n for the MAD: Rousseeuw and Croux, Alternatives to the median absolute deviation, JASA 88,
// 1993), Benjamini-Hochberg (JRSS B 57, 1995) over all endpoints, a floor in percent, and at least two thirds of its
// pairs slow.
//
// A link is blamed in two steps, because one pair among thousands that was disturbed once would look like a slow link.
// Suspects come from the planned measurements: the same test with z = residual / s over all pairs. Then each suspect is
// judged by its repeated measurements alone (`again`), at least three, which are independent of the choice: each gets
// the larger of Student's tail probability with at most 2 degrees of freedom (as heavy-tailed as disturbed medians are)
// and the share of other measurements that were as slow; Fisher's method joins them (-2 sum ln p is chi-squared with
// two degrees of freedom each); Benjamini-Hochberg again, over the suspects.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

namespace rackproof::stats {

/// One measurement of one pair; a pair may have several. The order of a and b means nothing.
struct PairTime {
  int a = 0;
  int b = 0;
  double seconds = 0.0;  ///< median of its samples; one that is not finite and above 0 is ignored
  double spread = 0.0;   ///< relative standard error of `seconds`; 0: unknown
  bool again = false;    ///< measured again, after (and perhaps because) something looked slow
};

/// The option of the links suite, with which a run's file tells its own link_floor, as in "5%".
inline constexpr const char* link_floor_option = "link-floor";

struct PairOptions {
  double endpoint_floor = 0.05;        ///< an endpoint less slow than this is never blamed
  double link_floor = 0.10;            ///< a link likewise: what tests/scale has shown to accuse nobody wrongly
  double false_discovery_rate = 0.01;  ///< among what is blamed
  double suspicion_rate = 0.10;        ///< false discoveries among suspects, which a measurement costs each
  /// Node of each endpoint. Pairs inside a node and pairs between nodes have a base of their own, and endpoints of one
  /// node are blamed as the node. Empty: every endpoint is a node of its own.
  std::vector<int> node_of{};
};

/// A part that is slow.
struct SlowPart {
  enum class Kind {
    link,          ///< between endpoints a and b
    endpoint,      ///< a, to its partners
    node,          ///< number a: all of its endpoints (node_of was given)
    link_of_nodes  ///< between nodes a and b: most pairs of their endpoints (node_of was given)
  };
  Kind kind = Kind::link;
  int a = 0;
  int b = -1;               ///< links only
  double slowdown = 0.0;    ///< 0.31: takes 31 % longer than the model expects without the fault
  double confidence = 0.0;  ///< 1 - the adjusted p-value
  int pairs = 0;            ///< endpoint: pairs measured; link: measurements
  int slow_pairs = 0;  ///< endpoint: of them slow by more than half of its slowdown; link: slow by more than the floor
  std::vector<int> evidence{};  ///< positions in the input of the measurements that count, slowest first
};

struct PairVerdict {
  /// False: there are too few pairs to tell anything; `reason` says what is missing.
  bool decided = false;
  std::string reason{};
  std::vector<SlowPart> blamed{};  ///< the most slow first
  /// Links (kind link) that look slow but lack a repeated measurement, or whose repetitions do not settle it yet; the
  /// most slow first. Measure them again.
  std::vector<SlowPart> suspects{};
  /// Looked slow, but not when measured again.
  std::vector<SlowPart> cleared{};
  double noise = 0.0;  ///< s: relative scale of what the model does not explain
  /// About how slow a single link, or endpoint, has to be to become a suspect, or to be blamed, beside this noise: the
  /// floor, or the scale of the test times the quantile of Student's t at its rate over the number tested. 0.12: 12 %.
  double least_link = 0.0;
  double least_endpoint = 0.0;
  std::vector<double> effect{};    ///< (endpoints): exp(effect) - 1; NaN where the endpoint was not measured
  std::vector<double> expected{};  ///< (input): s, of base and effects; NaN where ignored
};

/// The least endpoints that can be told apart: with 3, a slow link and two slow endpoints look the same.
inline constexpr int fewest_endpoints = 4;

/// `endpoints`: how many there are; pairs name them from 0. Throws Error (internal) for an endpoint that is out of
/// range or its own partner, and for a node_of of another length. Time and memory: O(pairs x sweeps).
[[nodiscard]] PairVerdict judge_pairs(std::span<const PairTime> pairs, int endpoints, const PairOptions& options = {});

/// A link is blamed, or cleared, after so many repetitions.
inline constexpr int repetitions_needed = 3;

/// The suspects to measure again next, each as (a, b) with a < b: those with the most repetitions first, of equal ones
/// the slower. Where many pairs share a slow cable, and their ends, there may never be rounds enough to settle them
/// all; this way some are. `pairs` is what `verdict` was made from. Empty: everything is settled.
[[nodiscard]] std::vector<std::pair<int, int>> pairs_to_repeat(const PairVerdict& verdict,
                                                               std::span<const PairTime> pairs);

/// Log of `seconds`, a time of the pair a, b, over what is expected of it without anything that is blamed; 0: as
/// expected. Not a number for a pair that has no planned measurement in `pairs`. `verdict` was made from `pairs` and
/// `options`.
[[nodiscard]] double log_excess(const PairVerdict& verdict, std::span<const PairTime> pairs, const PairOptions& options,
                                int a, int b, double seconds);

}  // namespace rackproof::stats
