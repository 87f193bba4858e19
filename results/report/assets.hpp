// The style sheet and the script of a report, as CMake put them into the program, and their hashes for the page's
// content security policy. Internal to this folder.
#pragma once

#include <string_view>

namespace rackproof::results {

struct PageAssets {
  std::string_view style;
  std::string_view style_hash;  ///< "sha256-..."
  std::string_view script;
  std::string_view script_hash;
  std::string_view version;  ///< of rackproof
};
[[nodiscard]] PageAssets page_assets();

}  // namespace rackproof::results
