// Variable-length text, read past HDF5. The library believes the sizes in a file's global heaps, which carry no
// checksum: HDF5 1.10 reads beyond its buffers, or never returns, where they are damaged. So they are checked before
// the library sees them, and text datasets are read from here. Internal to this folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "common/core/error.hpp"

namespace rackproof::results {

/// What readers of this folder throw where something in a file is not as it must be; the public functions add the
/// file's name.
[[nodiscard]] Error damage(const std::string& what);

class TextHeap {
 public:
  /// Reads through the file for global heap collections and checks each. Throws Error (domain "result file", without
  /// the file's name) where one is damaged or cut off, or the file cannot be read.
  explicit TextHeap(const std::filesystem::path& path);
  TextHeap(const TextHeap&) = delete;
  TextHeap& operator=(const TextHeap&) = delete;
  ~TextHeap();

  /// The `count` texts of a dataset that lies at `address` of the file, one reference of 16 bytes each. `budget`:
  /// bytes that may still be used for text; reduced. Throws Error as above.
  [[nodiscard]] std::vector<std::string> read(std::uint64_t address, std::size_t count, std::size_t& budget) const;

 private:
  struct Object {
    std::uint64_t offset;  ///< in the file
    std::uint64_t size;    ///< bytes
  };
  using Collection = std::map<std::uint16_t, Object>;

  void add_collection(std::uint64_t address);
  [[nodiscard]] std::string bytes(std::uint64_t offset, std::size_t size) const;

  int descriptor_ = -1;
  std::uint64_t file_size_ = 0;
  std::map<std::uint64_t, Collection> collections_;  ///< by address
};

}  // namespace rackproof::results
