#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>

#include "launch/commands.hpp"
#include "launch/guarded.hpp"
#include "results/accept.hpp"
#include "results/make_limits.hpp"

namespace rackproof {
namespace {

struct AcceptState {
  std::vector<std::string> files;
  std::vector<std::string> baseline;
  std::string limits;
  std::string floor = "5%";
  std::string make_limits;
  std::string margin = "10%";
  bool allow_fake = false;
  bool faults = false;
  bool force = false;
  GuardOptions guard;
};

double parse_share(const std::string& text, const char* option) {
  std::size_t used = 0;
  double value = -1.0;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || used + 1 != text.size() || text.back() != '%' || !(value > 0.0 && value <= 50.0)) {
    throw usage_error(fmt::format("{}: '{}' is no share between 0% and 50%, such as 5%", option, printable(text)));
  }
  return value / 100.0;
}

/// Hosts are blamed for what they measured themselves.
std::vector<results::ResultFile> open_all(const std::vector<std::string>& paths) {
  return results::open_by_placement(std::vector<std::filesystem::path>(paths.begin(), paths.end()));
}

GuardedRead guarded(const AcceptState& state) {
  std::vector<std::filesystem::path> all(state.files.begin(), state.files.end());
  all.insert(all.end(), state.baseline.begin(), state.baseline.end());
  return state.guard.read(std::move(all));
}

ExitCode judge(const AcceptState& state) {
  results::AcceptOptions options;
  options.floor = parse_share(state.floor, "--floor");
  options.allow_fake = state.allow_fake;
  std::optional<results::LimitSet> limits;
  if (!state.limits.empty()) limits = results::load_limits(state.limits);
  const results::LimitSet* const set = limits ? &*limits : nullptr;
  return print_guarded(guarded(state), [&](const Emit& emit) {
    const auto attempts = open_all(state.files);
    const auto baseline = open_all(state.baseline);
    const results::Acceptance acceptance = results::accept(attempts, baseline, set, options);
    emit(state.faults ? results::fault_lines(acceptance) : results::acceptance_text(acceptance, set));
    return results::exit_code_of(acceptance.verdict);
  });
}

/// Comments in a limits file that was made here.
bool tells_of_cases_left_out(const std::filesystem::path& limits) {
  std::ifstream in(limits);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("# left out")) return true;
  }
  return false;
}

ExitCode make(const AcceptState& state) {
  const double margin = parse_share(state.margin, "--margin");
  const std::filesystem::path out = state.make_limits;
  if (out.extension() != ".toml") {
    throw usage_error(fmt::format("--make-limits: '{}' does not end in .toml", printable(state.make_limits)));
  }
  const ExitCode code = write_guarded(guarded(state), out, state.force, [&](const Emit& emit) {
    const auto files = open_all(state.files);
    for (const results::ResultFile& file : files) {
      const std::string why = results::why_no_measurement(file.header());
      if (why.empty() || state.allow_fake) continue;
      throw usage_error(
          fmt::format("'{}' was made {}: nothing in it is a measurement", printable(file.path().string()), why));
    }
    emit(results::make_limits(files, out.stem().string(), margin));
    return ExitCode::pass;
  });
  fmt::print(stderr, "Wrote {}{}\n", printable(state.make_limits, 1000),
             tells_of_cases_left_out(out) ? "; comments at its end tell which cases were left out, and why" : "");
  return code;
}

}  // namespace

void add_accept_command(CLI::App& app, CommandLine& command_line) {
  auto* command =
      app.add_subcommand("accept", "Judge a rack, its nodes, devices and links, and name the parts at fault");
  auto state = std::make_shared<AcceptState>();
  command->add_option("FILE", state->files, "Result files of one rack, one a launch: every attempt counts")->required();
  command->add_option(
      "--limits", state->limits,
      "Limits: FILE.toml, or the name of those that come with rackproof: h100-sxm, h200-sxm, gh200, b200, "
      "gb200-nvl72, gb300-nvl72, host");
  command->add_option("--baseline", state->baseline,
                      "Result files of launches that were good, of this rack or a sister of it");
  command->add_option("--floor", state->floor, "Against peers and baseline, what is less slow than this is no fault")
      ->capture_default_str();
  auto* made = command->add_option("--make-limits", state->make_limits,
                                   "Judge nothing: make a limits file OUT.toml of these launches, which were good");
  command->add_option("--margin", state->margin, "With --make-limits: how far beyond the worst of them the limits are")
      ->capture_default_str()
      ->needs(made);
  command->add_flag("--force", state->force, "With --make-limits: replace the file if it exists")->needs(made);
  command->add_flag("--allow-fake", state->allow_fake,
                    "Judge files that were made with a fake device or planted faults too");
  command->add_flag("--faults", state->faults,
                    "For scripts: print a line for each part at fault and nothing else: verdict, kind, host, part and "
                    "reason, a tab between them");
  // What is judged by would be ignored.
  made->excludes("--limits")->excludes("--baseline")->excludes("--faults")->excludes("--floor");
  add_guard_options(*command, state->guard);
  command->footer(
      "PASS, FAIL, INTERMITTENT (attempts disagree) or INCONCLUSIVE for each part. Without limits and baseline no rack "
      "passes.\n"
      "Exit codes: 0 pass, 3 fail or intermittent, 4 inconclusive, 2 bad input, such as a limit that no case matches.\n"
      "Examples:\n"
      "  rackproof accept rack7.h5 --limits h100-sxm\n"
      "  rackproof accept rack7-a.h5 rack7-b.h5 rack7-c.h5 --limits site.toml\n"
      "  rackproof accept tonight.h5 --baseline march-*.h5\n"
      "  rackproof accept good-1.h5 good-2.h5 good-3.h5 --make-limits site.toml");
  command->callback([state, &command_line] {
    command_line.action = [state] { return state->make_limits.empty() ? judge(*state) : make(*state); };
  });
}

}  // namespace rackproof
