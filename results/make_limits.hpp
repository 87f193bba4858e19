// Limits made from runs that were good, for hardware that has no public figures.
#pragma once

#include <span>
#include <string>

#include "results/reader.hpp"

namespace rackproof::results {

/// The TOML text of a limits file called `name`: for every case that passed in all files, by its first figure, the
/// worst median of any device (of a collective: of any launch) and `margin` beyond it; the specification is the median
/// of all. Cases are known by their names. Comments at the end tell which were left out, and why: what did not pass in
/// all files, pairs of ranks, which are judged by each other, what varies too much, figures above a peak. Throws Error
/// (usage) where two files are of the same run, the files have different kinds of devices, nothing is left to make
/// limits of, or a file is damaged.
[[nodiscard]] std::string make_limits(std::span<const ResultFile> files, const std::string& name, double margin);

}  // namespace rackproof::results
