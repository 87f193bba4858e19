// What sets one case apart from the next: named values in a fixed order.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace rackproof {

using ParameterValue = std::variant<std::int64_t, double, std::string>;

/// An ordered list of (name, value). Names are snake_case and become dataset names in the result file; within a
/// suite a name always carries the same alternative of ParameterValue.
class Parameters {
 public:
  using Entry = std::pair<std::string, ParameterValue>;

  Parameters() = default;
  Parameters(std::initializer_list<Entry> entries) : entries_(entries) {}

  /// Adds, or replaces the value of a name that is already there.
  void set(std::string name, ParameterValue value);
  [[nodiscard]] const ParameterValue* find(std::string_view name) const;
  /// Throws Error (internal) when the name is missing or of another type: that is a defect of the suite.
  [[nodiscard]] std::int64_t integer(std::string_view name) const;
  [[nodiscard]] const std::string& text(std::string_view name) const;
  [[nodiscard]] const std::vector<Entry>& entries() const noexcept { return entries_; }

 private:
  std::vector<Entry> entries_;
};

[[nodiscard]] std::string to_string(const ParameterValue& value);

}  // namespace rackproof
