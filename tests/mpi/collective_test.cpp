#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "common/backends/backend.hpp"
#include "common/backends/mpi/bf16_reductions.hpp"
#include "common/backends/mpi/mpi_collective.hpp"
#include "common/core/bfloat16.hpp"
#include "common/mpi/communicator.hpp"
#include "suites/allreduce/contents.hpp"
#include "suites/allreduce/elements.hpp"
#include "tests/fakes/test_device.hpp"

namespace rackproof {
namespace {

/// What a type's elements are here, and how a small integer is written in it.
template <DataType type>
struct Of;
template <>
struct Of<DataType::f64> {
  using Element = double;
  static Element from(int v) { return v; }
};
template <>
struct Of<DataType::f32> {
  using Element = float;
  static Element from(int v) { return static_cast<float>(v); }
};
template <>
struct Of<DataType::bf16> {
  using Element = bf16_bits;
  static Element from(int v) { return to_bf16(static_cast<float>(v)); }
};
template <>
struct Of<DataType::i32> {
  using Element = std::int32_t;
  static Element from(int v) { return v; }
};

template <>
struct Of<DataType::i8> {
  using Element = std::int8_t;
  static Element from(int v) { return static_cast<std::int8_t>(v); }
};

constexpr Reduction reductions[] = {Reduction::sum, Reduction::min, Reduction::max, Reduction::prod};

/// Products of these are powers of two, and all results are exact in every type.
int element(Reduction reduction, int rank, std::size_t i) {
  const int mixed = 3 * rank + static_cast<int>(i % 1000);
  return reduction == Reduction::prod ? 1 + mixed % 2 : mixed % 7 - 3;
}

int reduced(Reduction reduction, int ranks, std::size_t i) {
  int result = element(reduction, 0, i);
  for (int r = 1; r < ranks; ++r) {
    const int next = element(reduction, r, i);
    if (reduction == Reduction::sum) result += next;
    if (reduction == Reduction::prod) result *= next;
    if (reduction == Reduction::min) result = std::min(result, next);
    if (reduction == Reduction::max) result = std::max(result, next);
  }
  return result;
}

template <typename T>
class AllReduce : public ::testing::Test {};
template <DataType type>
struct Type {
  static constexpr DataType value = type;
};
using Types = ::testing::Types<Type<DataType::f64>, Type<DataType::f32>, Type<DataType::bf16>, Type<DataType::i32>>;
TYPED_TEST_SUITE(AllReduce, Types);

/// rank + 1 + i mod 5; sums over up to 12 ranks are below 256 and so exact in bf16.
TYPED_TEST(AllReduce, sums_vectors_of_any_length_in_place_and_out_of_place) {
  using Traits = Of<TypeParam::value>;
  const auto world = mpi::Communicator::world();
  const int n = world.size();
  ASSERT_LE(n, 12);
  // Whole, and in calls of at most 1000 elements each.
  for (const std::size_t limit : {mpi::largest_piece, std::size_t{1000}}) {
    MpiCollective collective(world, limit);
    for (const std::size_t count : {0U, 1U, 2U, 3U, 7U, 1000U, 1001U, 4097U, 100003U}) {
      std::vector<typename Traits::Element> input(count);
      std::vector<typename Traits::Element> expected(count + 1);
      for (std::size_t i = 0; i < count; ++i) {
        const int varying = static_cast<int>(i % 5);
        input[i] = Traits::from(world.rank() + 1 + varying);
        expected[i] = Traits::from(n * (n + 1) / 2 + n * varying);
      }
      // One element more, which nobody may touch.
      expected[count] = Traits::from(77);
      std::vector<typename Traits::Element> output(count + 1, Traits::from(-1));
      output[count] = Traits::from(77);
      const auto before = input;
      collective.all_reduce(input.data(), output.data(), count, TypeParam::value);
      EXPECT_EQ(output, expected) << count;
      EXPECT_EQ(input, before);

      input.push_back(Traits::from(77));
      collective.all_reduce(input.data(), input.data(), count, TypeParam::value);
      EXPECT_EQ(input, expected) << count << " in place";
    }
  }
}

template <typename T>
class Reduce : public ::testing::Test {
 protected:
  using Traits = Of<T::value>;
  using Vector = std::vector<typename Traits::Element>;

