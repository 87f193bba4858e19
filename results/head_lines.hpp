// What a file says of the run as a whole, in a few lines: who, where, on what.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "results/reader.hpp"

namespace rackproof::results {

/// Keys such as "run", "machine", "devices", "libraries", "labels", each with its text, in the order to print. Texts
/// come from the file as they are: escape them for what they are printed on.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> head_lines(const ResultFile& file);

}  // namespace rackproof::results
