// The sections of a report: each makes HTML of the data, and adds its charts to the sheet. Empty: the files have
// nothing for it. Internal to this folder.
#pragma once

#include <string>

#include "results/report.hpp"
#include "results/report/chart_sheet.hpp"
#include "results/report/data.hpp"

namespace rackproof::results {

/// The verdict in a word, and how it came about.
[[nodiscard]] std::string verdict_section(const ReportData& data, const ReportOptions& options);
/// Launches against the baseline; empty where there is none. Throws Error as compare() does.
[[nodiscard]] std::string comparison_section(const ReportOptions& options, ChartSheet& charts);
/// Every case in a table that can be sorted.
[[nodiscard]] std::string case_section(const ReportData& data);
/// Of every case, which share of the samples (or of many ranks) took at most how long.
[[nodiscard]] std::string distribution_section(const ReportData& data, ChartSheet& charts);
/// Rate over arithmetic intensity, and the peaks.
[[nodiscard]] std::string roofline_section(const ReportData& data, ChartSheet& charts);
/// Ranks and cases against the median over ranks.
[[nodiscard]] std::string rank_section(const ReportData& data, ChartSheet& charts);
/// Bandwidth and latency between pairs.
[[nodiscard]] std::string pair_section(const ReportData& data, ChartSheet& charts);
/// What the devices felt.
[[nodiscard]] std::string telemetry_section(const ReportData& data, ChartSheet& charts);
/// What products and all-reduces of the same file explain of the time of tokens.
[[nodiscard]] std::string tokens_section(const ReportData& data, ChartSheet& charts);
/// What the files say of how they were made.
[[nodiscard]] std::string provenance_section(const ReportData& data);

}  // namespace rackproof::results
