#include "common/measure/companions.hpp"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <numeric>

namespace rackproof {
namespace {

/// Part `index` of `parts` of about equal size.
CandidateSet part_of(const CandidateSet& set, std::size_t index, std::size_t parts) {
  const auto place = [&](std::size_t i) { return set.begin() + static_cast<std::ptrdiff_t>(set.size() * i / parts); };
  return {place(index), place(index + 1)};
}

CandidateSet without(const CandidateSet& set, const CandidateSet& part) {
  CandidateSet rest;
  std::set_difference(set.begin(), set.end(), part.begin(), part.end(), std::back_inserter(rest));
  return rest;
}

}  // namespace

bool CompanionSearch::is_slow(const CandidateSet& set, Progress& progress) const {
  if (progress.question) return false;  // the way ahead is unknown
  const auto known = answers_.find(set);
  if (known == answers_.end()) {
    progress.question = set;
    return false;
  }
  return known->second;
}

CompanionSearch::Progress CompanionSearch::replay() const {
  Progress progress;
  if (is_slow({}, progress)) {
    progress.finding = Finding::alone;
    return progress;
  }
  CandidateSet current(static_cast<std::size_t>(candidates_));
  std::iota(current.begin(), current.end(), 0);
  const bool slow_with_all = !current.empty() && is_slow(current, progress);
  if (progress.question) return progress;
  if (!slow_with_all) {
    progress.finding = Finding::never;
    return progress;
  }
  std::size_t parts = 2;
  while (true) {
    progress.smallest = current;
    if (current.size() < 2) break;
    bool smaller = false;
    for (const bool complement : {false, true}) {
      // Of two parts, each is the other's complement.
      if (complement && parts == 2) break;
      for (std::size_t i = 0; i < parts && !smaller; ++i) {
        CandidateSet set = part_of(current, i, parts);
        if (complement) set = without(current, set);
        smaller = is_slow(set, progress);
        if (progress.question) return progress;
        if (!smaller) continue;
        current = std::move(set);
        parts = complement ? std::max<std::size_t>(parts - 1, 2) : 2;
      }
      if (smaller) break;
    }
    if (smaller) continue;
    if (parts >= current.size()) break;
    parts = std::min(2 * parts, current.size());
  }
  progress.finding = Finding::together;
  return progress;
}

std::optional<CandidateSet> CompanionSearch::next() const { return replay().question; }

void CompanionSearch::report(bool slow) {
  if (const auto question = next()) answers_[*question] = slow;
}

CompanionSearch::Finding CompanionSearch::finding() const { return replay().finding; }
CandidateSet CompanionSearch::companions() const { return replay().smallest; }

}  // namespace rackproof
