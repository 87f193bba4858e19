// The code that really runs: common/system/libraries.hpp.
#include "common/system/libraries.hpp"

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace rackproof {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::Not;

/// One ELF note with its name and content padded as `alignment` asks.
std::vector<std::byte> note(const std::string& owner, std::uint32_t type, const std::string& content,
                            std::size_t alignment) {
  const Elf64_Nhdr header{static_cast<Elf64_Word>(owner.size()), static_cast<Elf64_Word>(content.size()), type};
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  const auto pad = [&] { bytes.resize((bytes.size() + alignment - 1) / alignment * alignment); };
  bytes += owner;
  pad();
  bytes += content;
  pad();
  const auto* begin = reinterpret_cast<const std::byte*>(bytes.data());
  return {begin, begin + bytes.size()};
}

const std::string gnu("GNU\0", 4);

std::vector<std::byte> operator+(std::vector<std::byte> a, const std::vector<std::byte>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(build_id, is_found_behind_other_notes) {
  for (const std::size_t alignment : {4UL, 8UL}) {
    const auto notes = note(gnu, NT_GNU_ABI_TAG, std::string(13, 'x'), alignment) +
                       note("other", NT_GNU_BUILD_ID, "no", alignment) +
                       note(gnu, NT_GNU_BUILD_ID, "\x01\xab\xff", alignment);
    EXPECT_EQ(build_id_in_notes(notes, alignment), "01abff");
  }
}

TEST(build_id, is_empty_where_there_is_none) {
  EXPECT_THAT(build_id_in_notes({}, 4), IsEmpty());
  EXPECT_THAT(build_id_in_notes(note(gnu, NT_GNU_ABI_TAG, "abcd", 4), 4), IsEmpty());
}

TEST(build_id, of_malformed_notes_is_empty) {
  auto notes = note(gnu, NT_GNU_BUILD_ID, "abcdefgh", 4);
  for (std::size_t size = 0; size < notes.size(); ++size) {
    EXPECT_THAT(build_id_in_notes(std::span(notes).first(size), 4), IsEmpty()) << size;
  }
  const std::uint32_t huge = 0xfffffff0U;
  for (const std::size_t field : {offsetof(Elf64_Nhdr, n_namesz), offsetof(Elf64_Nhdr, n_descsz)}) {
    auto broken = note(gnu, NT_GNU_ABI_TAG, "abcd", 4) + notes;
    std::memcpy(broken.data() + field, &huge, sizeof huge);
    EXPECT_THAT(build_id_in_notes(broken, 4), IsEmpty());
  }
}

/// What a command prints.
std::string output_of(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), &pclose);
  std::string text;
  for (int c = std::fgetc(pipe.get()); c != EOF; c = std::fgetc(pipe.get())) text += static_cast<char>(c);
  return text;
}

TEST(build_id, of_this_program_is_what_readelf_shows) {
  const std::string id = build_id_of_self();
  EXPECT_THAT(id, MatchesRegex("[0-9a-f]{40}"));
  EXPECT_THAT(output_of("readelf -n '" + path_of_self() + "'"), HasSubstr("Build ID: " + id));
}

TEST(loaded_libraries, are_files_named_once_with_the_id_that_readelf_shows) {
  const auto libraries = loaded_libraries();
  ASSERT_GT(libraries.size(), 3U);
  for (std::size_t i = 0; i < libraries.size(); ++i) {
    EXPECT_TRUE(std::filesystem::is_regular_file(libraries[i].path)) << libraries[i].path;
    EXPECT_FALSE(std::filesystem::is_symlink(libraries[i].path)) << libraries[i].path;
    if (i > 0) {
      EXPECT_LT(libraries[i - 1].path, libraries[i].path);
    }
    if (libraries[i].path.find("libc.so") != std::string::npos) {
      ASSERT_THAT(libraries[i].build_id, Not(IsEmpty()));
      EXPECT_THAT(output_of("readelf -n '" + libraries[i].path + "'"), HasSubstr(libraries[i].build_id));
    }
  }
}

TEST(loaded_libraries, tell_the_version_that_the_library_itself_answers) {
  unsigned major = 0;
  unsigned minor = 0;
  unsigned release = 0;
  ASSERT_GE(H5get_libversion(&major, &minor, &release), 0);
  const std::string version = std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(release);
  const auto libraries = loaded_libraries();
  const auto hdf5 = std::find_if(libraries.begin(), libraries.end(), [](const LoadedLibrary& library) {
    return std::filesystem::path(library.path).filename().string().starts_with("libhdf5");
  });
  ASSERT_NE(hdf5, libraries.end());
  // The file is libhdf5_serial.so.103.x: the version of the interface, not that of HDF5.
  EXPECT_EQ(hdf5->version, version);
}

TEST(library_version, is_read_from_the_file_name_where_nothing_else_tells) {
  EXPECT_EQ(version_in_file_name("/usr/lib/libhdf5_serial.so.103.3.0"), "103.3.0");
  EXPECT_EQ(version_in_file_name("/usr/lib/libopenblasp-r0.3.21.so"), "0.3.21");
  EXPECT_EQ(version_in_file_name("/usr/lib/libopenblas64p-r0.3.26.so.0"), "0.3.26");
  EXPECT_EQ(version_in_file_name("libm.so.6"), "6");
  EXPECT_THAT(version_in_file_name("/opt/v1.2.3/mca_btl_vader.so"), IsEmpty());
  EXPECT_THAT(version_in_file_name(""), IsEmpty());
}

}  // namespace
}  // namespace rackproof
