// Limits made from runs that were good, for hardware that has no public figures.
#pragma once

#include <span>
#include <string>

#include "results/reader.hpp"

namespace rackproof::results {

/// The TOML text of a limits file called `name`: for every case that passed in all files, by its first figure, the
/// worst median of any device (of a collective: of any launch) and `margin` beyond it; the specification is the median
/// of all. Pairs of ranks are left out, which are judged by each other. Throws Error (usage) where the files have
/// different kinds of devices, no case passed in all of them, or a file is damaged.
[[nodiscard]] std::string make_limits(std::span<const ResultFile> files, const std::string& name, double margin);

}  // namespace rackproof::results
