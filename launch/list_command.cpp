#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "common/backends/backend.hpp"
#include "common/core/units.hpp"
#include "launch/commands.hpp"
#include "launch/run_options.hpp"

namespace rackproof {
namespace {

struct ListState {
  std::vector<std::unique_ptr<Suite>> suites = make_all_suites();
  RunArguments arguments;
};

nlohmann::ordered_json case_to_json(const Case& one) {
  nlohmann::ordered_json parameters = nlohmann::ordered_json::object();
  for (const auto& [name, value] : one.parameters.entries()) {
    std::visit([&parameters, &name = name](const auto& v) { parameters[name] = v; }, value);
  }
  nlohmann::ordered_json json{{"name", one.name},          {"parameters", parameters},
                              {"flop", one.work.flop},     {"bytes", one.work.bytes},
                              {"tokens", one.work.tokens}, {"message_size", one.work.message_size}};
  if (!one.skip_reason.empty()) json["skip_reason"] = one.skip_reason;
  return json;
}

ExitCode list(const ListState& state, const BenchmarkFlags& flags) {
  const RunOptions options = check_run_arguments(state.arguments, state.suites);
  Platform platform;
  platform.topology = mpi::single_node_topology(state.arguments.ranks);
  const auto backends = make_all_backends();
  platform.device = choose_device_backend(backends, options.device).name();
  const std::vector<std::string>& wanted = options.suite_options.collective_backends;
  auto collectives = choose_collective_backends(backends, platform.device, wanted);
  if (wanted.empty()) collectives.resize(1);
  for (const Backend* backend : collectives) platform.collectives.push_back(backend->name());
  const auto selected = select_cases(options, flags.filter, platform);
  if (state.arguments.json) {
    nlohmann::ordered_json all = nlohmann::ordered_json::array();
    for (const SelectedSuite& suite : selected) {
      for (const Case& one : suite.cases) all.push_back(case_to_json(one));
    }
    fmt::print("{}\n", all.dump(2));
    return ExitCode::pass;
  }
  std::size_t width = 0;
  std::size_t count = 0;
  for (const SelectedSuite& suite : selected) {
    for (const Case& one : suite.cases) width = std::max(width, one.name.size());
    count += suite.cases.size();
  }
  for (const SelectedSuite& suite : selected) {
    fmt::print("{}: {}\n", suite.suite->name(), suite.suite->description());
    for (const Case& one : suite.cases) {
      std::string parameters;
      for (const auto& [name, value] : one.parameters.entries()) {
        parameters += fmt::format(" {}={}", name, to_string(value));
      }
      const std::string skipped = one.skip_reason.empty() ? "" : "  (skipped: " + one.skip_reason + ")";
      fmt::print("  {:<{}} {}{}\n", one.name, width, parameters, skipped);
    }
  }
  fmt::print("{} cases for {} rank{}\n", count, state.arguments.ranks, state.arguments.ranks == 1 ? "" : "s");
  return ExitCode::pass;
}

}  // namespace

void add_list_command(CLI::App& app, CommandLine& command_line) {
  auto* command = app.add_subcommand("list", "Print the cases and their parameters, without running them");
  auto state = std::make_shared<ListState>();
  add_case_options(*command, state->arguments, state->suites);
  command->add_option("--ranks", state->arguments.ranks, "As they would be for so many ranks")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  command
      ->add_option("--device", state->arguments.device,
                   "As they would be on such devices, cuda or host, which need not be there; auto: the best there is")
      ->capture_default_str();
  command->add_flag("--json", state->arguments.json, "As JSON");
  command->footer(
      "--benchmark_filter=REGEX selects as in 'rackproof run'.\n"
      "Examples:\n"
      "  rackproof list\n"
      "  rackproof list --suite tokens --ranks 8 --json\n"
      "  rackproof list --device cuda --ranks 8 --profile accept\n"
      "  rackproof list --benchmark_filter='gemm/bf16/.*packed'");
  command->callback([state, &command_line] {
    command_line.action = [state, &command_line] { return list(*state, command_line.benchmark_flags); };
  });
}

}  // namespace rackproof
