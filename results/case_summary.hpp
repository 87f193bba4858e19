// What the samples of one case come to: a number a rank and one for the case. One place for what show, compare, accept,
// report and export print.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "results/reader.hpp"

namespace rackproof::results {

/// The median of some times and, where there are enough of them, its 95 % interval. s.
struct Middle {
  double median = std::numeric_limits<double>::quiet_NaN();
  double low = std::numeric_limits<double>::quiet_NaN();
  double high = std::numeric_limits<double>::quiet_NaN();
};

struct RankSummary {
  std::int32_t samples = 0;
  Middle time;
  double late = 0.0;                                               ///< share of its samples
  double verify_error = std::numeric_limits<double>::quiet_NaN();  ///< 1 is the tolerance
  std::uint64_t digest = 0;                                        ///< of the output's bits; 0: none
};

struct CaseSummary {
  std::vector<RankSummary> ranks;
  std::int32_t fewest = 0;  ///< samples of a rank
  std::int32_t most = 0;
  Middle time;              ///< collective: of the job; otherwise of the typical rank
  std::size_t slowest = 0;  ///< rank with the largest median; collective: not set
  double late = 0.0;        ///< share of the rank that was late most often
  std::uint8_t flags = 0;   ///< of any sample of any rank
};

/// Reads all samples of a case, in bounded memory. suite, which: positions in the header of the file. Throws Error
/// (usage) where the file is damaged there.
[[nodiscard]] CaseSummary summarise(const ResultFile& file, std::size_t suite, std::size_t which);

/// The medians alone, without intervals and flags: what verdicts over many files and ranks are made of.
struct CaseMedians {
  double time;                        ///< s, as CaseSummary::time.median; NaN where nothing was measured
  std::vector<double> rank_time;      ///< (R) s, the median of each rank; NaN where it has no samples
  std::vector<std::int32_t> samples;  ///< (R)
};
[[nodiscard]] CaseMedians medians(const ResultFile& file, std::size_t suite, std::size_t which);

/// A share of a peak that has no other explanation than a wrong peak, or data that stayed in the cache, in %. Above 100
/// for the noise of both.
inline constexpr double impossible_share = 103.0;
/// Whether the run took its peaks from what it measured at its start, and not from a data sheet.
[[nodiscard]] bool has_measured_peaks(const RunHeader& header);

/// True for a case that was measured, whatever its check said: its samples say something.
[[nodiscard]] bool is_measured(const CaseOutcome& outcome);

/// What the numbers let a case be called: one that passed is failed where the error of a rank is beyond the tolerance,
/// and mistrusted where it has no time; its message then says so. Any other is what it was.
[[nodiscard]] CaseOutcome believed(const CaseOutcome& outcome, const CaseSummary& summary);

}  // namespace rackproof::results
