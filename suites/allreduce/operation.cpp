#include "suites/allreduce/operation.hpp"

#include <fmt/format.h>

#include <array>
#include <string>
#include <utility>

#include "common/core/error.hpp"

namespace rackproof::allreduce {
namespace {

constexpr std::array<std::pair<Operation, std::string_view>, 7> operation_names{
    {{Operation::all_reduce, "all-reduce"},
     {Operation::reduce_scatter, "reduce-scatter"},
     {Operation::all_gather, "all-gather"},
     {Operation::all_to_all, "all-to-all"},
     {Operation::broadcast, "broadcast"},
     {Operation::reduce, "reduce"},
     {Operation::send_recv, "send-recv"}}};

}  // namespace

const std::vector<Operation>& all_operations() {
  static const std::vector<Operation> all = [] {
    std::vector<Operation> operations;
    for (const auto& [operation, text] : operation_names) operations.push_back(operation);
    return operations;
  }();
  return all;
}

std::string_view name(Operation operation) {
  for (const auto& [candidate, text] : operation_names) {
    if (candidate == operation) return text;
  }
  throw Error(ExitCode::internal, "allreduce", static_cast<int>(operation), "", "a collective that does not exist");
}

Operation parse_operation(std::string_view text, std::string_view what) {
  std::string known;
  for (const auto& [candidate, name] : operation_names) {
    if (name == text) return candidate;
    known += std::string(name) + ", ";
  }
  throw usage_error(fmt::format("{}: unknown collective '{}'; known are {}all", what, printable(text), known));
}

bool reduces(Operation operation) {
  return operation == Operation::all_reduce || operation == Operation::reduce_scatter || operation == Operation::reduce;
}

bool has_blocks(Operation operation) {
  return operation == Operation::reduce_scatter || operation == Operation::all_gather ||
         operation == Operation::all_to_all;
}

double bus_factor(Operation operation, int ranks) {
  const double share = static_cast<double>(ranks - 1) / ranks;
  if (operation == Operation::all_reduce) return 2.0 * share;
  return has_blocks(operation) ? share : 1.0;
}

Footprint footprint(Operation operation, std::uint64_t message, int ranks, bool in_place) {
  const std::uint64_t block = message / static_cast<std::uint64_t>(ranks);
  Footprint made{message, message, in_place};
  if (operation == Operation::all_gather) made.send = block;
  if (operation == Operation::reduce_scatter) made.receive = block;
  return made;
}

}  // namespace rackproof::allreduce
