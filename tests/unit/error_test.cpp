#include "common/core/error.hpp"

#include <gtest/gtest.h>

namespace rackproof {
namespace {

TEST(Error, line_says_what_and_where) {
  const Error error(ExitCode::infrastructure, "mpi", 15, "MPI_Send", "message lost", {"node7", 3, "cuda:1"});
  EXPECT_EQ(error.line(), "message lost (MPI_Send: 15) [host node7, rank 3, device cuda:1]");
}

TEST(Error, unknown_places_are_left_out) {
  EXPECT_EQ(usage_error("no such suite").line(), "no such suite");
  EXPECT_EQ(infrastructure_error("lost", {"", 0, ""}).line(), "lost [rank 0]");
}

TEST(Error, text_from_outside_cannot_steer_the_terminal) {
  EXPECT_EQ(printable("a\x1b[31mb\nc\x7f"), "a?[31mb?c?");
  EXPECT_EQ(printable("Stra\xc3\x9f"
                      "e"),
            "Stra\xc3\x9f"
            "e");
  EXPECT_EQ(printable("\xc3"), "?");
  EXPECT_EQ(printable("\xc0\xaf"), "??");
  EXPECT_EQ(printable("\xed\xa0\x80"), "???");
  EXPECT_EQ(printable("\xe2\x80\xae"
                      "evil"),
            "???evil");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "??31m");
  EXPECT_EQ(printable("abcdef", 3), "abc...");
  EXPECT_EQ(printable(""), "");
}

}  // namespace
}  // namespace rackproof
