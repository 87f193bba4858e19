#include "launch/benchmark_flags.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <regex>
#include <string_view>

#include "common/core/error.hpp"
#include "common/core/units.hpp"

namespace rackproof {
namespace {

constexpr std::array<std::string_view, 8> passed_on{"benchmark_out_format",       "benchmark_color",
                                                    "benchmark_counters_tabular", "benchmark_report_aggregates_only",
                                                    "benchmark_context",          "benchmark_display_aggregates_only",
                                                    "benchmark_time_unit",        "benchmark_format"};

bool parse_flag(std::string_view value, std::string_view name) {
  if (value.empty() || value == "true" || value == "1" || value == "yes") return true;
  if (value == "false" || value == "0" || value == "no") return false;
  throw usage_error(fmt::format("--{}: '{}' is neither true nor false", name, printable(value)));
}

}  // namespace

BenchmarkFlags take_benchmark_flags(std::vector<std::string>& arguments) {
  BenchmarkFlags flags;
  std::vector<std::string> rest;
  for (const std::string& argument : arguments) {
    if (!argument.starts_with("--benchmark_")) {
      rest.push_back(argument);
      continue;
    }
    flags.given = true;
    const std::size_t equals = argument.find('=');
    const std::string name = argument.substr(2, equals == std::string::npos ? equals : equals - 2);
    const bool has_value = equals != std::string::npos;
    const std::string value = has_value ? argument.substr(equals + 1) : "";
    const auto need_value = [&] {
      if (!has_value || value.empty()) {
        throw usage_error(fmt::format("--{0} needs a value: --{0}=VALUE", printable(name)));
      }
    };
    if (name == "benchmark_filter") {
      need_value();
      flags.filter = value;
    } else if (name == "benchmark_list_tests") {
      flags.list_tests = parse_flag(value, name);
    } else if (name == "benchmark_repetitions") {
      need_value();
      flags.repetitions = static_cast<int>(parse_integer(value, "--benchmark_repetitions", 1, 1000));
    } else if (name == "benchmark_out") {
      need_value();
      flags.out = value;
    } else if (name == "benchmark_min_time" || name == "benchmark_min_warmup_time" ||
               name == "benchmark_enable_random_interleaving") {
      throw usage_error(
          fmt::format("--{}: each process would decide by itself how often to run; use --time-budget, --precision and "
                      "--max-samples",
                      name));
    } else if (std::find(passed_on.begin(), passed_on.end(), name) != passed_on.end()) {
      if (name == "benchmark_format" || name == "benchmark_out_format") {
        need_value();
        if (value != "console" && value != "json" && value != "csv") {
          throw usage_error(fmt::format("--{}: '{}' is none of console, json, csv", name, printable(value)));
        }
      }
      if (name == "benchmark_time_unit" && value != "ns" && value != "us" && value != "ms" && value != "s") {
        throw usage_error(fmt::format("--{}: '{}' is none of ns, us, ms, s", name, printable(value)));
      }
      if (name == "benchmark_context" &&
          (value.empty() || value.front() == '=' || value.find('=') == std::string::npos)) {
        throw usage_error(fmt::format("--{}: '{}' is not KEY=VALUE", name, printable(value)));
      }
      if (name == "benchmark_color" && value != "auto") (void)parse_flag(value, name);
      if (name == "benchmark_counters_tabular" || name.ends_with("_aggregates_only")) (void)parse_flag(value, name);
      if (name == "benchmark_format") flags.format = value;
      flags.passed_on.push_back(argument);
    } else {
      throw usage_error(
          fmt::format("unknown flag '--{}'; 'rackproof run --help' lists those there are", printable(name)));
    }
  }
  arguments = std::move(rest);
  return flags;
}

void refuse_benchmark_environment(const std::vector<std::string>& variables) {
  for (const std::string& variable : variables) {
    if (!variable.starts_with("BENCHMARK_")) continue;
    throw usage_error(
        fmt::format("the environment variable {} changes how Google Benchmark runs; unset it and use its "
                    "flag on the command line ('rackproof run --help')",
                    printable(variable.substr(0, variable.find('=')))));
  }
}

std::string benchmark_flags_help() {
  return "Google Benchmark flags:\n"
         "  --benchmark_filter=REGEX        the cases whose name matches; -REGEX: those that do not\n"
         "  --benchmark_list_tests          print the names and stop\n"
         "  --benchmark_repetitions=N       measure every case N times; every repetition is kept\n"
         "  --benchmark_out=FILE            also write Google Benchmark's own report\n"
         "  --benchmark_out_format=FORMAT   json (default), csv, console\n"
         "  --benchmark_format=FORMAT       print its report instead of the table: console, json, csv\n"
         "  --benchmark_time_unit, _context, _color, _counters_tabular, _report_aggregates_only,\n"
         "  _display_aggregates_only        as there\n";
}

bool filter_matches(const std::string& filter, const std::string& name) {
  const bool inverted = filter.starts_with('-');
  const std::string expression = inverted ? filter.substr(1) : filter;
  if (expression == "all") return !inverted;
  try {
    return std::regex_search(name, std::regex(expression, std::regex::extended)) != inverted;
  } catch (const std::regex_error&) {
    throw usage_error(
        fmt::format("--benchmark_filter: '{}' is no POSIX extended regular expression", printable(expression)));
  }
}

}  // namespace rackproof
