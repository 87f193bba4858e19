// The same case with several backends of the collectives, next to each other.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "results/reader.hpp"

namespace rackproof::results {

/// A row for each of the suite's cases (positions in the header) that differ in the parameter `backend` alone: the
/// median time with each, and how many times that of the first it is. Cases that failed or were not measured are left
/// blank. Empty where nothing was measured with two backends.
[[nodiscard]] std::string side_by_side(const ResultFile& file, std::size_t suite,
                                       const std::vector<std::size_t>& cases);

}  // namespace rackproof::results
