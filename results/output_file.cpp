#include "results/output_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "common/core/error.hpp"
#include "results/part_file.hpp"

namespace rackproof::results {
namespace {

constexpr std::size_t output_buffer_bytes = std::size_t{1} << 20;

Error cannot_write(const std::filesystem::path& path, int error) {
  const std::string what = fmt::format("{}: cannot be written: {}", quoted(path), os_message(error));
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG || error == EIO;
  return full ? infrastructure_error(what + "; free some space and try again") : usage_error(what);
}

Error exists_already(const std::filesystem::path& path) {
  return usage_error(fmt::format("{}: exists; give another name, or --force to replace it", quoted(path)));
}

}  // namespace

OutputFile::OutputFile(std::filesystem::path path, bool replace) : path_(std::move(path)), replace_(replace) {
  if (path_.empty()) throw usage_error("the name of the file to write is empty");
  std::error_code none;
  const auto status = std::filesystem::symlink_status(path_, none);
  if (std::filesystem::is_directory(std::filesystem::status(path_, none))) {
    throw usage_error(fmt::format("{}: is a folder", quoted(path_)));
  }
  if (std::filesystem::exists(status)) {
    if (!replace_) throw exists_already(path_);
    // A pipe or a device would be replaced by a file.
    if (!std::filesystem::is_regular_file(status) && !std::filesystem::is_symlink(status)) {
      throw usage_error(fmt::format("{}: is no regular file", quoted(path_)));
    }
  }
  open_temporary();
  if (descriptor_ < 0) throw cannot_write(path_, errno);
  // As open() would have made it.
  const mode_t mask = ::umask(0);
  ::umask(mask);
  ::fchmod(descriptor_, 0666 & ~mask);
}

OutputFile::~OutputFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  if (!nameless_) ::unlink(temporary_.c_str());
}

/// Without a name where the file system can, so that a kill leaves nothing.
void OutputFile::open_temporary() {
  const std::string folder = path_.parent_path().empty() ? "." : path_.parent_path().string();
  descriptor_ = ::open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
  nameless_ = descriptor_ >= 0;
  temporary_ = path_.string() + ".XXXXXX";
  if (!nameless_) descriptor_ = ::mkostemp(temporary_.data(), O_CLOEXEC);
}

/// Errno, 0 where it went well.
int OutputFile::name_temporary() {
  if (!nameless_) return 0;
  const std::string self = fmt::format("/proc/self/fd/{}", descriptor_);
  // A file of that name is somebody else's: the next name.
  constexpr int most_names = 100;
  for (int i = 0; i < most_names; ++i) {
    temporary_ = fmt::format("{}.{}.{}", path_.string(), ::getpid(), i);
    if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, temporary_.c_str(), AT_SYMLINK_FOLLOW) == 0) {
      nameless_ = false;
      return 0;
    }
    if (errno != EEXIST) return errno;
  }
  return EEXIST;
}

void OutputFile::put(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) throw cannot_write(path_, written < 0 ? errno : ENOSPC);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

void OutputFile::write(std::string_view piece) {
  buffer_ += piece;
  if (buffer_.size() < output_buffer_bytes) return;
  put(buffer_);
  buffer_.clear();
}

void OutputFile::commit() {
  put(buffer_);
  buffer_.clear();
  if (::fsync(descriptor_) != 0 && errno != EINVAL && errno != ENOSYS) throw cannot_write(path_, errno);
  if (const int error = name_temporary(); error != 0) throw cannot_write(path_, error);
  if (const int error = rename_file(temporary_, path_, replace_); error != 0) {
    throw error == EEXIST ? exists_already(path_) : cannot_write(path_, error);
  }
  ::close(std::exchange(descriptor_, -1));
  if (const int error = sync_folder(path_.parent_path()); error != 0) throw cannot_write(path_, error);
}

}  // namespace rackproof::results