  /// Elements [first, first + count) of what `value(i)` says, and one more that nobody may touch.
  template <typename Value>
  static Vector vector(std::size_t first, std::size_t count, Value value) {
    Vector made(count + 1, Traits::from(77));
    for (std::size_t i = 0; i < count; ++i) made[i] = Traits::from(value(first + i));
    return made;
  }
};
using AllTypes = ::testing::Types<Type<DataType::f64>, Type<DataType::f32>, Type<DataType::bf16>, Type<DataType::i32>,
                                  Type<DataType::i8>>;
TYPED_TEST_SUITE(Reduce, AllTypes);

TYPED_TEST(Reduce, every_operation_of_every_type_whole_and_in_pieces) {
  constexpr DataType type = TypeParam::value;
  const auto world = mpi::Communicator::world();
  const int n = world.size();
  const auto me = static_cast<std::size_t>(world.rank());
  for (const std::size_t limit : {mpi::largest_piece, std::size_t{9}}) {
    MpiCollective collective(world, limit);
    for (const Reduction reduction : reductions) {
      if (!can_reduce(type, reduction)) {
        EXPECT_THROW(collective.all_reduce(nullptr, nullptr, 1, type, reduction), Error);
        continue;
      }
      for (const std::size_t count : {0U, 1U, 5U, 24U, 300U}) {
        const auto all = count * static_cast<std::size_t>(n);
        const auto mine = [&](std::size_t i) { return element(reduction, world.rank(), i); };
        const auto wanted = [&](std::size_t i) { return reduced(reduction, n, i); };
        const auto untouched = [](std::size_t) { return 55; };
        const auto input = this->vector(0, all, mine);

        auto output = this->vector(0, count, untouched);
        collective.all_reduce(input.data(), output.data(), count, type, reduction);
        EXPECT_EQ(output, this->vector(0, count, wanted)) << "all_reduce " << name(reduction);

        output = this->vector(0, count, untouched);
        collective.reduce_scatter(input.data(), output.data(), count, type, reduction);
        EXPECT_EQ(output, this->vector(me * count, count, wanted)) << "reduce_scatter " << name(reduction);

        const int root = n / 2;
        output = this->vector(0, count, untouched);
        collective.reduce(input.data(), output.data(), count, type, root, reduction);
        const auto expected = this->vector(0, count, wanted);
        EXPECT_EQ(output, world.rank() == root ? expected : this->vector(0, count, untouched)) << "reduce";
        output = this->vector(0, count, untouched);
        collective.reduce(input.data(), world.rank() == root ? output.data() : nullptr, count, type, root, reduction);
        EXPECT_EQ(output, world.rank() == root ? expected : this->vector(0, count, untouched)) << "nullptr elsewhere";
        EXPECT_EQ(input, this->vector(0, all, mine));
      }
    }
  }
}

TEST(MpiCollective, reduces_the_types_that_mpi_knows_not_or_seldom_sees) {
  const auto world = mpi::Communicator::world();
  MpiCollective collective(world, 100);
  for (const DataType type :
       {DataType::f16, DataType::f8e4m3, DataType::f8e5m2, DataType::i64, DataType::u64, DataType::u32, DataType::u8}) {
    for (const Reduction reduction : reductions) {
      if (!can_reduce(type, reduction)) continue;
      constexpr std::size_t count = 777;
      const auto content = allreduce::reduced_content(type, reduction, world.size(), 5);
      const auto send = content->contributions(world.rank());
      std::vector<std::byte> receive(count * size_of(type));
      collective.all_reduce(send.data(), receive.data(), count, type, reduction);
      content->check(allreduce::Content::all_ranks, 0, 0, receive.data(), count);
      EXPECT_EQ(content->report(), "") << name(type) << " " << name(reduction);
    }
  }
}

TEST(SmallFloatReductions, f8_saturates_and_all_keep_nan) {
  const auto reduced = [](DataType type, Reduction reduction, float a, float b) {
    std::byte from[8];
    std::byte into[8];
    allreduce::encode(type, a, from);
    allreduce::encode(type, b, into);
    reduce_small_floats(type, reduction, from, into, 1);
    return allreduce::decode(type, into);
  };
  EXPECT_EQ(reduced(DataType::f8e4m3, Reduction::sum, 400.0F, 400.0F), 448.0);
  EXPECT_EQ(reduced(DataType::f8e5m2, Reduction::prod, -50000.0F, 3.0F), -57344.0);
  EXPECT_EQ(reduced(DataType::f16, Reduction::sum, 2048.0F, 1.0F), 2048.0) << "a tie, to even";
  EXPECT_EQ(reduced(DataType::f16, Reduction::sum, 60000.0F, 60000.0F), std::numeric_limits<double>::infinity());
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const DataType type : {DataType::bf16, DataType::f16, DataType::f8e4m3, DataType::f8e5m2}) {
    for (const Reduction reduction : reductions) {
      EXPECT_TRUE(std::isnan(reduced(type, reduction, nan, 1.0F))) << name(type) << name(reduction);
      EXPECT_TRUE(std::isnan(reduced(type, reduction, 1.0F, nan))) << name(type) << name(reduction);
    }
  }
}

TEST(Bf16Reductions, sum_and_product_round_once_to_nearest_even) {
  // 256 + 1 lies between 256 and 258: to even, 256. 258 + 1 lies between 258 and 260: to even, 260.
  std::vector<bf16_bits> into{to_bf16(256.0F), to_bf16(258.0F), to_bf16(256.0F), to_bf16(1.0F)};
  const std::vector<bf16_bits> from{to_bf16(1.0F), to_bf16(1.0F), to_bf16(1.5F), to_bf16(0x1.0p-9F)};
  reduce_bf16(Reduction::sum, from.data(), into.data(), into.size());
  EXPECT_EQ(from_bf16(into[0]), 256.0F);
  EXPECT_EQ(from_bf16(into[1]), 260.0F);
  EXPECT_EQ(from_bf16(into[2]), 258.0F);
  EXPECT_EQ(from_bf16(into[3]), 1.0F);
  // 257 lies half way between 256 and 258 again.
  into = {to_bf16(128.5F), to_bf16(-3.0F)};
  const std::vector<bf16_bits> factors{to_bf16(2.0F), to_bf16(0.5F)};
  reduce_bf16(Reduction::prod, factors.data(), into.data(), into.size());
  EXPECT_EQ(from_bf16(into[0]), from_bf16(to_bf16(128.5F)) * 2.0F);
  EXPECT_EQ(from_bf16(into[1]), -1.5F);
}

TEST(Bf16Reductions, are_the_same_in_vectors_and_one_by_one_and_keep_nan) {
  constexpr std::size_t count = 1003;
  std::vector<bf16_bits> from(count);
  std::vector<bf16_bits> into(count);
  for (std::size_t i = 0; i < count; ++i) {
    from[i] = static_cast<bf16_bits>(i * 40503U);
    into[i] = static_cast<bf16_bits>(i * 30011U + 7U);
  }
  const auto exact = [](Reduction reduction, float a, float b) {
    if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<float>::quiet_NaN();
    if (reduction == Reduction::sum) return a + b;
    if (reduction == Reduction::prod) return a * b;
    return reduction == Reduction::min ? std::min(a, b) : std::max(a, b);
  };
  for (const Reduction reduction : {Reduction::sum, Reduction::min, Reduction::max, Reduction::prod}) {
    std::vector<bf16_bits> together = into;
    reduce_bf16(reduction, from.data(), together.data(), count);
    for (std::size_t i = 0; i < count; ++i) {
      const float wanted = exact(reduction, from_bf16(from[i]), from_bf16(into[i]));
      if (std::isnan(wanted)) {
        EXPECT_TRUE(std::isnan(from_bf16(together[i]))) << name(reduction) << i;
      } else {
        EXPECT_EQ(from_bf16(together[i]), from_bf16(to_bf16(wanted))) << name(reduction) << i;
      }
    }
  }
}

TEST(MpiCollective, nan_of_one_rank_reaches_all) {
  const auto world = mpi::Communicator::world();
  MpiCollective collective(world);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<bf16_bits> values(40, to_bf16(world.rank() == world.size() - 1 ? nan : 1.0F));
  collective.all_reduce(values.data(), values.data(), values.size(), DataType::bf16);
  for (const bf16_bits v : values) EXPECT_TRUE(std::isnan(from_bf16(v)));
}

TEST(MpiCollective, gathers_rows_in_rank_order) {
  const auto world = mpi::Communicator::world();
  for (const std::size_t limit : {mpi::largest_piece, std::size_t{3}}) {
    MpiCollective collective(world, limit);
    constexpr std::size_t count = 7;
    std::vector<std::int32_t> row(count, world.rank() * 10);
    for (std::size_t i = 0; i < count; ++i) row[i] += static_cast<std::int32_t>(i);
    std::vector<std::int32_t> rows(count * static_cast<std::size_t>(world.size()), -1);
    collective.all_gather(row.data(), rows.data(), count, DataType::i32);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(rows[i], static_cast<std::int32_t>(i / count * 10 + i % count));
    }
  }
}

