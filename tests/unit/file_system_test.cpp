#include "common/core/file_system.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/vfs.h>

#include <filesystem>
#include <string>
#include <utility>

namespace rackproof {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

// The numbers of statfs(2)'s manual, and of Lustre's and GPFS's headers.
TEST(FileSystem, those_that_keep_no_order_between_hosts_are_known) {
  for (const auto& [type, name] : {std::pair(0x6969U, "nfs"), std::pair(0xff534d42U, "smb"), std::pair(0x517bU, "smb"),
                                   std::pair(0x65735546U, "fuse"), std::pair(0x01021997U, "9p")}) {
    const FileSystem found = file_system_of_type(type);
    EXPECT_EQ(found.name, name);
    EXPECT_FALSE(found.keeps_order) << name;
    EXPECT_THAT(late_writes(found), StartsWith(std::string("on ") + name + " other hosts see late"));
  }
}

TEST(FileSystem, of_the_others_nothing_is_said) {
  for (const auto& [type, name] : {std::pair(0x0bd00bd0U, "lustre"), std::pair(0x47504653U, "gpfs"),
                                   std::pair(0xef53U, "ext4"), std::pair(0x12345U, "type 0x12345")}) {
    const FileSystem found = file_system_of_type(type);
    EXPECT_EQ(found.name, name);
    EXPECT_THAT(late_writes(found), IsEmpty());
  }
}

TEST(FileSystem, of_a_path_that_is_not_there_yet_is_that_of_its_folder) {
  const std::filesystem::path folder = std::filesystem::temp_directory_path();
  struct statfs status {};
  ASSERT_EQ(::statfs(folder.c_str(), &status), 0);
  const std::string name = file_system_of_type(static_cast<std::uint32_t>(status.f_type)).name;
  EXPECT_EQ(file_system_of(folder).name, name);
  EXPECT_EQ(file_system_of(folder / "rackproof-no-such-folder" / "x.h5").name, name);
  EXPECT_THAT(file_system_of("/proc/self/no-such-file").name, HasSubstr("0x9fa0"));
  EXPECT_EQ(file_system_of("relative.h5").name, file_system_of(std::filesystem::current_path()).name);
}

}  // namespace
}  // namespace rackproof
