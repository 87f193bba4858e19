// Stands in for run_command.cpp and list_command.cpp in a build of the result commands alone.
#include "common/core/error.hpp"
#include "launch/commands.hpp"

namespace rackproof {
namespace {

void add_absent_command(CLI::App& app, CommandLine& command_line, const char* name) {
  auto* command = app.add_subcommand(name, "Not in this build: it has the result commands alone");
  command->allow_extras();
  command->callback([&command_line, name] {
    command_line.action = [name]() -> ExitCode {
      throw usage_error(std::string("'rackproof ") + name +
                        "' is not in this build; configure with -DRACKPROOF_MPI=ON (needs libopenmpi-dev, libdnnl-dev, "
                        "libopenblas-dev, libbenchmark-dev)");
    };
  });
}

}  // namespace

void add_run_command(CLI::App& app, CommandLine& command_line) { add_absent_command(app, command_line, "run"); }
void add_list_command(CLI::App& app, CommandLine& command_line) { add_absent_command(app, command_line, "list"); }

}  // namespace rackproof