TEST(MpiCollective, exchanges_a_block_between_every_two_ranks) {
  const auto world = mpi::Communicator::world();
  const int n = world.size();
  for (const std::size_t limit : {mpi::largest_piece, std::size_t{3}}) {
    MpiCollective collective(world, limit);
    for (const std::size_t count : {0U, 1U, 7U, 2000U}) {
      // What `from` sends to `to`.
      const auto value = [&](int from, int to, std::size_t i) {
        return static_cast<std::int32_t>((from * n + to) * 2000 + static_cast<int>(i));
      };
      std::vector<std::int32_t> sent(count * static_cast<std::size_t>(n));
      std::vector<std::int32_t> wanted(sent.size() + 1, -7);
      for (std::size_t i = 0; i < sent.size(); ++i) {
        const int other = static_cast<int>(i / count);
        sent[i] = value(world.rank(), other, i % count);
        wanted[i] = value(other, world.rank(), i % count);
      }
      std::vector<std::int32_t> received(wanted.size(), -7);
      collective.all_to_all(sent.data(), received.data(), count, DataType::i32);
      EXPECT_EQ(received, wanted) << count;
    }
  }
}

TEST(MpiCollective, broadcasts_every_type_from_every_rank) {
  const auto world = mpi::Communicator::world();
  MpiCollective collective(world, 4);
  for (int root = 0; root < world.size(); ++root) {
    for (const DataType type : allreduce::exchanged_types()) {
      constexpr std::size_t count = 11;
      std::vector<unsigned char> data(count * size_of(type), static_cast<unsigned char>(world.rank()));
      collective.broadcast(data.data(), count, type, root);
      EXPECT_THAT(data, ::testing::Each(root));
    }
  }
}

