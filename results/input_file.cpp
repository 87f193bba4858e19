#include "results/input_file.hpp"

#include <fmt/format.h>

#include <fstream>
#include <system_error>

#include "common/core/error.hpp"
#include "common/core/units.hpp"
#include "results/part_file.hpp"

namespace rackproof::results {

std::string read_text_file(const std::filesystem::path& path, std::string_view kind, std::size_t largest) {
  std::error_code ignored;
  std::ifstream file;
  if (std::filesystem::is_regular_file(path, ignored)) file.open(path, std::ios::binary);
  if (!file.is_open()) throw usage_error(fmt::format("{} {} cannot be read; check the path", kind, quoted(path)));
  std::string text(largest + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > largest) {
    throw usage_error(fmt::format("{} {} is none: it has more than {}", kind, quoted(path),
                                  format_bytes(static_cast<double>(largest))));
  }
  return text;
}

}  // namespace rackproof::results
