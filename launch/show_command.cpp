#include <memory>
#include <string>

#include "launch/commands.hpp"
#include "launch/guarded.hpp"
#include "results/show.hpp"

namespace rackproof {
namespace {

struct ShowState {
  std::string file;
  results::ShowOptions options;
  GuardOptions guard;
};

}  // namespace

void add_show_command(CLI::App& app, CommandLine& command_line) {
  auto* command = app.add_subcommand("show", "Print a result file as tables");
  auto state = std::make_shared<ShowState>();
  command->add_option("FILE", state->file, "Result file, finished or not")->required();
  command->add_option("--case", state->options.case_regex, "Only the cases whose name matches this regular expression");
  command->add_flag("--ranks", state->options.ranks, "One row a rank");
  command
      ->add_flag("--quantiles", state->options.quantiles,
                 "p50, p90, p99 and p99.9 of the time with upper 95 % bounds, instead of figures")
      ->excludes("--ranks");
  add_guard_options(*command, state->guard);
  command->footer(
      "Examples:\n"
      "  rackproof show rack7.h5\n"
      "  rackproof show rack7.h5 --case 'gemm/bf16' --ranks\n"
      "  rackproof show rack7.h5 --case allreduce --quantiles");
  command->callback([state, &command_line] {
    command_line.action = [state] {
      return print_guarded(state->guard.read({state->file}), [&](const Emit& emit) {
        emit(results::show(state->file, state->options));
        return ExitCode::pass;
      });
    };
  });
}

}  // namespace rackproof
