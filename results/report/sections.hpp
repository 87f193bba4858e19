// The sections of a report: each makes HTML of the data, and adds its charts to the sheet. Empty: the files have
// nothing for it. Internal to this folder.
#pragma once

#include <string>

#include "results/report/chart_sheet.hpp"
#include "results/report/data.hpp"
#include "results/report/judgement.hpp"

namespace rackproof::results {

/// The verdict in a word, and on what grounds.
[[nodiscard]] std::string verdict_section(const ReportData& data, const ReportJudgement& judgement);
/// The parts at fault, with the evidence; then those that are not decided.
[[nodiscard]] std::string fault_section(const ReportJudgement& judgement);
/// The limits and how good each is; what comparing with peers can see.
[[nodiscard]] std::string limit_section(const ReportJudgement& judgement);
/// Launches against the baseline.
[[nodiscard]] std::string comparison_section(const ReportJudgement& judgement, ChartSheet& charts);
/// Every case in a table that can be sorted.
[[nodiscard]] std::string case_section(const ReportData& data);
/// Of every case, which share of the samples (or of many ranks) took at most how long.
[[nodiscard]] std::string distribution_section(const ReportData& data, const ReportJudgement& judgement,
                                               ChartSheet& charts);
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
