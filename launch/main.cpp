// The command line. The only place that turns an Error into a message and an exit code.
#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <new>
#include <thread>

#include "launch/commands.hpp"
#include "launch/process_rank.hpp"

namespace {

using rackproof::ExitCode;

int exit_with(ExitCode code, const std::string& line) {
  // Every rank fails alike on bad arguments; one of them says so. The others give it time to: mpirun kills all of them
  // as soon as one has ended.
  constexpr std::chrono::seconds patience{2};
  if (rackproof::process_rank_hint() <= 0) {
    std::fputs(fmt::format("rackproof: {}\n", line).c_str(), stderr);  // does not throw where it cannot
  } else {
    std::this_thread::sleep_for(patience);
  }
  return static_cast<int>(code);
}

int run(int argc, char** argv) {
  rackproof::CommandLine command_line;
  command_line.arguments.assign(argv, argv + argc);
  std::vector<std::string> arguments(command_line.arguments.begin() + 1, command_line.arguments.end());
  command_line.benchmark_flags = rackproof::take_benchmark_flags(arguments);

  CLI::App app("Measures GEMM, all-reduce and token throughput of multi-node GPU systems, and judges the result.",
               "rackproof");
  app.set_version_flag("--version", "rackproof " RACKPROOF_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  app.footer(
      "Exit codes: 0 pass, 1 internal error, 2 usage, 3 fail, 4 inconclusive, 75 infrastructure (requeue).\n"
      "Examples:\n"
      "  mpirun -n 2 rackproof run                      measure this machine with two ranks\n"
      "  mpirun -n 8 rackproof run --suite allreduce    one suite alone\n"
      "  rackproof show rackproof-HOST-TIME.h5          the table again\n"
      "'rackproof COMMAND --help' says more.");
  rackproof::add_run_command(app, command_line);
  rackproof::add_list_command(app, command_line);
  rackproof::add_info_command(app, command_line);
  rackproof::add_show_command(app, command_line);
  rackproof::add_network_command(app, command_line);
  rackproof::add_accept_command(app, command_line);
  rackproof::add_report_command(app, command_line);
  rackproof::add_compare_command(app, command_line);
  rackproof::add_recover_command(app, command_line);
  rackproof::add_export_command(app, command_line);
  rackproof::add_selftest_command(app, command_line);

  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    app.parse(std::move(reversed));
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForAllHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForVersion& version) {
    return app.exit(version);
  } catch (const CLI::ParseError& error) {
    const std::string name =
        app.get_subcommands().empty() ? "rackproof" : "rackproof " + app.get_subcommands().front()->get_name();
    return exit_with(ExitCode::usage, rackproof::printable(error.what(), 400) + "; see '" + name + " --help'");
  }
  if (command_line.benchmark_flags.given && !app.got_subcommand("run") && !app.got_subcommand("list")) {
    return exit_with(ExitCode::usage, "the --benchmark_ flags belong to 'rackproof run' and 'rackproof list'");
  }
  return static_cast<int>(command_line.action());
}

/// Where the caller has closed standard input, output or error, the next file to be opened would take its place.
void open_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    // The lowest number that is free: this one.
    if (::fcntl(descriptor, F_GETFD) == -1) static_cast<void>(::open("/dev/null", O_RDWR));
  }
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_descriptors();
  spdlog::set_default_logger(spdlog::stderr_color_mt("rackproof"));
  spdlog::set_pattern("rackproof: %l: %v");
  // A file that hits the limit of its size is an error like a full disk, not the end of the process.
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    return run(argc, argv);
  } catch (const rackproof::Error& error) {
    return exit_with(error.exit_code(), error.line());
  } catch (const std::bad_alloc&) {
    return exit_with(ExitCode::infrastructure, "out of memory");
  } catch (const std::exception& error) {
    return exit_with(ExitCode::internal, rackproof::printable(error.what(), 400) + " (a defect; please report it)");
  }
}
