#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "launch/commands.hpp"
#include "launch/guarded.hpp"
#include "results/export.hpp"

namespace rackproof {
namespace {

struct ExportState {
  std::vector<std::string> files;
  std::string format;
  std::string out;
  bool force = false;
  results::ExportOptions options;
  GuardOptions guard;
};

ExitCode export_files(const ExportState& state) {
  results::ExportOptions options = state.options;
  options.format = results::parse_export_format(state.format);
  const std::vector<std::filesystem::path> files(state.files.begin(), state.files.end());
  const auto work = [&](const Emit& emit) {
    results::export_results(files, options, emit);
    return ExitCode::pass;
  };
  if (state.out.empty()) return print_guarded(state.guard.read(files), work);
  return write_guarded(state.guard.read(files), state.out, state.force, work);
}

}  // namespace

void add_export_command(CLI::App& app, CommandLine& command_line) {
  auto* command = app.add_subcommand("export", "Write result files in the formats of other programs");
  auto state = std::make_shared<ExportState>();
  command->add_option("FILE", state->files, "Result files, finished or not; one for openmetrics and ocptv")->required();
  command->add_option("--format,-f", state->format, "csv, json, junit, openmetrics, ocptv or benchmark")->required();
  auto* out = command->add_option("--out,-o", state->out, "File to write, whole or not at all (default: stdout)");
  command->add_flag("--force", state->force, "Replace the file if it exists")->needs(out);
  command->add_option("--case", state->options.case_regex, "Only the cases whose name matches this regular expression");
  command->add_flag("--samples", state->options.samples, "Every sample of every rank (csv and json)");
  command->add_flag("--allow-fake", state->options.allow_fake, "Take files that were made with a fake device");
  add_guard_options(*command, state->guard);
  command->footer(
      "csv          a long table: a row a case and rank, or a sample; the same columns for every file\n"
      "json         one document, its schema in results/README.md\n"
      "junit        a testcase a case, for Jenkins, GitLab, GitHub; mistrusted counts as failed\n"
      "openmetrics  gauges for node_exporter's textfile collector\n"
      "ocptv        JSON lines of the OCP Test & Validation specification 2.0\n"
      "benchmark    Google Benchmark's JSON, for its compare.py; each file is a repetition\n"
      "Examples:\n"
      "  rackproof export rack7-*.h5 --format csv --out rack7.csv\n"
      "  rackproof export rack7.h5 --format junit --out junit.xml\n"
      "  rackproof export rack7.h5 -f openmetrics -o /var/lib/node_exporter/rackproof.prom --force\n"
      "  rackproof export rack7.h5 --format json --case '^gemm/bf16' --samples");
  command->callback([state, &command_line] { command_line.action = [state] { return export_files(*state); }; });
}

}  // namespace rackproof
