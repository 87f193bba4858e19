// A text file that is there whole or not at all.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace rackproof::results {

/// Written beside its place under another name, which it gives up in commit(); removed where that is not reached.
class OutputFile {
 public:
  /// Throws Error (usage) where `path` exists (unless `replace`), is a folder, or cannot be written.
  OutputFile(std::filesystem::path path, bool replace);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();

  /// Throws Error (infrastructure) where the disk is full.
  void write(std::string_view piece);
  /// Waits for the disk and gives the file its name. Throws Error: infrastructure where the disk is full, usage where
  /// `path` has come into being meanwhile.
  void commit();

 private:
  void put(std::string_view bytes);
  void open_temporary();
  [[nodiscard]] int name_temporary();

  std::filesystem::path path_;
  std::string temporary_;
  std::string buffer_;
  int descriptor_ = -1;
  bool nameless_ = false;  ///< the file has no name yet
  bool replace_;
};

}  // namespace rackproof::results
