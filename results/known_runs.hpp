// What has been read of some files already, so that a page of several parts reads their samples once.
#pragma once

#include <cstddef>
#include <filesystem>
#include <vector>

#include "results/case_summary.hpp"
#include "results/links.hpp"
#include "results/reader.hpp"

namespace rackproof::results {

/// Each may answer with null: then it is read from the file.
class KnownRuns {
 public:
  KnownRuns() = default;
  KnownRuns(const KnownRuns&) = delete;
  KnownRuns& operator=(const KnownRuns&) = delete;
  virtual ~KnownRuns() = default;

  /// The file of that path, open.
  [[nodiscard]] virtual const ResultFile* file(const std::filesystem::path& path) const = 0;
  /// What results::medians() gives.
  [[nodiscard]] virtual const CaseMedians* medians(const ResultFile& file, std::size_t suite,
                                                   std::size_t which) const = 0;
  /// What link_series() gives.
  [[nodiscard]] virtual const std::vector<LinkSeries>* links(const ResultFile& file, std::size_t suite) const = 0;
};

/// Those of `known`, which may be null, or else computed.
[[nodiscard]] inline CaseMedians medians_by(const KnownRuns* known, const ResultFile& file, std::size_t suite,
                                            std::size_t which) {
  const CaseMedians* const there = known == nullptr ? nullptr : known->medians(file, suite, which);
  return there == nullptr ? medians(file, suite, which) : *there;
}

}  // namespace rackproof::results
