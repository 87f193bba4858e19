// What the devices of a run felt, as text for people. Internal to this folder.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "results/reader.hpp"

namespace rackproof::results {

/// A table with one row a device that told something: least, median and largest power, clock and temperature; what held
/// its clock back, by name; errors that were counted meanwhile. At most `most_rows` rows, those that were held back or
/// counted errors first. Empty where no device told anything.
[[nodiscard]] std::string telemetry_report(const ResultFile& file, std::size_t most_rows);

/// What is worth telling of the device of one rank, in words; empty texts: nothing.
struct TelemetryRemark {
  std::size_t rank = 0;
  std::string held_back;  ///< "power_cap 80 %": by what its clock was, and in which share of the readings
  /// "ecc_corrected +3, row_remap_pending (reset it)": counted in the run, and what its memory is in
  std::string errors;
  bool broken = false;  ///< errors of its memory that cannot be corrected are among them
};
/// Of the ranks of which there is something to tell.
[[nodiscard]] std::vector<TelemetryRemark> telemetry_remarks(const ResultFile& file);

}  // namespace rackproof::results
