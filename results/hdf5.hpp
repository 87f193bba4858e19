// The little of HDF5 that writer and reader share: handles that close themselves, one check, and errors in one line.
// Internal to this folder.
#pragma once

#include <hdf5.h>

#include <string>
#include <utility>
#include <vector>

namespace rackproof::results::hdf5 {

/// Turns HDF5's own messages on stderr, its plug-ins and its clean-up at exit off, for the whole process. The clean-up
/// would try again to write what a full disk has refused, and in HDF5 1.10 does so for ever. Call before anything else
/// here.
void prepare_library();

/// Closes what it holds. A failure to close is dropped: whoever must know (the writer, of its file) closes by hand.
class Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Handle() = default;
  Handle(hid_t id, Close close) : id_(id), close_(close) {}
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  [[nodiscard]] hid_t get() const noexcept { return id_; }
  /// Gives the identifier up without closing it.
  hid_t release() noexcept { return std::exchange(id_, H5I_INVALID_HID); }

 private:
  hid_t id_ = H5I_INVALID_HID;
  Close close_ = nullptr;
};

/// Throws Error (internal, domain "hdf5"): call, the operating system's error number where there was one, and the
/// innermost thing that HDF5 says about it.
[[noreturn]] void fail(const char* call);

/// Throws as fail() for a negative value, which is how every HDF5 function tells of a failure.
template <typename T>
T check(T value, const char* call) {
  if (value < 0) fail(call);
  return value;
}

[[nodiscard]] inline Handle own(hid_t id, Handle::Close close, const char* call) { return {check(id, call), close}; }

/// A property list for opening and creating files: the format of HDF5 1.10, without HDF5's own file locks, which
/// would keep live readers out (the writer has a lock of its own), and without its patience of many minutes with
/// metadata whose checksum is wrong.
[[nodiscard]] Handle file_access();

/// A new file that grows in memory.
class MemoryFile {
 public:
  /// `creation`: a file creation property list.
  explicit MemoryFile(const Handle& creation);
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  ~MemoryFile() = default;
  [[nodiscard]] hid_t get() const noexcept { return file_.get(); }
  /// Closes it; every object in it must be closed. Returns its bytes. (H5Fget_file_image() will not do: HDF5 1.10
  /// clears the mark of an open file in the copy and leaves the old checksum beside it.)
  [[nodiscard]] std::vector<char> close();

 private:
  struct Image {
    std::size_t size = 0;     ///< of the buffer that HDF5 has now
    std::vector<char> bytes;  ///< once it is closed
  };
  static void* resize(void* buffer, std::size_t size, Image& image);

  Image image_;  // outlives file_
  Handle file_;
};

/// The variable-length UTF-8 text type.
[[nodiscard]] Handle text_type();
/// One byte of text, which is what netCDF calls NC_CHAR.
[[nodiscard]] Handle character_type();

}  // namespace rackproof::results::hdf5
