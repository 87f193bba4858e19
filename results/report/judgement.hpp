// What the verdicts of accept and compare say of the files of a report. Internal to this folder.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "results/accept.hpp"
#include "results/compare.hpp"
#include "results/report.hpp"
#include "results/report/data.hpp"

namespace rackproof::results {

/// A limit of one case, as a time.
struct CaseLimit {
  std::string name;
  double seconds;
  bool longer;  ///< times above are beyond it; else those below
};

struct ReportJudgement {
  bool fake = false;  ///< some file was made with a fake device, and nobody said that it may be judged: nothing is
  std::optional<LimitSet> limits;
  std::optional<Acceptance> acceptance;
  std::optional<Comparison> comparison;                                           ///< with a baseline alone
  std::map<std::pair<std::string, std::string>, std::vector<CaseLimit>> by_case;  ///< suite and name

  /// Of one case; may be empty.
  [[nodiscard]] std::vector<CaseLimit> limits_of(const ReportCase& one) const;
};

/// Throws Error (usage) as accept(), compare() and load_limits() do.
[[nodiscard]] ReportJudgement judge_report(const ReportData& data, const ReportOptions& options);

}  // namespace rackproof::results
