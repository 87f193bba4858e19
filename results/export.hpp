// Result files in the formats of others: tables, continuous integration, monitoring, hardware validation.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace rackproof::results {

enum class ExportFormat { csv, json, junit, openmetrics, ocptv, benchmark };

struct ExportOptions {
  ExportFormat format = ExportFormat::csv;
  std::string case_regex{};  ///< ECMAScript, found anywhere in the case's name; empty: all
  bool samples = false;      ///< every sample, not only what they come to; csv and json alone
  bool allow_fake = false;   ///< take files that were made with a fake device
};

/// "csv", "json", "junit", "openmetrics", "ocptv", "benchmark". Throws Error (usage) for any other.
[[nodiscard]] ExportFormat parse_export_format(std::string_view name);

/// Passes the text, piece by piece, to `emit`; memory is bounded by one file's headers and one case's samples. Throws
/// Error (usage) where a file is no result file or made with a fake device, the expression is malformed, no case of a
/// file matches it, or the format cannot have what is asked for: openmetrics and ocptv take one file.
void export_results(const std::vector<std::filesystem::path>& files, const ExportOptions& options,
                    const std::function<void(std::string_view)>& emit);

}  // namespace rackproof::results
