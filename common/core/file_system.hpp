// What kind of file system a path is on, and what that means for files that others read while they are written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace rackproof {

struct FileSystem {
  std::string name;  ///< "ext4", "nfs", "lustre", ...; "type 0x1234" where it is not known here; empty: cannot be told
  /// Other hosts see a host's writes at once and in their order, as POSIX wants it. NFS, SMB, AFS, 9P and FUSE do not
  /// promise that, so that an HDF5 file on them must not be read from elsewhere while it is written (SWMR; HDF5's
  /// documentation names NFS and SMB). What is not known here is believed to.
  bool keeps_order = true;
};

/// By f_type of statfs(2); the numbers are those of linux/magic.h and, of Lustre, GPFS and BeeGFS, their own.
[[nodiscard]] FileSystem file_system_of_type(std::uint64_t type);

/// Of the path, or of its nearest parent that exists.
[[nodiscard]] FileSystem file_system_of(const std::filesystem::path& path);

/// For whoever reads a file there that is being written, half a sentence; empty where order is kept.
[[nodiscard]] std::string late_writes(const FileSystem& place);

}  // namespace rackproof
