#include "suites/suite.hpp"

#include <fmt/format.h>

#include "common/core/error.hpp"

namespace rackproof {

const std::string& Options::value(std::string_view name) const {
  const auto found = values.find(std::string(name));
  if (found == values.end()) {
    throw Error(ExitCode::internal, "suite", 0, "", fmt::format("no suite declares the option '--{}'", name));
  }
  return found->second;
}

}  // namespace rackproof
