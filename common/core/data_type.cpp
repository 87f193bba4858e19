#include "common/core/data_type.hpp"

#include <fmt/format.h>

#include <array>

#include "common/core/error.hpp"

namespace rackproof {
namespace {

struct Entry {
  DataType type;
  std::string_view name;
  std::size_t bits;
};

constexpr std::array<Entry, 14> entries{{{DataType::f64, "f64", 64},
                                         {DataType::f32, "f32", 32},
                                         {DataType::tf32, "tf32", 32},
                                         {DataType::f16, "f16", 16},
                                         {DataType::bf16, "bf16", 16},
                                         {DataType::f8e4m3, "f8e4m3", 8},
                                         {DataType::f8e5m2, "f8e5m2", 8},
                                         {DataType::f4e2m1, "f4e2m1", 4},
                                         {DataType::i64, "i64", 64},
                                         {DataType::u64, "u64", 64},
                                         {DataType::i32, "i32", 32},
                                         {DataType::u32, "u32", 32},
                                         {DataType::i8, "i8", 8},
                                         {DataType::u8, "u8", 8}}};

const Entry& entry(DataType type) {
  for (const Entry& candidate : entries) {
    if (candidate.type == type) return candidate;
  }
  throw Error(ExitCode::internal, "core", static_cast<int>(type), "", "a data type that does not exist");
}

}  // namespace

std::string_view name(DataType type) { return entry(type).name; }

std::size_t size_of(DataType type) {
  const std::size_t bits = entry(type).bits;
  if (bits % 8 != 0) throw Error(ExitCode::internal, "core", 0, "", "an element smaller than a byte has no size");
  return bits / 8;
}

std::size_t bytes_of(std::size_t count, DataType type) { return (count * entry(type).bits + 7) / 8; }

DataType parse_data_type(std::string_view text, std::string_view what) {
  std::string known;
  for (const Entry& candidate : entries) {
    if (candidate.name == text) return candidate.type;
    known += (known.empty() ? "" : ", ") + std::string(candidate.name);
  }
  throw usage_error(fmt::format("{}: unknown type '{}'; known are {}", what, printable(text), known));
}

}  // namespace rackproof
