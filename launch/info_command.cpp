#include <fmt/format.h>

#include <cstdio>

#include "common/system/inventory.hpp"
#include "launch/commands.hpp"

namespace rackproof {

void add_info_command(CLI::App& app, CommandLine& command_line) {
  auto* command = app.add_subcommand("info", "Print what this machine is");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "As JSON, with every loaded library");
  command->footer(
      "Examples:\n"
      "  rackproof info\n"
      "  rackproof info --json | jq .machine.cpu");
  command->callback([json, &command_line] {
    command_line.action = [json] {
      const nlohmann::json facts = inventory();
      fmt::print("{}", *json ? facts.dump(2) + "\n" : format_inventory(facts));
      return ExitCode::pass;
    };
  });
}

}  // namespace rackproof
