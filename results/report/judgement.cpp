#include "results/report/judgement.hpp"

#include <algorithm>

#include "results/known_runs.hpp"

namespace rackproof::results {
namespace {

bool has_fake(const std::vector<ResultFile>& files) {
  return std::any_of(files.begin(), files.end(),
                     [](const ResultFile& file) { return !why_no_measurement(file.header()).empty(); });
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

/// What the report has read for its own tables.
class RunsOfReport : public KnownRuns {
 public:
  explicit RunsOfReport(const ReportData& data) : data_(data) {}

  [[nodiscard]] const ResultFile* file(const std::filesystem::path& path) const override {
    const ReportRun* const run = find([&](const ReportRun& one) { return one.file().path() == path; });
    // One that has been narrowed to some of its hosts is not the whole file.
    return run == nullptr || run->source->narrowed_to() ? nullptr : run->source;
  }
  [[nodiscard]] const CaseMedians* medians(const ResultFile& file, std::size_t suite,
                                           std::size_t which) const override {
    const ReportRun* const run = find([&](const ReportRun& one) { return one.source == &file; });
    // Meetings of pairs are not among them.
    return run == nullptr || run->of({suite, which}).rank_time.empty() ? nullptr : &run->of({suite, which});
  }
  [[nodiscard]] const std::vector<LinkSeries>* links(const ResultFile& file, std::size_t suite) const override {
    const ReportRun* const run = find([&](const ReportRun& one) { return one.source == &file; });
    return run == nullptr ? nullptr : &run->links[suite];
  }

 private:
  template <typename Wanted>
  [[nodiscard]] const ReportRun* find(const Wanted& wanted) const {
    for (const auto* const runs : {&data_.runs, &data_.baseline}) {
      const auto found = std::find_if(runs->begin(), runs->end(), wanted);
      if (found != runs->end()) return &*found;
    }
    return nullptr;
  }

  const ReportData& data_;
};

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
  const RunsOfReport known(data);
  AcceptOptions accept_options;
  accept_options.known = &known;
  accept_options.allow_fake = options.allow_fake;
  judgement.acceptance = accept(data.files, data.base_files, set, accept_options);
  if (set != nullptr) add_case_limits(*set, data.last(), judgement);
  if (!options.baseline.empty()) {
    CompareOptions compare_options;
    compare_options.known = &known;
    compare_options.allow_fake = options.allow_fake;
    judgement.comparison = compare({"baseline", options.baseline}, {{"launches", options.files}}, compare_options);
  }
  return judgement;
}

}  // namespace rackproof::results
