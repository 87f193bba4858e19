#include <gtest/gtest.h>

#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/core/consequence.hpp"
#include "common/core/error.hpp"
#include "common/mpi/communicator.hpp"

namespace rackproof::mpi {
namespace {

/// What agree() threw on this rank.
template <typename Action>
std::optional<Error> agreed(const Communicator& ranks, Action action) {
  try {
    agree(ranks, action);
  } catch (const AgreedError& error) {
    return error;
  }
  return std::nullopt;
}

void expect_same_on_all_ranks(const Error& error) {
  const auto world = Communicator::world();
  std::string of_root = error.line() + "|" + error.domain() + "|" + std::to_string(static_cast<int>(error.exit_code()));
  const std::string mine = of_root;
  world.broadcast(of_root);
  EXPECT_EQ(mine, of_root);
}

TEST(Agree, nothing_is_thrown_where_no_rank_failed) {
  const auto world = Communicator::world();
  int calls = 0;
  EXPECT_FALSE(agreed(world, [&] { ++calls; }).has_value());
  EXPECT_EQ(calls, 1);
}

TEST(Agree, every_rank_throws_the_error_of_the_one_that_failed) {
  const auto world = Communicator::world();
  for (int culprit = 0; culprit < world.size(); ++culprit) {
    const auto error = agreed(world, [&] {
      if (world.rank() != culprit) return;
      throw Error(ExitCode::infrastructure, "hdf5", -17, "H5Fcreate", "no space on rank " + std::to_string(culprit));
    });
    ASSERT_TRUE(error.has_value());
    EXPECT_EQ(error->exit_code(), ExitCode::infrastructure);
    EXPECT_EQ(error->domain(), "hdf5");
    EXPECT_EQ(error->code(), -17);
    EXPECT_EQ(error->call(), "H5Fcreate");
    EXPECT_STREQ(error->what(), ("no space on rank " + std::to_string(culprit)).c_str());
    EXPECT_EQ(error->place().rank, culprit);
    EXPECT_FALSE(error->place().host.empty());
    expect_same_on_all_ranks(*error);
  }
}

TEST(Agree, the_lowest_rank_that_failed_is_the_one_that_is_told) {
  const auto world = Communicator::world();
  const int first = world.size() / 2;
  const auto error = agreed(world, [&] {
    if (world.rank() >= first) throw infrastructure_error("rank " + std::to_string(world.rank()) + " broke");
  });
  ASSERT_TRUE(error.has_value());
  EXPECT_STREQ(error->what(), ("rank " + std::to_string(first) + " broke").c_str());
}

TEST(Agree, who_failed_by_itself_is_told_before_those_who_waited_for_it) {
  const auto world = Communicator::world();
  const int culprit = world.size() - 1;
  const auto error = agreed(world, [&] {
    if (world.rank() == culprit) throw infrastructure_error("its memory broke");
    throw Consequence(infrastructure_error("somebody did not come"));
  });
  ASSERT_TRUE(error.has_value());
  EXPECT_STREQ(error->what(), "its memory broke");
  EXPECT_EQ(error->place().rank, culprit);
  const auto alone = agreed(world, [&] {
    if (world.rank() == culprit) throw Consequence(infrastructure_error("somebody did not come"));
  });
  ASSERT_TRUE(alone.has_value());
  EXPECT_EQ(alone->place().rank, culprit);
}

TEST(Agree, keeps_a_place_that_is_already_known) {
  const auto world = Communicator::world();
  const auto error = agreed(world, [&] {
    if (world.rank() == 0) throw infrastructure_error("lost", Place{"node17", 123, "cuda:3"});
  });
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->place().host, "node17");
  EXPECT_EQ(error->place().rank, 123);
  EXPECT_EQ(error->place().device, "cuda:3");
}

TEST(Agree, bad_input_that_all_ranks_found_blames_no_rank) {
  const auto error = agreed(Communicator::world(), [] { throw usage_error("--suite: unknown suite 'x'"); });
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->line(), "--suite: unknown suite 'x'");
}

TEST(Agree, exceptions_that_are_no_errors_of_ours_become_errors) {
  const auto world = Communicator::world();
  const auto memory = agreed(world, [&] {
    if (world.rank() == world.size() - 1) throw std::bad_alloc();
  });
  ASSERT_TRUE(memory.has_value());
  EXPECT_EQ(memory->exit_code(), ExitCode::infrastructure);
  EXPECT_EQ(memory->place().rank, world.size() - 1);

  const auto standard = agreed(world, [] { throw std::out_of_range("index 7"); });
  ASSERT_TRUE(standard.has_value());
  EXPECT_EQ(standard->exit_code(), ExitCode::internal);
  EXPECT_STREQ(standard->what(), "index 7");

  const auto unknown = agreed(world, [] { throw 42; });
  ASSERT_TRUE(unknown.has_value());
  EXPECT_EQ(unknown->exit_code(), ExitCode::internal);
}

TEST(Agree, communicator_works_on_after_an_error) {
  const auto world = Communicator::world();
  EXPECT_TRUE(agreed(world, [] { throw infrastructure_error("x"); }).has_value());
  std::vector<double> value{static_cast<double>(world.rank())};
  world.all_reduce_max(value);
  EXPECT_EQ(value[0], world.size() - 1.0);
}

TEST(Agree, within_a_part_of_the_world_names_the_rank_in_the_world) {
  const auto world = Communicator::world();
  const auto part = world.split(world.rank() % 2, world.rank());
  const auto error = agreed(part, [&] {
    if (part.rank() == part.size() - 1) throw infrastructure_error("broke");
  });
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->place().rank % 2, world.rank() % 2);
  EXPECT_GE(error->place().rank, world.size() - 2);
}

}  // namespace
}  // namespace rackproof::mpi
