#include "results/report/judgement.hpp"

#include <algorithm>

namespace rackproof::results {
namespace {

bool has_fake(const std::vector<ResultFile>& files) {
  return std::any_of(files.begin(), files.end(), [](const ResultFile& file) { return file.header().device_fake; });
}

void add_case_limits(const LimitSet& set, const ReportRun& run, ReportJudgement& judgement) {
  const auto matched = match_limits(set, run.run(), run.name);
  for (std::size_t l = 0; l < matched.size(); ++l) {
    for (const LimitedCase& one : matched[l]) {
      const SuiteHeader& suite = run.run().suites[one.suite];
      judgement.by_case[{suite.name, suite.cases[one.which].name}].push_back(
          {set.limits[l].name, one.time.seconds, one.time.longer});
    }
  }
}

}  // namespace

std::vector<CaseLimit> ReportJudgement::limits_of(const ReportCase& one) const {
  const auto found = by_case.find({one.suite, one.name});
  return found == by_case.end() ? std::vector<CaseLimit>{} : found->second;
}

ReportJudgement judge_report(const ReportData& data, const ReportOptions& options) {
  ReportJudgement judgement;
  judgement.fake = !options.allow_fake && (has_fake(data.files) || has_fake(data.base_files));
  if (!options.limits.empty()) judgement.limits = load_limits(options.limits);
  if (judgement.fake) return judgement;
  const LimitSet* const set = judgement.limits ? &*judgement.limits : nullptr;
  AcceptOptions accept_options;
  accept_options.allow_fake = options.allow_fake;
  judgement.acceptance = accept(data.files, data.base_files, set, accept_options);
  if (set != nullptr) add_case_limits(*set, data.last(), judgement);
  if (!options.baseline.empty()) {
    CompareOptions compare_options;
    compare_options.allow_fake = options.allow_fake;
    judgement.comparison = compare({"baseline", options.baseline}, {{"launches", options.files}}, compare_options);
  }
  return judgement;
}

}  // namespace rackproof::results
