#include "common/core/lists.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "common/core/error.hpp"

namespace rackproof {

std::vector<std::string> split_list(std::string_view text, std::string_view what) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    parts.emplace_back(text.substr(begin, end - begin));
    if (parts.back().empty()) {
      throw usage_error(
          fmt::format("{} '{}' has an empty entry; separate values by single commas", what, printable(text)));
    }
    begin = end + 1;
  }
  if (std::set<std::string>(parts.begin(), parts.end()).size() != parts.size()) {
    throw usage_error(fmt::format("{} '{}' names a value twice", what, printable(text)));
  }
  return parts;
}

}  // namespace rackproof
