#include "common/backends/reduction.hpp"

#include <fmt/format.h>

#include <array>
#include <string>
#include <utility>

#include "common/core/error.hpp"

namespace rackproof {
namespace {

constexpr std::array<std::pair<Reduction, std::string_view>, 4> reduction_names{
    {{Reduction::sum, "sum"}, {Reduction::min, "min"}, {Reduction::max, "max"}, {Reduction::prod, "prod"}}};

}  // namespace

std::string_view name(Reduction reduction) {
  for (const auto& [candidate, text] : reduction_names) {
    if (candidate == reduction) return text;
  }
  throw Error(ExitCode::internal, "backend", static_cast<int>(reduction), "", "a reduction that does not exist");
}

Reduction parse_reduction(std::string_view text, std::string_view what) {
  std::string known;
  for (const auto& [candidate, name] : reduction_names) {
    if (name == text) return candidate;
    known += (known.empty() ? "" : ", ") + std::string(name);
  }
  throw usage_error(fmt::format("{}: unknown reduction '{}'; known are {}", what, printable(text), known));
}

bool can_reduce(DataType type, Reduction reduction) {
  const bool is_byte = type == DataType::i8 || type == DataType::u8;
  return !is_byte || reduction == Reduction::min || reduction == Reduction::max;
}

}  // namespace rackproof
