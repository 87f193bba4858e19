// A result file as text for people.
#pragma once

#include <filesystem>
#include <string>

namespace rackproof::results {

struct ShowOptions {
  std::string case_regex{};  ///< ECMAScript, found anywhere in the case's name; empty: all
  bool ranks = false;        ///< one row a rank
  bool quantiles = false;    ///< p50, p90, p99 and p99.9 of the job's time, with upper bounds, instead of figures
};

/// Header lines, a table a suite, and a summary line; ends with a newline. Throws Error (usage) where the file is
/// no result file, the expression is malformed, or no case matches it.
[[nodiscard]] std::string show(const std::filesystem::path& file, const ShowOptions& options = {});

}  // namespace rackproof::results
