#include <fmt/format.h>

#include <charconv>
#include <filesystem>

#include "common/core/units.hpp"
#include "launch/commands.hpp"
#include "launch/guarded.hpp"
#include "results/compare.hpp"
#include "results/margins.hpp"

namespace rackproof {
namespace {

struct CompareState {
  std::vector<std::string> files;
  std::vector<std::string> to;
  std::string by;
  std::string base;
  bool calibrate = false;
  std::string out;
  bool force = false;
  std::string margins;
  std::string margin;
  std::string alpha;
  std::string case_regex;
  bool allow_fake = false;
  bool json = false;
  GuardOptions guard;
};

std::vector<std::filesystem::path> paths_of(const std::vector<std::string>& files) {
  return {files.begin(), files.end()};
}

double parse_alpha(const std::string& text) {
  if (text.empty()) return stats::LaunchRules{}.alpha;
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !(value > 0.0) || value > 0.5) {
    throw usage_error(fmt::format("--alpha: '{}' is no number above 0 and up to 0.5", printable(text)));
  }
  return value;
}

ExitCode calibrate(const CompareState& state) {
  if (!state.to.empty() || !state.by.empty() || !state.margins.empty() || !state.margin.empty() ||
      !state.alpha.empty() || state.json) {
    throw usage_error(
        "--calibrate takes launches of one thing; leave --to, --by, --margin, --margins, --alpha and --json out");
  }
  const std::vector<std::filesystem::path> files = paths_of(state.files);
  const auto margins = [&] { return results::calibrate(files, state.case_regex, state.allow_fake); };
  if (!state.out.empty()) {
    const auto write = [&](const Emit& emit) {
      emit(results::margins_toml(margins()));
      return ExitCode::pass;
    };
    write_guarded(state.guard.read(files), state.out, state.force, write);
  }
  return print_guarded(state.guard.read(files), [&](const Emit& emit) {
    emit(results::margins_text(margins()));
    return ExitCode::pass;
  });
}

results::CompareOptions options_of(const CompareState& state) {
  results::CompareOptions options;
  options.case_regex = state.case_regex;
  options.allow_fake = state.allow_fake;
  options.rules.alpha = parse_alpha(state.alpha);
  if (!state.margins.empty()) {
    options.margins = results::read_margins(state.margins);
    options.margin = options.margins.all;
  }
  if (!state.margin.empty()) options.margin = parse_percent(state.margin, "--margin", 1.0);
  return options;
}

ExitCode compare_sides(const CompareState& state) {
  if (!state.out.empty()) throw usage_error("--out belongs to --calibrate");
  if (state.by.empty() == state.to.empty()) {
    throw usage_error("needs two sides: BASE... --to NEW..., or FILE... --by LABEL");
  }
  const results::CompareOptions options = options_of(state);
  std::vector<std::filesystem::path> all = paths_of(state.files);
  const std::vector<std::filesystem::path> to = paths_of(state.to);
  all.insert(all.end(), to.begin(), to.end());
  return print_guarded(state.guard.read(all), [&](const Emit& emit) {
    results::CompareSide base{"base", paths_of(state.files)};
    std::vector<results::CompareSide> others{{"new", to}};
    if (!state.by.empty()) {
      others = results::sides_by_label(base.files, state.by, state.base);
      base = others.front();
      others.erase(others.begin());
    }
    const results::Comparison comparison = results::compare(base, others, options);
    emit(state.json ? results::comparison_json(comparison) : results::comparison_text(comparison));
    return results::verdict_of(comparison);
  });
}

void add_options(CLI::App& command, CompareState& state) {
  command.add_option("FILE", state.files, "Result files: the base, one a launch")->required();
  auto* to = command.add_option("--to", state.to, "Result files to compare with the base, one a launch");
  auto* by = command.add_option("--by", state.by,
                                "Group all files by the value of this label; each group against the first by name");
  by->excludes(to);
  command.add_option("--base", state.base, "The label's value that is the base")->needs(by);
  command.add_option("--margin", state.margin,
                     "Differences up to this do not matter (default: 1%); with --margins for cases that it lacks");
  command.add_option("--margins", state.margins, "Margins of each case, from --calibrate");
  command.add_option("--alpha", state.alpha, "Chance of one false difference or more among all cases (default: 0.05)");
  command.add_option("--case", state.case_regex, "Only the cases whose name matches this regular expression");
  command.add_flag("--allow-fake", state.allow_fake, "Take files of fake devices, which are no measurements");
  command.add_flag("--json", state.json, "Print one JSON document instead of tables");
  command.add_flag("--calibrate", state.calibrate,
                   "Print what launches of one thing differ by, as margins for comparisons of half as many a side");
  command.add_option("--out,-o", state.out, "With --calibrate: write the margins to this file too");
  command.add_flag("--force", state.force, "Replace that file if it exists");
  add_guard_options(command, state.guard);
}

}  // namespace

void add_compare_command(CLI::App& app, CommandLine& command_line) {
  auto* command = app.add_subcommand("compare", "Say what differs between two sides of several launches each");
  auto state = std::make_shared<CompareState>();
  add_options(*command, *state);
  command->footer(
      "A launch counts once, whatever its number of samples: 4 launches a side are the least that can say anything,\n"
      "10 decide most cases. launch/ab.sh takes launches of two builds by turns.\n"
      "Exit codes: 0 every case is the same or faster, 3 a case is slower, missing or failed, 4 inconclusive.\n"
      "Examples:\n"
      "  rackproof compare old-*.h5 --to new-*.h5\n"
      "  rackproof compare night-*.h5 --by nccl --base 2.21.5 --case allreduce\n"
      "  rackproof compare old-*.h5 --to new-*.h5 --json | jq '.others[].cases[] | select(.verdict == "
      "\"SLOWER\").name'\n"
      "  rackproof compare --calibrate quiet-*.h5 --out margins.toml\n"
      "  rackproof compare old-*.h5 --to new-*.h5 --margins margins.toml");
  command->callback([state, &command_line] {
    command_line.action = [state] { return state->calibrate ? calibrate(*state) : compare_sides(*state); };
  });
}

}  // namespace rackproof
