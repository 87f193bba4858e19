// How much launches of the same thing differ on a machine, as margins for compare: common/stats/calibration.hpp has the
// method. With a case's margin, two sides of so many launches of one thing as it was calibrated for are called the same
// in 95 of 100 comparisons.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "results/run_header.hpp"

namespace rackproof::results {

struct CaseMargin {
  double margin = 0.0;  ///< relative
  double spread = 0.0;  ///< standard deviation of the logarithm of the time between launches
};

struct Margins {
  std::map<std::string, CaseMargin> cases;  ///< by name
  double all = 0.0;                         ///< one for all cases together; 0: there is no calibration
  int launches = 0;                         ///< that it was made from
  int ranks = 0;
  std::string hosts;
  std::vector<std::string> warnings;  ///< of the calibration; not in the file
};

/// Smaller differences are nobody's.
inline constexpr double least_margin = 0.01;
inline constexpr std::size_t fewest_to_calibrate = 8;

/// Throws Error (usage): too few files, and what compare() throws of files.
[[nodiscard]] Margins calibrate(const std::vector<std::filesystem::path>& files, const std::string& case_regex,
                                bool allow_fake);

[[nodiscard]] std::string margins_text(const Margins& margins);
/// TOML, as read_margins() reads it.
[[nodiscard]] std::string margins_toml(const Margins& margins);
/// What margins from a file do not hold for, a line each: launches of this run, so many on the smaller side.
[[nodiscard]] std::vector<std::string> margin_mismatches(const Margins& margins, const RunHeader& header,
                                                         std::size_t launches);
/// Throws Error (usage), one line with the file's name.
[[nodiscard]] Margins read_margins(const std::filesystem::path& path);

}  // namespace rackproof::results
