#include <fmt/format.h>

#include <cstdio>

#include "common/system/inventory.hpp"
#include "launch/commands.hpp"

#ifdef RACKPROOF_HAS_MPI
#include "common/backends/backend.hpp"
#endif

namespace rackproof {
namespace {

/// Devices other than the host, as their backends describe them, and why those of a backend cannot be used.
nlohmann::json devices_beside_the_host() {
  nlohmann::json all = nlohmann::json::array();
#ifdef RACKPROOF_HAS_MPI
  for (const auto& backend : make_all_backends()) {
    try {
      for (const auto& facts : backend->describe_devices()) all.push_back(facts);
    } catch (const Error& error) {
      all.push_back({{"id", backend->name()}, {"problem", error.line()}});
    }
  }
#endif
  return all;
}

}  // namespace

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
      nlohmann::json facts = inventory();
      facts["devices"] = devices_beside_the_host();
      fmt::print("{}", *json ? facts.dump(2) + "\n" : format_inventory(facts));
      return ExitCode::pass;
    };
  });
}

}  // namespace rackproof
