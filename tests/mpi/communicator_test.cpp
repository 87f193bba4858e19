#include "common/mpi/communicator.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "common/core/error.hpp"
#include "common/mpi/pieces.hpp"
#include "common/mpi/topology.hpp"

namespace rackproof::mpi {
namespace {

using ::testing::ElementsAre;

TEST(Communicator, reduces_to_the_same_extremes_on_every_rank) {
  const auto world = Communicator::world();
  const double rank = world.rank();
  std::vector<double> values{rank, -rank, 7.0};
  world.all_reduce_max(values);
  EXPECT_THAT(values, ElementsAre(world.size() - 1.0, 0.0, 7.0));
  values = {rank, -rank, 7.0};
  world.all_reduce_min(values);
  EXPECT_THAT(values, ElementsAre(0.0, 1.0 - world.size(), 7.0));
}

TEST(Communicator, broadcasts_from_any_rank) {
  const auto world = Communicator::world();
  for (int root = 0; root < world.size(); ++root) {
    const bool here = world.rank() == root;
    std::vector<double> numbers(3, here ? root + 0.5 : -1.0);
    world.broadcast(numbers, root);
    EXPECT_THAT(numbers, ::testing::Each(root + 0.5));
    std::vector<std::int64_t> integers{here ? (std::int64_t{1} << 60U) + root : 0};
    world.broadcast(integers, root);
    EXPECT_EQ(integers[0], (std::int64_t{1} << 60U) + root);
    std::string text =
        here ? "from " + std::to_string(root) + std::string(1, '\0') + "x" : "something longer to shrink";
    world.broadcast(text, root);
    EXPECT_EQ(text, "from " + std::to_string(root) + std::string(1, '\0') + "x");
  }
}

TEST(Communicator, gathers_in_rank_order_on_the_root_alone) {
  const auto world = Communicator::world();
  const int root = world.size() - 1;
  const auto rank = static_cast<std::size_t>(world.rank());
  const std::string text(rank * 3, static_cast<char>('a' + rank % 26));  // rank 0's is empty
  const auto texts = world.gather(text, root);
  const auto numbers = world.gather(static_cast<std::uint64_t>(rank + (1ULL << 63U)), root);
  const auto values = world.gather(0.5 * static_cast<double>(rank), root);
  if (world.rank() != root) {
    EXPECT_TRUE(texts.empty());
    EXPECT_TRUE(numbers.empty());
    EXPECT_TRUE(values.empty());
    return;
  }
  ASSERT_EQ(texts.size(), static_cast<std::size_t>(world.size()));
  for (std::size_t r = 0; r < texts.size(); ++r) {
    EXPECT_EQ(texts[r], std::string(r * 3, static_cast<char>('a' + r % 26)));
    EXPECT_EQ(numbers[r], r + (1ULL << 63U));
    EXPECT_EQ(values[r], 0.5 * static_cast<double>(r));
  }
}

TEST(Communicator, gathers_texts_that_are_all_empty) {
  const auto world = Communicator::world();
  EXPECT_EQ(world.gather(std::string()).size(), world.is_root() ? static_cast<std::size_t>(world.size()) : 0U);
}

TEST(Pieces, rows_longer_than_a_piece_arrive_whole) {
  const auto world = Communicator::world();
  std::vector<double> row(37);
  std::iota(row.begin(), row.end(), 100.0 * world.rank());
  // 10 elements of all ranks together at a time, 1 each where there are more ranks than that.
  const auto rows = gather_rows(std::span<const double>(row), MPI_DOUBLE, 0, world, 10);
  EXPECT_EQ(rows, world.gather(std::span<const double>(row)));
  if (!world.is_root()) return;
  ASSERT_EQ(rows.size(), 37U * static_cast<std::size_t>(world.size()));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i], 100.0 * static_cast<double>(i / 37) + static_cast<double>(i % 37));
  }
}

