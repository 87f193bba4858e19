#include "common/core/data_type.hpp"

#include <fmt/format.h>

#include <array>

#include "common/core/error.hpp"

namespace rackproof {
namespace {

struct Entry {
  DataType type;
  std::string_view name;
  std::size_t size;
};

constexpr std::array<Entry, 5> entries{{{DataType::f64, "f64", 8},
                                        {DataType::f32, "f32", 4},
                                        {DataType::bf16, "bf16", 2},
                                        {DataType::i32, "i32", 4},
                                        {DataType::i8, "i8", 1}}};

const Entry& entry(DataType type) {
  for (const Entry& candidate : entries) {
    if (candidate.type == type) return candidate;
  }
  throw Error(ExitCode::internal, "core", static_cast<int>(type), "", "a data type that does not exist");
}

}  // namespace

std::string_view name(DataType type) { return entry(type).name; }
std::size_t size_of(DataType type) { return entry(type).size; }

DataType parse_data_type(std::string_view text, std::string_view what) {
  std::string known;
  for (const Entry& candidate : entries) {
    if (candidate.name == text) return candidate.type;
    known += (known.empty() ? "" : ", ") + std::string(candidate.name);
  }
  throw usage_error(fmt::format("{}: unknown type '{}'; known are {}", what, printable(text), known));
}

}  // namespace rackproof
