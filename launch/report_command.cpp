#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "launch/commands.hpp"
#include "launch/guarded.hpp"
#include "results/report.hpp"

namespace rackproof {
namespace {

struct ReportState {
  std::vector<std::string> files;
  std::vector<std::string> baseline;
  std::string limits;
  std::string out;
  std::string title;
  bool force = false;
  bool allow_fake = false;
  GuardOptions guard;
};

ExitCode write_report(const ReportState& state) {
  results::ReportOptions options;
  options.files.assign(state.files.begin(), state.files.end());
  options.baseline.assign(state.baseline.begin(), state.baseline.end());
  options.limits = state.limits;
  options.title = state.title;
  options.allow_fake = state.allow_fake;
  std::vector<std::filesystem::path> all = options.files;
  all.insert(all.end(), options.baseline.begin(), options.baseline.end());
  const ExitCode code = write_guarded(state.guard.read(std::move(all)), state.out, state.force, [&](const Emit& emit) {
    emit(results::report_page(options));
    return ExitCode::pass;
  });
  std::fputs(fmt::format("Wrote {}\n", state.out).c_str(), stderr);
  return code;
}

}  // namespace

void add_report_command(CLI::App& app, CommandLine& command_line) {
  auto* command = app.add_subcommand("report", "Make one HTML page of result files, for people");
  auto state = std::make_shared<ReportState>();
  command->add_option("FILE", state->files, "Result files: launches on one machine")->required();
  command->add_option("-o,--out", state->out, "The page, such as report.html")->required();
  command->add_option("--limits", state->limits, "Limits as 'rackproof accept' takes them: FILE.toml or a name");
  command->add_option("--baseline", state->baseline, "Result files of launches to compare with");
  command->add_option("--title", state->title, "Heading of the page; default: the name of the first host");
  command->add_flag("--force", state->force, "Replace an existing page");
  command->add_flag("--allow-fake", state->allow_fake, "Judge and compare files that were made with a fake device");
  add_guard_options(*command, state->guard);
  command->footer(
      "The page needs nothing but itself: mail it, print it, open it offline. Charts are drawn by gnuplot.\n"
      "The exit code says whether the page was written; 'rackproof accept' and 'compare' have verdicts in theirs.\n"
      "Examples:\n"
      "  rackproof report rack7.h5 -o rack7.html\n"
      "  rackproof report rack7-a.h5 rack7-b.h5 --limits h100-sxm -o rack7.html\n"
      "  rackproof report new1.h5 new2.h5 --baseline old1.h5 old2.h5 -o new.html --title 'Rack 7 after the update'");
  command->callback([state, &command_line] { command_line.action = [state] { return write_report(*state); }; });
}

}  // namespace rackproof
