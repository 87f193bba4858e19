// Element types, by the field's names.
#pragma once

#include <cstddef>
#include <string_view>

namespace rackproof {

/// tf32 lies in memory as f32 and is multiplied with 10 bits of fraction. f8e4m3 and f8e5m2: the 8-bit formats of
/// Micikevicius et al., FP8 formats for deep learning, 2022. f4e2m1: the 4-bit format of the OCP Microscaling
/// specification 1.0, two elements a byte, the first in the low half.
enum class DataType { f64, f32, tf32, f16, bf16, f8e4m3, f8e5m2, f4e2m1, i64, u64, i32, u32, i8, u8 };

/// "f64", "tf32", "f8e4m3", ...
[[nodiscard]] std::string_view name(DataType type);
/// Bytes of one element. Throws Error (internal) for f4e2m1, whose elements have none of their own: bytes_of().
[[nodiscard]] std::size_t size_of(DataType type);
/// Bytes of `count` elements that lie together.
[[nodiscard]] std::size_t bytes_of(std::size_t count, DataType type);
/// Throws Error (usage) that lists the known names.
[[nodiscard]] DataType parse_data_type(std::string_view text, std::string_view what);

}  // namespace rackproof
