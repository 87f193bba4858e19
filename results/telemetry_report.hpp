// What the devices of a run felt, as text for people. Internal to this folder.
#pragma once

#include <cstddef>
#include <string>

#include "results/reader.hpp"

namespace rackproof::results {

/// A table with one row a device that told something: least, median and largest power, clock and temperature; what held
/// its clock back, by name; errors that were counted meanwhile. At most `most_rows` rows, those that were held back or
/// counted errors first. Empty where no device told anything.
[[nodiscard]] std::string telemetry_report(const ResultFile& file, std::size_t most_rows);

}  // namespace rackproof::results
