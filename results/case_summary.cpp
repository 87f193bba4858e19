#include "results/case_summary.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "common/core/units.hpp"
#include "common/stats/order_statistics.hpp"

namespace rackproof::results {
namespace {

Middle middle_of(std::span<const double> times, stats::MedianEstimator& estimator) {
  Middle middle;
  if (times.empty()) return middle;
  const stats::MedianEstimate estimate = estimator(times);
  middle.median = estimate.median;
  if (estimate.interval) {
    middle.low = estimate.interval->low;
    middle.high = estimate.interval->high;
  }
  return middle;
}

/// What stands beside the times of a rank.
void add_checks(const RankBlock& block, std::size_t row, RankSummary& rank, std::uint8_t& all_flags) {
  const auto count = static_cast<std::size_t>(block.samples[row]);
  const auto flags = std::span(block.flags).subspan(row * static_cast<std::size_t>(block.columns), count);
  const auto late = std::count_if(flags.begin(), flags.end(), [](auto f) { return (f & schema::flag_late) != 0; });
  for (const std::uint8_t f : flags) all_flags |= f;
  rank.late = count == 0 ? 0.0 : static_cast<double>(late) / static_cast<double>(count);
  rank.verify_error = block.verify_error[row];
  rank.digest = block.digest[row];
}

/// Adds what stands beside the times of all ranks.
void read_checks(const ResultFile& file, std::size_t suite, std::size_t which, CaseSummary& summary) {
  const auto ranks = static_cast<int>(summary.ranks.size());
  const int step = file.ranks_per_block();
  for (int first = 0; first < ranks; first += step) {
    const RankBlock block = file.checks(suite, which, first, std::min(step, ranks - first));
    for (std::size_t row = 0; row < block.samples.size(); ++row) {
      add_checks(block, row, summary.ranks[static_cast<std::size_t>(first) + row], summary.flags);
    }
  }
}

}  // namespace

CaseSummary summarise(const ResultFile& file, std::size_t suite, std::size_t which) {
  CaseSummary summary;
  summary.ranks.resize(file.header().ranks.size());
  file.for_each_times(suite, which, [&](const RankTimes& times) {
    stats::MedianEstimator estimator;
    for (std::size_t row = 0; row < times.samples.size(); ++row) {
      RankSummary& rank = summary.ranks[static_cast<std::size_t>(times.first_rank) + row];
      rank.samples = times.samples[row];
      rank.time = middle_of(times.of(row), estimator);
    }
  });
  read_checks(file, suite, which, summary);
  // Where ranks meet in pairs, those without a partner have no samples.
  const bool pairs = file.header().suites[suite].pairs;
  summary.fewest = std::numeric_limits<std::int32_t>::max();
  for (const RankSummary& rank : summary.ranks) {
    if (rank.samples > 0 || !pairs) summary.fewest = std::min(summary.fewest, rank.samples);
    summary.most = std::max(summary.most, rank.samples);
  }
  summary.fewest = std::min(summary.fewest, summary.most);
  for (const RankSummary& rank : summary.ranks) summary.late = std::max(summary.late, rank.late);
  if (file.header().suites[suite].cases[which].collective) {
    stats::MedianEstimator estimator;
    summary.time = middle_of(file.figure_time(suite, which), estimator);
    return summary;
  }
  // The typical rank: the median over ranks of what each says of itself.
  const auto over_ranks = [&](double Middle::*member) {
    std::vector<double> values;
    for (const RankSummary& rank : summary.ranks) values.push_back(rank.time.*member);
    return stats::median(values);
  };
  summary.time = {over_ranks(&Middle::median), over_ranks(&Middle::low), over_ranks(&Middle::high)};
  double largest = -1.0;
  for (std::size_t r = 0; r < summary.ranks.size(); ++r) {
    if (summary.ranks[r].time.median > largest) {
      largest = summary.ranks[r].time.median;
      summary.slowest = r;
    }
  }
  return summary;
}

CaseMedians medians(const ResultFile& file, std::size_t suite, std::size_t which) {
  const std::size_t ranks = file.header().ranks.size();
  CaseMedians all{std::numeric_limits<double>::quiet_NaN(), std::vector<double>(ranks),
                  std::vector<std::int32_t>(ranks)};
  file.for_each_times(suite, which, [&](const RankTimes& times) {
    for (std::size_t row = 0; row < times.samples.size(); ++row) {
      const std::size_t rank = static_cast<std::size_t>(times.first_rank) + row;
      all.samples[rank] = times.samples[row];
      all.rank_time[rank] = stats::median(times.of(row));
    }
  });
  const bool collective = file.header().suites[suite].cases[which].collective;
  all.time = stats::median(collective ? file.figure_time(suite, which) : all.rank_time);
  return all;
}

bool has_measured_peaks(const RunHeader& header) {
  const auto text = header.provenance.find("configuration");
  if (text == header.provenance.end()) return false;
  const nlohmann::json json = nlohmann::json::parse(text->second, nullptr, false);
  if (!json.is_object() || !json.contains("peaks") || !json["peaks"].is_object()) return false;
  const nlohmann::json& peaks = json["peaks"];
  return peaks.contains("source") && peaks["source"].is_string() &&
         peaks["source"].get_ref<const std::string&>().starts_with("measured");
}

bool is_measured(const CaseOutcome& outcome) {
  return outcome.status != Status::not_run && outcome.status != Status::skipped;
}

CaseOutcome believed(const CaseOutcome& outcome, const CaseSummary& summary) {
  CaseOutcome result = outcome;
  if (outcome.status != Status::passed) return result;
  const auto wrong = std::find_if(summary.ranks.begin(), summary.ranks.end(),
                                  [](const RankSummary& rank) { return rank.verify_error > 1.0; });
  if (wrong != summary.ranks.end()) {
    result.status = Status::failed;
    result.message = fmt::format("the error of rank {} is {} times the tolerance, though the file says that it passed",
                                 wrong - summary.ranks.begin(), format_number(wrong->verify_error));
  } else if (!std::isfinite(summary.time.median)) {
    result.status = Status::mistrusted;
    result.message = "no time was measured, though the file says that it passed";
  }
  return result;
}

}  // namespace rackproof::results
