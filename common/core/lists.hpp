// Lists as users write them: values separated by commas.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rackproof {

/// "a,b" -> {"a", "b"}. `what` names the option in the error. Throws Error (usage) for an empty entry, and for a value
/// that is there twice.
[[nodiscard]] std::vector<std::string> split_list(std::string_view text, std::string_view what);

}  // namespace rackproof