/// A message that tells its sender, and one element more that nobody may touch.
std::vector<std::int32_t> message_of(int rank, std::size_t count) {
  std::vector<std::int32_t> message(count + 1, -7);
  for (std::size_t i = 0; i < count; ++i) message[i] = rank * 1000 + static_cast<std::int32_t>(i % 1000);
  return message;
}

TEST(MpiCollective, sends_to_one_rank_while_it_receives_from_another) {
  const auto world = mpi::Communicator::world();
  const int n = world.size();
  for (const std::size_t limit : {mpi::largest_piece, std::size_t{3}}) {
    MpiCollective collective(world, limit);
    for (const std::size_t count : {0U, 1U, 3U, 7U, 5000U}) {
      for (int distance = 0; distance < n; ++distance) {
        const int from = (world.rank() + n - distance) % n;
        const auto sent = message_of(world.rank(), count);
        std::vector<std::int32_t> received(count + 1, -7);
        collective.send_recv(sent.data(), (world.rank() + distance) % n, received.data(), from, count, DataType::i32);
        EXPECT_EQ(received, message_of(from, count)) << distance;
      }
    }
  }
}

TEST(MpiCollective, sends_one_way_while_other_ranks_do_nothing) {
  const auto world = mpi::Communicator::world();
  MpiCollective collective(world, 4);
  constexpr std::size_t count = 11;
  const int last = world.size() - 1;
  for (int to = 1; to <= last; ++to) {
    const auto sent = message_of(0, count);
    std::vector<std::int32_t> received(count + 1, -7);
    if (world.rank() == 0) {
      collective.send_recv(sent.data(), to, nullptr, nobody, count, DataType::i32);
    } else if (world.rank() == to) {
      collective.send_recv(nullptr, nobody, received.data(), 0, count, DataType::i32);
      EXPECT_EQ(received, sent);
    }
  }
  collective.send_recv(nullptr, nobody, nullptr, nobody, count, DataType::i32);
}

