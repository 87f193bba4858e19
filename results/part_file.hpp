// The file that a run writes into before it has its name: found free, locked, synced, named. Internal to this folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace rackproof::results {

/// A path for messages: in quotes, printable.
[[nodiscard]] std::string quoted(const std::filesystem::path& path);

/// What messages say about an error number of the operating system.
[[nodiscard]] std::string os_message(int error);

/// A file descriptor with, where the file system has locks, a lock on the file. Not flock(): HDF5 uses that itself,
/// on the same file, and would be in its own way; an open-file-description lock is as good and dies with the process.
class LockedFile {
 public:
  enum class Access { write, read };
  /// write: opens or creates, and takes the lock exclusively; read: the file must exist, the lock is shared.
  /// Throws Error (usage) where another process holds the lock or the path cannot be opened, infrastructure where
  /// the disk is full.
  LockedFile(const std::filesystem::path& path, Access access);
  LockedFile(const LockedFile&) = delete;
  LockedFile& operator=(const LockedFile&) = delete;
  LockedFile(LockedFile&& other) noexcept;
  LockedFile& operator=(LockedFile&& other) noexcept;
  ~LockedFile();

  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
  /// Bytes.
  [[nodiscard]] std::uintmax_t size() const;
  /// Replaces what is in the file by `image`, the beginning last: a file whose first bytes are zero was not written to
  /// its end (see died_at_birth()). Returns 0 or the error number.
  [[nodiscard]] int store(std::span<const char> image) const noexcept;
  /// Lets the disk begin with what has been written, without waiting for it.
  void start_writing() const noexcept;
  /// Waits until the data are on the disk. Returns 0 or the error number.
  [[nodiscard]] int sync(bool with_metadata) const noexcept;

 private:
  int descriptor_ = -1;
};

/// Gives `from` the name `to` in one step. Without `replace`, an existing `to` is left alone and EEXIST returned.
/// Returns 0 or the error number.
[[nodiscard]] int rename_file(const std::filesystem::path& from, const std::filesystem::path& to, bool replace);

/// Makes the names in a folder durable. Returns 0 or the error number; folders that cannot be synced count as synced.
[[nodiscard]] int sync_folder(const std::filesystem::path& folder);

/// Is this a file that LockedFile::store() had not written to its end, so that no case can be in it?
[[nodiscard]] bool died_at_birth(const std::filesystem::path& path);

}  // namespace rackproof::results
