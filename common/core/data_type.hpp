// Element types, by the field's names.
#pragma once

#include <cstddef>
#include <string_view>

namespace rackproof {

enum class DataType { f64, f32, bf16, i32, i8 };

/// "f64", "f32", "bf16", "i32", "i8".
[[nodiscard]] std::string_view name(DataType type);
/// Bytes of one element.
[[nodiscard]] std::size_t size_of(DataType type);
/// Throws Error (usage) that lists the known names.
[[nodiscard]] DataType parse_data_type(std::string_view text, std::string_view what);

}  // namespace rackproof
