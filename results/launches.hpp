// A result file as one launch: a time a case, and what it was measured with. Read once, kept small, so that any number
// of files can be compared.
#pragma once

#include <cstddef>
#include <filesystem>
#include <limits>
#include <regex>
#include <string>
#include <vector>

#include "results/run_header.hpp"

namespace rackproof::results {

class KnownRuns;

/// One case in one launch.
struct LaunchCase {
  std::string suite;
  std::string name;   ///< repetitions of a case have one name here
  CaseHeader header;  ///< of its first repetition
  Status status = Status::not_run;
  std::string message;
  /// s, as CaseMedians::time; of several repetitions their median. NaN: nothing was measured, or its check failed.
  double time = std::numeric_limits<double>::quiet_NaN();
  /// (R) s, of a case whose ranks work on their own; empty of a collective one.
  std::vector<float> rank_time;
};

struct Launch {
  std::filesystem::path path;
  RunHeader header;  ///< without suites
  bool unfinished = false;
  std::vector<LaunchCase> cases;  ///< in the order of the file
  /// What the run chose for itself, such as the pairs of ranks to measure again: not comparable between runs.
  std::size_t left_out = 0;
};

/// Reads the cases whose names match. Throws Error (usage) where the file is no result file, is damaged, or was made
/// with a fake device and `allow_fake` is not set.
/// `known`: what has been read already, or null.
[[nodiscard]] Launch read_launch(const std::filesystem::path& path, const std::regex& wanted, bool allow_fake,
                                 const KnownRuns* known = nullptr);

/// The launches of many files; none of them may be there twice (by run_id): one launch counted twice would look like
/// evidence. Throws Error (usage).
[[nodiscard]] std::vector<Launch> read_launches(const std::vector<std::filesystem::path>& paths,
                                                const std::string& case_regex, bool allow_fake,
                                                const KnownRuns* known = nullptr);

}  // namespace rackproof::results
