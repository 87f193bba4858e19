#include "launch/run_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>

#include "common/core/error.hpp"
#include "common/core/lists.hpp"
#include "common/core/units.hpp"
#include "results/resume.hpp"

namespace rackproof {
namespace {

/// What a JSON reader keeps of a number, whatever its language.
constexpr std::int64_t most_order_seed = std::int64_t{1} << 53;

const Suite& find_suite(const std::string& name, const std::vector<std::unique_ptr<Suite>>& suites) {
  std::string known;
  for (const auto& suite : suites) {
    if (suite->name() == name) return *suite;
    known += (known.empty() ? "" : ", ") + suite->name();
  }
  throw usage_error(fmt::format("--suite: unknown suite '{}'; this build has {}", printable(name), known));
}

template <typename T>
T choose(std::string_view option, const std::string& text, const std::vector<std::pair<std::string, T>>& choices) {
  std::string known;
  for (const auto& [name, value] : choices) {
    if (name == text) return value;
    known += (known.empty() ? "" : ", ") + name;
  }
  throw usage_error(fmt::format("{}: '{}' is none of {}", option, printable(text), known));
}

std::map<std::string, std::string> parse_labels(const std::vector<std::string>& labels) {
  std::map<std::string, std::string> result;
  for (const std::string& label : labels) {
    const std::size_t equals = label.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw usage_error(fmt::format("--label: '{}' has no key or no '='; write --label KEY=VALUE", printable(label)));
    }
    const std::string key = label.substr(0, equals);
    if (key != printable(key) || label != printable(label, label.size() + 1)) {
      throw usage_error(fmt::format("--label: '{}' has control characters or invalid UTF-8", printable(label)));
    }
    if (!result.emplace(key, label.substr(equals + 1)).second) {
      throw usage_error(fmt::format("--label: '{}' is given twice", printable(key)));
    }
  }
  return result;
}

}  // namespace

void add_case_options(CLI::App& command, RunArguments& arguments, const std::vector<std::unique_ptr<Suite>>& suites) {
  std::string names;
  for (const auto& suite : suites) names += (names.empty() ? "" : ",") + suite->name();
  command.add_option("--suite", arguments.suites, "Suites to run, separated by commas (default: " + names + ")");
  command
      .add_option("--profile", arguments.profile, "quick: at most 2 minutes; accept: more cases, at most 10 minutes")
      ->capture_default_str();
  command.add_option("--seed", arguments.seed, "Seed of all inputs and weights")->capture_default_str();
  command.add_option("--buffers", arguments.buffers, "cold: rotate through more than the last-level cache; hot: reuse")
      ->capture_default_str();
  command
      .add_option(
          "--collective-backends", arguments.collective_backends,
          "Of nccl, mpi, comma-separated: the first is used by all suites, and allreduce measures each; auto: the "
          "best for the device")
      ->capture_default_str();
  for (const auto& suite : suites) {
    for (const OptionSpec& option : suite->options()) {
      auto& value = arguments.suite_values[option.name];
      value = option.default_value;
      command.add_option("--" + option.name, value, option.help)
          ->group("Suite " + suite->name())
          ->default_str(option.default_value);
    }
  }
}

RunOptions check_run_arguments(const RunArguments& arguments, const std::vector<std::unique_ptr<Suite>>& suites) {
  RunOptions options;
  if (arguments.suites.empty()) {
    for (const auto& suite : suites) options.suites.push_back(suite.get());
  } else {
    for (const std::string& name : split_list(arguments.suites, "--suite")) {
      options.suites.push_back(&find_suite(name, suites));
    }
  }
  options.suite_options.profile =
      choose<Profile>("--profile", arguments.profile, {{"quick", Profile::quick}, {"accept", Profile::accept}});
  options.start = choose<StartMode>(
      "--start", arguments.start,
      {{"auto", StartMode::automatic}, {"window", StartMode::window}, {"barrier", StartMode::barrier}});
  options.shuffled = arguments.order != "listed";
  if (options.shuffled && arguments.order != "shuffled") {
    options.order_seed = static_cast<std::uint64_t>(parse_integer(arguments.order, "--order", 0, most_order_seed));
  }
  options.suite_options.seed =
      static_cast<std::uint64_t>(parse_integer(arguments.seed, "--seed", 0, std::numeric_limits<std::int64_t>::max()));
  options.suite_options.cold_buffers = choose<bool>("--buffers", arguments.buffers, {{"cold", true}, {"hot", false}});
  options.suite_options.values = arguments.suite_values;
  if (arguments.collective_backends != "auto") {
    options.suite_options.collective_backends = split_list(arguments.collective_backends, "--collective-backends");
  }
  options.hang_timeout = parse_duration(arguments.hang_timeout, "--hang-timeout");
  if (options.hang_timeout < 1.0) throw usage_error("--hang-timeout: must be at least 1s");
  options.progress = choose<ProgressMode>(
      "--progress", arguments.progress,
      {{"auto", ProgressMode::automatic}, {"always", ProgressMode::always}, {"never", ProgressMode::never}});
  options.device = arguments.device;
  // What is left of 2 and of 10 minutes after start-up, and for the case that overruns at the end.
  const double profile_budget = options.suite_options.profile == Profile::quick ? 95.0 : 540.0;
  options.time_budget =
      arguments.time_budget.empty() ? profile_budget : parse_duration(arguments.time_budget, "--time-budget");
  if (options.time_budget <= 0.0) throw usage_error("--time-budget: must be more than 0s");
  if (!arguments.wall_time.empty()) {
    options.wall_time = parse_duration(arguments.wall_time, "--wall-time");
    if (options.wall_time < 1.0) throw usage_error("--wall-time: must be at least 1s");
  }
  options.relative_half_width = parse_percent(arguments.precision, "--precision", 0.5);
  if (arguments.threads < 0 || arguments.threads > 4096) throw usage_error("--threads: must be from 0 to 4096");
  options.threads = arguments.threads;
  if (arguments.max_samples < 3 || arguments.max_samples > 1'000'000) {
    throw usage_error("--max-samples: must be from 3 to 1000000");
  }
  options.max_samples = arguments.max_samples;
  if (arguments.out_given && arguments.out.empty()) throw usage_error("--out: needs the name of a file");
  options.limits = arguments.limits;
  options.out = arguments.out;
  options.resume = arguments.resume;
  if (arguments.resume_given) {
    const std::filesystem::path path = results::resumed_path(arguments.resume);
    if (arguments.out_given && path != std::filesystem::path(arguments.out)) {
      throw usage_error(
          fmt::format("--resume: goes on in {}; leave --out out, or name the same file", printable(path.string())));
    }
    options.out = path.string();
  }
  options.force = arguments.force;
  options.labels = parse_labels(arguments.labels);
  options.plants = parse_plants(arguments.plants);
  return options;
}

std::vector<SelectedSuite> select_cases(const RunOptions& options, const std::string& filter,
                                        const Platform& platform) {
  std::vector<SelectedSuite> selected;
  for (const Suite* suite : options.suites) {
    SelectedSuite one{suite, suite->cases(options.suite_options, platform)};
    std::erase_if(one.cases, [&filter](const Case& candidate) { return !filter_matches(filter, candidate.name); });
    if (!one.cases.empty()) selected.push_back(std::move(one));
  }
  if (selected.empty()) {
    throw usage_error(fmt::format(
        "--benchmark_filter: no case matches '{}'; 'rackproof list' prints the names of all cases", printable(filter)));
  }
  return selected;
}

}  // namespace rackproof
