// Result files as one page for people: what `rackproof report` writes.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace rackproof::results {

struct ReportOptions {
  std::vector<std::filesystem::path> files;     ///< launches of the same machine, at least one
  std::vector<std::filesystem::path> baseline;  ///< launches to compare them with; may be none
  std::string limits{};                         ///< of the acceptance: as load_limits() takes them; empty: none
  std::string title{};                          ///< empty: made of the labels and host names
  bool allow_fake = false;                      ///< judge and compare files that were made with a fake device
};

/// One HTML page that holds everything it needs. Throws Error: usage where a file cannot be read, limits make no sense,
/// or gnuplot is missing.
[[nodiscard]] std::string report_page(const ReportOptions& options);

}  // namespace rackproof::results
