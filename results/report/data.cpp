#include "results/report/data.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <utility>

#include "common/stats/order_statistics.hpp"

namespace rackproof::results {
namespace {

ReportRun read_run(const ResultFile& file) {
  ReportRun run{&file, file.path().filename().string(), {}, {}};
  const std::vector<SuiteHeader>& suites = file.header().suites;
  for (std::size_t s = 0; s < suites.size(); ++s) {
    run.links.push_back(suites[s].pairs ? link_series(file, s) : std::vector<LinkSeries>{});
    auto& cases = run.medians.emplace_back();
    for (std::size_t c = 0; c < suites[s].cases.size(); ++c) {
      // Pairs are judged as series, by links.hpp.
      const bool wanted = is_measured(file.outcome(s, c)) && !(suites[s].pairs && is_pair_case(suites[s].cases[c]));
      cases.push_back(wanted ? medians(file, s, c) : CaseMedians{std::nan(""), {}, {}});
    }
  }
  return run;
}

bool have_same_ranks(const RunHeader& one, const RunHeader& other) {
  return std::equal(
      one.ranks.begin(), one.ranks.end(), other.ranks.begin(), other.ranks.end(),
      [](const RankHeader& a, const RankHeader& b) { return a.hostname == b.hostname && a.device_id == b.device_id; });
}

using CaseKey = std::pair<std::string, std::string>;

class CaseList {
 public:
  CaseList(std::size_t runs, std::size_t baseline) : runs_(runs), baseline_(baseline) {}

  void add(const ReportRun& run, std::size_t number) {
    for_each(run, [&](const CaseKey& key, CasePlace place) {
      const auto [found, is_new] = positions_.emplace(key, cases_.size());
      if (is_new) {
        cases_.push_back({key.first, key.second, std::vector<std::optional<CasePlace>>(runs_),
                          std::vector<std::optional<CasePlace>>(baseline_)});
      }
      cases_[found->second].at[number] = place;
    });
  }
  /// Cases that the baseline alone has are the comparison's to name.
  void add_base(const ReportRun& run, std::size_t number) {
    for_each(run, [&](const CaseKey& key, CasePlace place) {
      const auto found = positions_.find(key);
      if (found != positions_.end()) cases_[found->second].at_base[number] = place;
    });
  }
  [[nodiscard]] std::vector<ReportCase> take() { return std::move(cases_); }

 private:
  template <typename Work>
  static void for_each(const ReportRun& run, Work&& work) {
    const std::vector<SuiteHeader>& suites = run.run().suites;
    for (std::size_t s = 0; s < suites.size(); ++s) {
      for (std::size_t c = 0; c < suites[s].cases.size(); ++c) {
        const std::optional<std::size_t> narrowed = run.file().narrowed_to();
        if (narrowed && run.file().placement_of(s, c) != *narrowed) continue;
        work(CaseKey{suites[s].name, suites[s].cases[c].name}, CasePlace{s, c});
      }
    }
  }

  std::size_t runs_;
  std::size_t baseline_;
  std::vector<ReportCase> cases_;
  std::map<CaseKey, std::size_t> positions_;
};

/// From the worst to the best.
constexpr std::array<Status, 6> severity{Status::error,   Status::failed,  Status::mistrusted,
                                         Status::not_run, Status::skipped, Status::passed};

}  // namespace

const CaseHeader& ReportData::header(const ReportCase& one) const {
  std::size_t run = 0;
  while (!one.at[run]) ++run;
  return runs[run].header(*one.at[run]);
}

Status ReportData::status(const ReportCase& one) const {
  std::size_t worst = severity.size() - 1;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    if (!one.at[r] && runs[r].file().narrowed_to()) continue;  // another set of hosts of that file has it
    const Status status = one.at[r] ? runs[r].outcome(*one.at[r]).status : Status::not_run;
    const auto* const found = std::find(severity.begin(), severity.end(), status);
    // A number that is no status is as bad as an error.
    worst = std::min(worst, found == severity.end() ? 0 : static_cast<std::size_t>(found - severity.begin()));
  }
  return severity.at(worst);
}

double ReportData::time(const ReportCase& one) const {
  std::vector<double> times;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    if (one.at[r]) times.push_back(runs[r].of(*one.at[r]).time);
  }
  return stats::median(times);
}

std::vector<double> ReportData::rank_times(const ReportCase& one) const {
  std::vector<const std::vector<double>*> all;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    if (!one.at[r] || (!same_ranks && r + 1 != runs.size())) continue;
    const std::vector<double>& times = runs[r].of(*one.at[r]).rank_time;
    if (!times.empty()) all.push_back(&times);
  }
  if (all.empty()) return {};
  if (all.size() == 1) return *all.front();
  std::vector<double> out;
  std::vector<double> of_rank(all.size());
  for (std::size_t rank = 0; rank < all.front()->size(); ++rank) {
    for (std::size_t i = 0; i < all.size(); ++i) of_rank[i] = (*all[i])[rank];
    out.push_back(stats::median(of_rank));
  }
  return out;
}

bool ReportData::is_of_ranks(const ReportCase& one) const {
  const CaseHeader& which = header(one);
  return !which.collective && !is_pair_case(which);
}

ReportData read_runs(std::span<const std::filesystem::path> files, std::span<const std::filesystem::path> baseline) {
  ReportData data;
  data.files = open_by_placement(files);
  data.base_files = open_by_placement(baseline);
  CaseList list(data.files.size(), data.base_files.size());
  for (const ResultFile& file : data.files) {
    data.runs.push_back(read_run(file));
    list.add(data.runs.back(), data.runs.size() - 1);
    data.same_ranks = data.same_ranks && have_same_ranks(data.files.front().header(), file.header());
  }
  for (const ResultFile& file : data.base_files) {
    data.baseline.push_back(read_run(file));
    list.add_base(data.baseline.back(), data.baseline.size() - 1);
  }
  data.cases = list.take();
  return data;
}

std::string place_of_rank(const RunHeader& header, std::size_t rank) {
  const RankHeader& place = header.ranks.at(rank);
  return fmt::format("rank {} ({}, {}{})", rank, place.hostname, place.device_id,
                     place.serial.empty() ? "" : ", serial " + place.serial);
}

}  // namespace rackproof::results
