// What `rackproof run` and `rackproof list` were asked for.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/measure/sampler.hpp"
#include "launch/benchmark_flags.hpp"
#include "launch/run_plant.hpp"
#include "suites/suite.hpp"

namespace rackproof {

enum class ProgressMode { automatic, always, never };

/// The options as text, as CLI11 fills them in.
struct RunArguments {
  std::string suites;
  std::string profile = "quick";
  std::string device = "auto";
  std::string buffers = "cold";
  std::string collective_backends = "auto";
  std::string hang_timeout = "120s";  ///< `run` alone
  std::string time_budget;
  std::string wall_time;  ///< `run` alone
  std::string resume;     ///< `run` alone
  std::string precision = "1%";
  std::string progress = "auto";
  std::string limits;
  std::string out;
  bool out_given = false;
  bool resume_given = false;
  std::vector<std::string> labels;
  std::vector<std::string> plants;  ///< `run` alone
  int threads = 0;
  int max_samples = 1024;
  std::string seed = "1";
  std::string order = "shuffled";
  std::string start = "auto";
  int ranks = 2;  ///< `list` alone
  bool force = false;
  bool json = false;  ///< `list` alone
  std::map<std::string, std::string> suite_values;
};

/// The options, checked.
struct RunOptions {
  std::vector<const Suite*> suites;  ///< in the order asked for
  Options suite_options;
  std::string device;
  double time_budget = 0.0;          ///< s
  double relative_half_width = 0.0;  ///< of the 95 % interval of the median
  double hang_timeout = 0.0;         ///< s
  double wall_time = 0.0;            ///< s from the start of the process; 0: not given
  int threads = 0;
  int max_samples = 0;
  ProgressMode progress = ProgressMode::automatic;
  StartMode start = StartMode::automatic;   ///< of a collective's samples
  bool shuffled = true;                     ///< cases run in another order than listed
  std::optional<std::uint64_t> order_seed;  ///< of the shuffle; none: to be drawn, and then the same on all ranks
  std::string limits;                       ///< a file or a name of limits; empty: none
  std::string resume;                       ///< file to go on with; empty: none
  std::string out;                          ///< empty: named after host and time
  bool force = false;
  std::map<std::string, std::string> labels;
  std::vector<Plant> plants;  ///< faults that the run plants into itself
};

/// Adds the options that choose cases (`run` and `list`), those of every suite included.
void add_case_options(CLI::App& command, RunArguments& arguments, const std::vector<std::unique_ptr<Suite>>& suites);

/// Throws Error (usage).
[[nodiscard]] RunOptions check_run_arguments(const RunArguments& arguments,
                                             const std::vector<std::unique_ptr<Suite>>& suites);

/// The cases that options and filter select, suite by suite, in the order of `options.suites`; suites without one are
/// left out. Throws Error (usage) where nothing is left, or the suites' own.
struct SelectedSuite {
  const Suite* suite = nullptr;
  std::vector<Case> cases;
};
[[nodiscard]] std::vector<SelectedSuite> select_cases(const RunOptions& options, const std::string& filter,
                                                      const Platform& platform);

}  // namespace rackproof
