// The tails of a suite's cases: p50, p90, p99 and p99.9, each with a bound that needs no assumption.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "results/reader.hpp"

namespace rackproof::results {

/// Of each case (positions in the header) the quantiles of the job's time (figure_time: of independent work the
/// slowest rank's) with their upper 95 % confidence bounds (stats::quantile_upper_bound, for the effective number of
/// samples where they are correlated), "n too small" where there is no such bound. One table; two where one would be
/// wider than `width`. Ends with a newline.
[[nodiscard]] std::string quantile_table(const ResultFile& file, std::size_t suite,
                                         const std::vector<std::size_t>& cases, std::size_t width);

}  // namespace rackproof::results
