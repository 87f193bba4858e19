#include <memory>
#include <string>

#include "launch/commands.hpp"
#include "launch/guarded.hpp"
#include "results/recover.hpp"

namespace rackproof {
namespace {

struct RecoverState {
  std::string part;
  std::string out;
  bool force = false;
  GuardOptions guard;
};

}  // namespace

void add_recover_command(CLI::App& app, CommandLine& command_line) {
  auto* command = app.add_subcommand("recover", "Make a result file of what a killed run had finished");
  auto state = std::make_shared<RecoverState>();
  command->add_option("FILE", state->part, "The FILE.h5.part that the run left")->required();
  command->add_option("--out,-o", state->out, "Result file (default: FILE without .part)");
  command->add_flag("--force", state->force, "Replace the result file if it exists");
  add_guard_options(*command, state->guard);
  command->footer(
      "FILE.h5.part itself is only read, and stays.\n"
      "Examples:\n"
      "  rackproof recover rack7.h5.part\n"
      "  rackproof recover rack7.h5.part --out rack7-first-half.h5");
  command->callback([state, &command_line] {
    command_line.action = [state] {
      GuardedRead read = state->guard.read({state->part});
      read.writes_files = true;
      return print_guarded(read, [&](const Emit& emit) {
        emit(results::to_string(results::recover(state->part, {state->out, state->force})) + "\n");
        return ExitCode::pass;
      });
    };
  });
}

}  // namespace rackproof