TEST(Pieces, texts_of_any_length_arrive_whole_at_any_root) {
  const auto world = Communicator::world();
  const auto text_of = [](int rank) {
    std::string text;
    for (int i = 0; i < 20 * (rank % 3); ++i) text += static_cast<char>('a' + (rank + i) % 26);
    return text;
  };
  std::vector<std::string> wanted;
  for (int rank = 0; rank < world.size(); ++rank) wanted.push_back(text_of(rank));
  for (int root = 0; root < world.size(); ++root) {
    for (const std::size_t limit : {std::size_t{1}, std::size_t{8}, largest_piece}) {
      const auto texts = gather_texts(text_of(world.rank()), root, world, limit);
      EXPECT_EQ(texts, world.rank() == root ? wanted : std::vector<std::string>{});
    }
  }
}

TEST(Pieces, cover_every_element_once) {
  std::vector<int> seen(23);
  in_pieces(seen.size(), 5, [&](std::size_t offset, int count) {
    EXPECT_LE(count, 5);
    for (int i = 0; i < count; ++i) ++seen[offset + static_cast<std::size_t>(i)];
  });
  EXPECT_THAT(seen, ::testing::Each(1));
}

TEST(Communicator, splits_by_colour_and_orders_by_key) {
  const auto world = Communicator::world();
  const auto half = world.split(world.rank() % 2, -world.rank());
  EXPECT_EQ(half.size(), (world.size() + 1 - world.rank() % 2) / 2);
  std::vector<double> first{static_cast<double>(world.rank())};
  half.broadcast(first);  // the highest rank of the colour leads
  const int last = world.size() - 1;
  EXPECT_EQ(static_cast<int>(first[0]), last % 2 == world.rank() % 2 ? last : last - 1);
}

TEST(Communicator, moves_its_handle_and_outlives_its_source) {
  const auto world = Communicator::world();
  auto copy = world.duplicate();
  Communicator other = std::move(copy);
  other.barrier();
  other = world.duplicate();
  std::vector<double> value{1.0};
  other.all_reduce_max(value);
  EXPECT_EQ(value[0], 1.0);
}

TEST(Communicator, turns_an_error_of_mpi_into_an_error_that_names_call_host_and_rank) {
  const auto world = Communicator::world();
  std::vector<double> value{1.0};
  try {
    world.broadcast(value, world.size() + 5);
    FAIL() << "a root that does not exist was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::infrastructure);
    EXPECT_EQ(error.domain(), "mpi");
    EXPECT_EQ(error.call(), "MPI_Bcast");
    EXPECT_NE(error.code(), 0);
    EXPECT_EQ(error.place().host, host_name());
    EXPECT_EQ(error.place().rank, world.rank());
  }
}

TEST(Topology, places_every_rank_once_and_alike_on_all_ranks) {
  const auto world = Communicator::world();
  const Topology topology = discover_topology(world);
  ASSERT_EQ(topology.size(), world.size());
  EXPECT_EQ(topology.ranks[static_cast<std::size_t>(world.rank())].host, host_name());
  std::vector<int> next(static_cast<std::size_t>(topology.nodes));
  int total = 0;
  for (const RankPlace& place : topology.ranks) {
    ASSERT_GE(place.node_index, 0);
    ASSERT_LT(place.node_index, topology.nodes);
    EXPECT_EQ(place.local_rank, next[static_cast<std::size_t>(place.node_index)]++);
  }
  EXPECT_EQ(topology.ranks[0].node_index, 0);
  for (int node = 0; node < topology.nodes; ++node) total += topology.ranks_on_node(node);
  EXPECT_EQ(total, world.size());

  std::string mine;
  for (const RankPlace& p : topology.ranks) {
    mine += p.host + "/" + std::to_string(p.node_index) + "/" + std::to_string(p.local_rank) + " ";
  }
  std::string of_root = mine;
  world.broadcast(of_root);
  EXPECT_EQ(mine, of_root);
}

TEST(Topology, made_up_node_holds_all_ranks) {
  const Topology topology = single_node_topology(5);
  EXPECT_EQ(topology.nodes, 1);
  EXPECT_EQ(topology.ranks_on_node(0), 5);
  EXPECT_EQ(topology.ranks[3].local_rank, 3);
}

}  // namespace
}  // namespace rackproof::mpi
