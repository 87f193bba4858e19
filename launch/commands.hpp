// The subcommands of `rackproof`. Each adds itself to the command line and, when chosen, returns its exit code.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "common/core/error.hpp"
#include "launch/benchmark_flags.hpp"

namespace rackproof {

/// What the subcommands share: how the process was called, and which of them is to run.
struct CommandLine {
  std::vector<std::string> arguments;  ///< all, as given, argv[0] included
  BenchmarkFlags benchmark_flags;
  /// Set by the subcommand that was chosen.
  std::function<ExitCode()> action;
};

void add_run_command(CLI::App& app, CommandLine& command_line);
void add_list_command(CLI::App& app, CommandLine& command_line);
void add_info_command(CLI::App& app, CommandLine& command_line);
void add_show_command(CLI::App& app, CommandLine& command_line);
void add_network_command(CLI::App& app, CommandLine& command_line);
void add_accept_command(CLI::App& app, CommandLine& command_line);
void add_report_command(CLI::App& app, CommandLine& command_line);
void add_compare_command(CLI::App& app, CommandLine& command_line);
void add_recover_command(CLI::App& app, CommandLine& command_line);
void add_export_command(CLI::App& app, CommandLine& command_line);
void add_selftest_command(CLI::App& app, CommandLine& command_line);

}  // namespace rackproof