TEST(MpiCollective, splits_into_groups_that_reduce_apart) {
  const auto world = mpi::Communicator::world();
  MpiCollective collective(world);
  const auto part = collective.split(world.rank() % 2);
  EXPECT_EQ(part->rank(), world.rank() / 2);
  std::vector<std::int32_t> value{world.rank()};
  part->all_reduce(value.data(), value.data(), 1, DataType::i32);
  int expected = 0;
  for (int r = world.rank() % 2; r < world.size(); r += 2) expected += r;
  EXPECT_EQ(value[0], expected);
  part->barrier();
  // bf16 works there too, whichever of the two is freed first.
  std::vector<bf16_bits> one{to_bf16(1.0F)};
  part->all_reduce(one.data(), one.data(), 1, DataType::bf16);
  EXPECT_EQ(from_bf16(one[0]), static_cast<float>(part->size()));
}

TEST(MpiCollective, names_its_library_in_one_line) {
  const std::string name = MpiCollective(mpi::Communicator::world()).implementation();
  EXPECT_EQ(name.rfind("MPI: ", 0), 0U) << name;
  EXPECT_GT(name.size(), 8U);
  EXPECT_EQ(name.find_first_of("\n\t,"), std::string::npos) << name;
}

std::string refusal(const std::vector<std::unique_ptr<Backend>>& backends, const std::string& device,
                    const std::vector<std::string>& names) {
  try {
    (void)choose_collective_backends(backends, device, names);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::usage);
    return error.line();
  }
  return "accepted";
}

TEST(Collectives, serve_the_device_in_the_order_asked_for_and_are_opened_once) {
  const auto backends = make_all_backends();
  const auto of_gpus = choose_collective_backends(backends, "cuda", {"mpi", "nccl"});
  ASSERT_EQ(of_gpus.size(), 2U);
  EXPECT_EQ(of_gpus[0]->name(), "mpi");
  EXPECT_EQ(of_gpus[1]->name(), "nccl");
  EXPECT_THAT(refusal(backends, "host", {"nccl"}),
              ::testing::HasSubstr("'nccl' does not serve host devices; known are mpi"));
  EXPECT_THAT(refusal(backends, "cuda", {"rccl"}), ::testing::HasSubstr("'rccl' does not serve cuda devices"));

  const auto world = mpi::Communicator::world();
  TestDevice device;
  Collectives collectives(choose_collective_backends(backends, "host", {}), world, device, {});
  EXPECT_THAT(collectives.names(), ::testing::ElementsAre("mpi"));
  Collective& first = collectives.get("mpi");
  EXPECT_EQ(&collectives.get("mpi"), &first);
  EXPECT_EQ(first.size(), world.size());
  EXPECT_THROW((void)collectives.get("nccl"), Error);
}

}  // namespace
}  // namespace rackproof
