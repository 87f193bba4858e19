// Google Benchmark's flags, as far as they make sense where every rank must do the same.
#pragma once

#include <string>
#include <vector>

namespace rackproof {

struct BenchmarkFlags {
  std::string filter = ".";
  bool given = false;  ///< any of them was on the command line
  bool list_tests = false;
  int repetitions = 1;
  std::string out;     ///< file of --benchmark_out, empty where none
  std::string format;  ///< of --benchmark_format, empty where not given
  /// Flags that are handed to the library as they are, on rank 0 alone.
  std::vector<std::string> passed_on;
};

/// Takes every --benchmark_* argument out of `arguments`. Throws Error (usage) for one that is unknown, or that lets
/// each process decide by itself how often to run (min_time, warm-up time, random interleaving).
[[nodiscard]] BenchmarkFlags take_benchmark_flags(std::vector<std::string>& arguments);

/// Google Benchmark reads its flags from the environment too, in every process for itself. Throws Error (usage) where
/// one of `variables` ("NAME=value") is such a flag.
void refuse_benchmark_environment(const std::vector<std::string>& variables);

/// The help text of those flags.
[[nodiscard]] std::string benchmark_flags_help();

/// Does the filter select this case? As in Google Benchmark: a POSIX extended regular expression that is searched for
/// in the name, a leading '-' inverts it, "all" is everything. Throws Error (usage) for an expression that does not
/// compile.
[[nodiscard]] bool filter_matches(const std::string& filter, const std::string& name);

}  // namespace rackproof
