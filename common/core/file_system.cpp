#include "common/core/file_system.hpp"

#include <fmt/format.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace rackproof {
namespace {

struct Known {
  std::uint64_t type;
  std::string_view name;
  bool keeps_order;
};

constexpr std::array all_known = std::to_array<Known>({
    {0xEF53, "ext4", true},        {0x58465342, "xfs", true},   {0x9123683E, "btrfs", true},
    {0x2FC12FC1, "zfs", true},     {0x01021994, "tmpfs", true}, {0x858458F6, "ramfs", true},
    {0x794C7630, "overlay", true}, {0xF2F52010, "f2fs", true},  {0x0BD00BD0, "lustre", true},
    {0x47504653, "gpfs", true},    {0x00C36400, "ceph", true},  {0x19830326, "beegfs", true},
    {0x01161970, "gfs2", true},    {0x7461636F, "ocfs2", true}, {0x6969, "nfs", false},
    {0xFF534D42, "smb", false},    {0xFE534D42, "smb", false},  {0x517B, "smb", false},
    {0x5346414F, "afs", false},    {0x01021997, "9p", false},   {0x65735546, "fuse", false},
    {0x6B414653, "afs", false},    {0x73757245, "coda", false},
});

}  // namespace

FileSystem file_system_of_type(std::uint64_t type) {
  const auto* const known =
      std::find_if(all_known.begin(), all_known.end(), [&](const Known& one) { return one.type == type; });
  if (known == all_known.end()) return {fmt::format("type {:#x}", type), true};
  return {std::string(known->name), known->keeps_order};
}

FileSystem file_system_of(const std::filesystem::path& path) {
  std::error_code failure;
  std::filesystem::path place = std::filesystem::absolute(path, failure);
  if (failure) return {};
  for (;;) {
    struct statfs status {};
    // 32 bits on some machines, and signed on others.
    if (::statfs(place.c_str(), &status) == 0) return file_system_of_type(static_cast<std::uint32_t>(status.f_type));
    if (!place.has_relative_path()) return {};
    place = place.parent_path();
  }
}

std::string late_writes(const FileSystem& place) {
  if (place.keeps_order) return {};
  return fmt::format(
      "on {} other hosts see late and in no order what is written: while the run goes on, read the file on the host "
      "that "
      "writes it",
      place.name);
}

}  // namespace rackproof
