#include "common/core/lists.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/core/error.hpp"

namespace rackproof {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(SplitList, gives_the_values_in_order) {
  EXPECT_THAT(split_list("a", "--x"), ElementsAre("a"));
  EXPECT_THAT(split_list("b,a, c", "--x"), ElementsAre("b", "a", " c"));
}

TEST(SplitList, refuses_empty_entries_and_what_is_there_twice) {
  for (const std::string text : {"", ",", "a,", ",a", "a,,b", "a,b,a"}) {
    try {
      (void)split_list(text, "--x");
      ADD_FAILURE() << "accepted '" << text << "'";
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), ExitCode::usage);
      EXPECT_THAT(error.line(), HasSubstr("--x '" + text + "'"));
    }
  }
}

}  // namespace
}  // namespace rackproof
