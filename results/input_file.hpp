// A text file that somebody names: read whole, if it is one and is not too large.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace rackproof::results {

/// Its bytes. `kind` is for messages: "the limits file". Throws Error (usage) where `path` is no regular file (a pipe
/// would be waited for, a device has no end), cannot be read, or has more than `largest` bytes.
[[nodiscard]] std::string read_text_file(const std::filesystem::path& path, std::string_view kind, std::size_t largest);

}  // namespace rackproof::results
