#include "common/core/parameters.hpp"

#include <fmt/format.h>

#include "common/core/error.hpp"

namespace rackproof {

void Parameters::set(std::string name, ParameterValue value) {
  for (auto& [key, old] : entries_) {
    if (key == name) {
      old = std::move(value);
      return;
    }
  }
  entries_.emplace_back(std::move(name), std::move(value));
}

const ParameterValue* Parameters::find(std::string_view name) const {
  for (const auto& [key, value] : entries_) {
    if (key == name) return &value;
  }
  return nullptr;
}

namespace {

template <typename T>
const T& get(const Parameters& parameters, std::string_view name) {
  const ParameterValue* value = parameters.find(name);
  const T* typed = value != nullptr ? std::get_if<T>(value) : nullptr;
  if (typed == nullptr) {
    throw Error(ExitCode::internal, "suite", 0, "", fmt::format("a case lacks its parameter '{}'", name));
  }
  return *typed;
}

}  // namespace

std::int64_t Parameters::integer(std::string_view name) const { return get<std::int64_t>(*this, name); }
const std::string& Parameters::text(std::string_view name) const { return get<std::string>(*this, name); }

std::string to_string(const ParameterValue& value) {
  return std::visit([](const auto& v) { return fmt::format("{}", v); }, value);
}

}  // namespace rackproof
