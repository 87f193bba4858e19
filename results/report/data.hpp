// What the sections of a report are made of: result files, read once. Internal to this folder.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "results/case_summary.hpp"
#include "results/links.hpp"
#include "results/reader.hpp"

namespace rackproof::results {

/// Where a case is in a file.
struct CasePlace {
  std::size_t suite = 0;
  std::size_t which = 0;
};

/// One launch.
struct ReportRun {
  const ResultFile* source;  ///< in ReportData::files or base_files
  std::string name;          ///< of the file, without its folder
  /// As header().suites[s].cases; a case that was not measured has no ranks.
  std::vector<std::vector<CaseMedians>> medians;
  std::vector<std::vector<LinkSeries>> links;  ///< by suite; of one without pairs, none

  [[nodiscard]] const ResultFile& file() const { return *source; }
  [[nodiscard]] const RunHeader& run() const { return source->header(); }
  [[nodiscard]] const CaseMedians& of(CasePlace place) const { return medians[place.suite][place.which]; }
  [[nodiscard]] const CaseHeader& header(CasePlace place) const { return run().suites[place.suite].cases[place.which]; }
  [[nodiscard]] const CaseOutcome& outcome(CasePlace place) const { return source->outcome(place.suite, place.which); }
};

/// A case, wherever it was run.
struct ReportCase {
  std::string suite;
  std::string name;
  std::vector<std::optional<CasePlace>> at;       ///< by run
  std::vector<std::optional<CasePlace>> at_base;  ///< by run of the baseline
};

struct ReportData {
  std::vector<ResultFile> files;
  std::vector<ResultFile> base_files;
  std::vector<ReportRun> runs;      ///< at least one
  std::vector<ReportRun> baseline;  ///< may be empty
  std::vector<ReportCase> cases;    ///< of the runs, in the order of the first that has them
  bool same_ranks = true;           ///< every run has the same host and device at every rank

  /// The last run: the one that tells where things are.
  [[nodiscard]] const ReportRun& last() const { return runs.back(); }
  /// Of the first run that has it. Every case is in one.
  [[nodiscard]] const CaseHeader& header(const ReportCase& one) const;
  /// The worst in any run: error, failed, mistrusted, not run, skipped, passed.
  [[nodiscard]] Status status(const ReportCase& one) const;
  /// s: the median over runs of what the case comes to; NaN where it was not measured.
  [[nodiscard]] double time(const ReportCase& one) const;
  /// (R) s: of every rank the median over runs; empty where the case was not measured, or in runs of other ranks alone.
  [[nodiscard]] std::vector<double> rank_times(const ReportCase& one) const;
  /// True where the ranks work on their own, so that a rank's time says something about that rank alone.
  [[nodiscard]] bool is_of_ranks(const ReportCase& one) const;
};

[[nodiscard]] ReportData read_runs(std::span<const std::filesystem::path> files,
                                   std::span<const std::filesystem::path> baseline);

/// "rank 12 (node-3, GPU 4, serial X)": which, where.
[[nodiscard]] std::string place_of_rank(const RunHeader& header, std::size_t rank);

}  // namespace rackproof::results
