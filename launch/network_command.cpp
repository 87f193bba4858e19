#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "common/core/units.hpp"
#include "launch/commands.hpp"
#include "launch/guarded.hpp"
#include "results/network_report.hpp"

namespace rackproof {
namespace {

struct NetworkState {
  std::vector<std::string> files;
  std::string case_regex;
  std::string extrapolate;
  std::string link_bandwidth;
  std::string link_latency;
  std::string node_bandwidth;
  GuardOptions guard;
};

results::NetworkOptions options_of(const NetworkState& state) {
  results::NetworkOptions options;
  options.case_regex = state.case_regex;
  if (!state.extrapolate.empty()) {
    options.extrapolate = static_cast<int>(parse_integer(state.extrapolate, "--extrapolate", 2, 1'000'000));
  }
  if (!state.link_bandwidth.empty()) {
    options.link_bandwidth = parse_bandwidth(state.link_bandwidth, "--link-bandwidth");
  }
  if (!state.link_latency.empty()) options.link_latency = parse_duration(state.link_latency, "--link-latency");
  if (!state.node_bandwidth.empty()) {
    options.node_bandwidth = parse_bandwidth(state.node_bandwidth, "--node-bandwidth");
  }
  return options;
}

}  // namespace

void add_network_command(CLI::App& app, CommandLine& command_line) {
  auto* command = app.add_subcommand("network", "Fit a model of the network to the collectives of result files");
  auto state = std::make_shared<NetworkState>();
  command->add_option("FILE", state->files, "Result files; of several rank counts for a model over ranks")->required();
  command->add_option("--case", state->case_regex, "Only the cases whose name matches this regular expression");
  command->add_option("--extrapolate", state->extrapolate,
                      "Predict the times of this many ranks; needs files of two rank counts or more");
  auto* bandwidth = command->add_option("--link-bandwidth", state->link_bandwidth,
                                        "One-way bandwidth of a rank, 400Gb/s or 50GB/s: print bounds and efficiency");
  command->add_option("--link-latency", state->link_latency, "Time of one short message, for the bounds")
      ->needs(bandwidth);
  command->add_option("--node-bandwidth", state->node_bandwidth, "One-way bandwidth of a node, for the bounds")
      ->needs(bandwidth);
  add_guard_options(*command, state->guard);
  command->footer(
      "Examples:\n"
      "  rackproof network rack7.h5 --link-bandwidth 400Gb/s\n"
      "  rackproof network n2.h5 n4.h5 n8.h5 n16.h5 --extrapolate 64");
  command->callback([state, &command_line] {
    command_line.action = [state] {
      const std::vector<std::filesystem::path> files(state->files.begin(), state->files.end());
      const results::NetworkOptions options = options_of(*state);
      return print_guarded(state->guard.read(files), [&](const Emit& emit) {
        emit(results::network_report(files, options));
        return ExitCode::pass;
      });
    };
  });
}

}  // namespace rackproof
