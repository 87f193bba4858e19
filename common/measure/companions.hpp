// Which others make something slow that is not slow alone: a pair of nodes whose uplink they share, say.
#pragma once

#include <map>
#include <optional>
#include <vector>

namespace rackproof {

/// A set of candidates, by number, in ascending order.
using CandidateSet = std::vector<int>;

/// Asks, a measurement at a time, whether the target is slow while a set of candidates is driven beside it: first with
/// none, then with all, then with ever smaller sets by delta debugging (ddmin: Zeller and Hildebrandt, Simplifying and
/// isolating failure-inducing input, IEEE TSE 28, 2002), until no candidate can be left out of the set. That takes
/// about 2 log2 n measurements for one culprit, at most n^2 + 3 n.
class CompanionSearch {
 public:
  enum class Finding {
    open,     ///< next() has more to ask
    alone,    ///< slow without any of them
    never,    ///< not even slow with all of them
    together  ///< slow with companions(), and with none of their subsets that were tried
  };

  explicit CompanionSearch(int candidates) : candidates_(candidates) {}

  /// What to measure next; none where the search has ended.
  [[nodiscard]] std::optional<CandidateSet> next() const;
  /// The answer to next().
  void report(bool slow);

  [[nodiscard]] Finding finding() const;
  /// The smallest set known to make the target slow; empty before one is known, and where it is slow alone.
  [[nodiscard]] CandidateSet companions() const;

 private:
  struct Progress {
    Finding finding = Finding::open;
    CandidateSet smallest;
    std::optional<CandidateSet> question;
  };
  /// From the start, with the answers so far.
  [[nodiscard]] Progress replay() const;
  [[nodiscard]] bool is_slow(const CandidateSet& set, Progress& progress) const;

  int candidates_;
  std::map<CandidateSet, bool> answers_;
};

}  // namespace rackproof
