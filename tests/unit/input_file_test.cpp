#include "results/input_file.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cstddef>
#include <fstream>
#include <string>

#include "tests/unit/result_file_fixture.hpp"

namespace rackproof::results {
namespace {

using ::testing::AllOf;
using testing::error_of;
using ::testing::HasSubstr;
using testing::TemporaryFolder;

TEST(InputFile, is_read_whole_up_to_the_largest_size) {
  const TemporaryFolder folder;
  const std::string text("a\0\r\n\xff", 5);
  std::ofstream(folder / "x", std::ios::binary) << text;
  EXPECT_EQ(read_text_file(folder / "x", "the file", 5), text);
  EXPECT_THAT(error_of(ExitCode::usage, [&] { static_cast<void>(read_text_file(folder / "x", "the limits file", 4)); }),
              AllOf(HasSubstr("the limits file"), HasSubstr("x'"), HasSubstr("more than 4 B")));
}

TEST(InputFile, what_is_no_regular_file_is_refused_and_not_waited_for) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  for (const std::filesystem::path& path :
       {folder / "none", folder / "pipe", folder.path(), std::filesystem::path("/dev/zero")}) {
    EXPECT_THAT(error_of(ExitCode::usage, [&] { static_cast<void>(read_text_file(path, "the limits file", 9)); }),
                AllOf(HasSubstr("the limits file"), HasSubstr(path.filename().string()), HasSubstr("cannot be read")));
  }
}

}  // namespace
}  // namespace rackproof::results
