#include "results/part_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "common/core/error.hpp"

namespace rackproof::results {
namespace {

/// RENAME_NOREPLACE of <linux/fs.h>, which cannot be included beside <fcntl.h> everywhere.
constexpr unsigned rename_noreplace = 1;

/// Of an HDF5 file: without them, it is none.
constexpr std::size_t signature_bytes = 8;

bool is_disk_full(int error) { return error == ENOSPC || error == EDQUOT || error == EFBIG; }

int open_retrying(const std::filesystem::path& path, int flags) {
  int descriptor = -1;
  do {
    descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  } while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

int write_at(int descriptor, std::span<const char> bytes, off_t offset) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(descriptor, bytes.data(), bytes.size(), offset);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    if (written == 0) return ENOSPC;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    offset += written;
  }
  return 0;
}

}  // namespace

std::string quoted(const std::filesystem::path& path) { return fmt::format("'{}'", printable(path.string(), 500)); }

std::string os_message(int error) { return std::strerror(error); }

LockedFile::LockedFile(const std::filesystem::path& path, Access access) {
  const bool writing = access == Access::write;
  for (;;) {
    // Not blocking: a named pipe in the place of the file must not hang the run.
    descriptor_ = open_retrying(path, (writing ? O_RDWR | O_CREAT : O_RDONLY) | O_NONBLOCK);
    if (descriptor_ < 0) {
      const int error = errno;
      if (is_disk_full(error)) {
        throw infrastructure_error(
            fmt::format("{}: cannot be created: {}; free some space and run again", quoted(path), os_message(error)));
      }
      throw usage_error(
          fmt::format("{}: cannot be {}: {}", quoted(path), writing ? "created" : "opened", os_message(error)));
    }
    struct stat opened {};
    if (::fstat(descriptor_, &opened) != 0 || !S_ISREG(opened.st_mode)) {
      ::close(std::exchange(descriptor_, -1));
      throw usage_error(fmt::format("{}: is no regular file", quoted(path)));
    }
    struct flock lock {};
    lock.l_type = writing ? F_WRLCK : F_RDLCK;
    lock.l_whence = SEEK_SET;
    if (::fcntl(descriptor_, F_OFD_SETLK, &lock) != 0 && (errno == EAGAIN || errno == EACCES)) {
      ::close(std::exchange(descriptor_, -1));
      throw usage_error(fmt::format("{}: another process is writing or recovering it; wait for it to end{}",
                                    quoted(path), writing ? ", or give another name" : ""));
    }
    // Any other failure: a file system without locks. Going on without one is then all that can be done.
    // Between open and lock, another run may have renamed or removed the file: then it is not ours to write to.
    struct stat named {};
    if (::stat(path.c_str(), &named) == 0 && named.st_ino == opened.st_ino && named.st_dev == opened.st_dev) return;
    ::close(std::exchange(descriptor_, -1));
  }
}

LockedFile::LockedFile(LockedFile&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

LockedFile& LockedFile::operator=(LockedFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

LockedFile::~LockedFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::uintmax_t LockedFile::size() const {
  struct stat status {};
  return ::fstat(descriptor_, &status) == 0 ? static_cast<std::uintmax_t>(status.st_size) : 0;
}

int LockedFile::store(std::span<const char> image) const noexcept {
  if (::ftruncate(descriptor_, 0) != 0) return errno;
  const std::size_t head = std::min(image.size(), signature_bytes);
  if (const int error = write_at(descriptor_, image.subspan(head), static_cast<off_t>(head)); error != 0) return error;
  return write_at(descriptor_, image.first(head), 0);
}

void LockedFile::start_writing() const noexcept {
  // A hint: what fails here fails in sync() too, which is asked.
  static_cast<void>(::sync_file_range(descriptor_, 0, 0, SYNC_FILE_RANGE_WRITE));
}

int LockedFile::sync(bool with_metadata) const noexcept {
  const int result = with_metadata ? ::fsync(descriptor_) : ::fdatasync(descriptor_);
  // EINVAL: a file system that knows no such thing.
  return result == 0 || errno == EINVAL || errno == ENOSYS ? 0 : errno;
}

int rename_file(const std::filesystem::path& from, const std::filesystem::path& to, bool replace) {
  if (!replace) {
    if (::syscall(SYS_renameat2, AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), rename_noreplace) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS) return errno;
    // A file system without it (NFS): a hard link also refuses to replace.
    if (::link(from.c_str(), to.c_str()) == 0) return ::unlink(from.c_str()) == 0 ? 0 : errno;
    if (errno == EEXIST) return EEXIST;
    std::error_code ignored;
    if (std::filesystem::exists(std::filesystem::symlink_status(to, ignored))) return EEXIST;
  }
  return ::rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
}

int sync_folder(const std::filesystem::path& folder) {
  const int descriptor = open_retrying(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY);
  if (descriptor < 0) return 0;
  const int error = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  return error == EIO || is_disk_full(error) ? error : 0;
}

bool died_at_birth(const std::filesystem::path& path) {
  std::array<char, signature_bytes> head{};
  const int descriptor = open_retrying(path, O_RDONLY | O_NONBLOCK);
  if (descriptor < 0) return false;
  const ssize_t got = ::pread(descriptor, head.data(), head.size(), 0);
  ::close(descriptor);
  return got >= 0 && std::all_of(head.begin(), head.end(), [](char byte) { return byte == 0; });
}

}  // namespace rackproof::results
