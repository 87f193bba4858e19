// What a reducing collective does with the elements of all ranks.
#pragma once

#include <string_view>

#include "common/core/data_type.hpp"

namespace rackproof {

enum class Reduction { sum, min, max, prod };

/// "sum", "min", "max", "prod".
[[nodiscard]] std::string_view name(Reduction reduction);
/// Throws Error (usage) that lists the known names.
[[nodiscard]] Reduction parse_reduction(std::string_view text, std::string_view what);
/// i8 and u8 have min and max alone: a sum or product over many ranks would overflow. All other types have all.
[[nodiscard]] bool can_reduce(DataType type, Reduction reduction);

}  // namespace rackproof
