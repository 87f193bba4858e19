// world sizes: 1 2 3 4
#include "common/backends/mpi/device_collective.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

#include "common/mpi/communicator.hpp"
#include "suites/allreduce/contents.hpp"
#include "suites/allreduce/elements.hpp"
#include "tests/fakes/far_device.hpp"

namespace rackproof {
namespace {

using allreduce::Content;
using Bytes = std::vector<std::byte>;

class MpiDevice : public ::testing::Test {
 protected:
  std::unique_ptr<Buffer> upload(const Bytes& bytes) {
    auto buffer = device.allocate(bytes.size());
    device.copy_to_device(buffer->data(), bytes.data(), bytes.size());
    return buffer;
  }
  Bytes download(const Buffer& buffer) {
    Bytes bytes(buffer.bytes());
    device.copy_to_host(bytes.data(), buffer.data(), bytes.size());
    return bytes;
  }
  static Bytes first_of(const Bytes& all, std::size_t bytes) {
    return {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(bytes)};
  }
  [[nodiscard]] std::size_t blocks(std::size_t count) const { return count * static_cast<std::size_t>(world.size()); }

  mpi::Communicator world = mpi::Communicator::world();
  FarDevice device;
  const std::vector<std::size_t> counts{0, 1, 5, 300};
  /// Whole, and in pieces of a few elements a rank.
  std::array<MpiDeviceCollective, 2> collectives{MpiDeviceCollective{world, device, false},
                                                 MpiDeviceCollective{world, device, false, 96}};
};

TEST_F(MpiDevice, reduces_every_type_by_everything_it_can_be_reduced_by) {
  for (const DataType type : allreduce::exchanged_types()) {
    for (const Reduction reduction : {Reduction::sum, Reduction::min, Reduction::max, Reduction::prod}) {
      if (!can_reduce(type, reduction)) continue;
      const std::size_t size = size_of(type);
      const auto content = allreduce::reduced_content(type, reduction, world.size(), 3);
      const Bytes sent = content->contributions(world.rank());
      for (auto& collective : collectives) {
        for (const std::size_t count : counts) {
          const auto send = upload(first_of(sent, blocks(count) * size));
          const auto check = [&](const Buffer& buffer, std::size_t first) {
            const Bytes got = download(buffer);
            content->check(Content::all_ranks, first, 0, got.data(), count);
          };
          const auto receive = device.allocate(count * size);
          collective.all_reduce(send->data(), receive->data(), count, type, reduction);
          check(*receive, 0);
          collective.reduce_scatter(send->data(), receive->data(), count, type, reduction);
          check(*receive, static_cast<std::size_t>(world.rank()) * count);
          const int root = world.size() - 1;
          collective.reduce(send->data(), world.rank() == root ? receive->data() : nullptr, count, type, root,
                            reduction);
          if (world.rank() == root) check(*receive, 0);
          const auto in_place = device.allocate(count * size);
          device.copy(in_place->data(), send->data(), count * size);
          collective.all_reduce(in_place->data(), in_place->data(), count, type, reduction);
          check(*in_place, 0);
        }
      }
      EXPECT_EQ(content->report(), "") << name(type) << " " << name(reduction);
    }
  }
}

TEST_F(MpiDevice, moves_every_type) {
  const int n = world.size();
  const int me = world.rank();
  for (const DataType type : allreduce::exchanged_types()) {
    const std::size_t size = size_of(type);
    const auto content = allreduce::moved_content(type, n, 3);
    const Bytes sent = content->contributions(me);
    for (auto& collective : collectives) {
      for (const std::size_t count : counts) {
        const auto send = upload(first_of(sent, blocks(count) * size));
        const auto receive = device.allocate(blocks(count) * size);
        const auto check = [&](int source, std::size_t first, const Buffer& buffer, int block) {
          const Bytes got = download(buffer);
          content->check(source, first, 0, got.data() + static_cast<std::size_t>(block) * count * size, count);
        };
        collective.all_gather(send->data(), receive->data(), count, type);
        for (int r = 0; r < n; ++r) check(r, 0, *receive, r);
        collective.all_to_all(send->data(), receive->data(), count, type);
        for (int r = 0; r < n; ++r) check(r, static_cast<std::size_t>(me) * count, *receive, r);
        const int root = n / 2;
        const auto data = upload(first_of(sent, count * size));
        collective.broadcast(data->data(), count, type, root);
        check(root, 0, *data, 0);
        const int from = (me + n - 1) % n;
        collective.send_recv(send->data(), (me + 1) % n, receive->data(), from, count, type);
        check(from, 0, *receive, 0);
      }
    }
    EXPECT_EQ(content->report(), "") << name(type);
  }
}

TEST_F(MpiDevice, sends_what_the_device_was_asked_to_write_before) {
  MpiDeviceCollective collective(world, device, false);
  constexpr std::size_t count = 100;
  const Bytes ones(count, std::byte{1});
  const auto source = upload(ones);
  const auto data = upload(Bytes(count, std::byte{0}));
  device.copy(data->data(), source->data(), count);  // not done yet
  collective.all_reduce(data->data(), data->data(), count, DataType::u8, Reduction::max);
  EXPECT_EQ(download(*data), ones);

  int done = 0;
  device.later([&] { ++done; });
  collective.barrier();
  EXPECT_EQ(done, 1);
}

TEST_F(MpiDevice, one_way_messages_touch_no_pointer_of_the_side_that_is_nobody) {
  if (world.size() < 2) return;
  MpiDeviceCollective collective(world, device, false, 16);
  constexpr std::size_t count = 11;
  const Bytes message(count, std::byte{42});
  if (world.rank() == 0) {
    const auto data = upload(message);
    collective.send_recv(data->data(), 1, nullptr, nobody, count, DataType::i8);
  } else if (world.rank() == 1) {
    const auto data = upload(Bytes(count, std::byte{0}));
    collective.send_recv(nullptr, nobody, data->data(), 0, count, DataType::i8);
    EXPECT_EQ(download(*data), message);
  }
}

TEST_F(MpiDevice, groups_share_the_staging_memory) {
  MpiDeviceCollective collective(world, device, false);
  const int allocations = device.host_allocations;
  EXPECT_GE(allocations, 2);
  const auto group = collective.split(world.rank() % 2);
  EXPECT_EQ(device.host_allocations, allocations);
  const auto data = upload(Bytes(8, std::byte{static_cast<unsigned char>(world.rank())}));
  group->broadcast(data->data(), 8, DataType::u8, 0);
  EXPECT_THAT(download(*data), ::testing::Each(std::byte{static_cast<unsigned char>(world.rank() % 2)}));
}

TEST_F(MpiDevice, says_how_the_data_goes) {
  EXPECT_THAT(MpiDeviceCollective(world, device, false).implementation(),
              ::testing::HasSubstr(", staged through pinned host memory"));
  EXPECT_THAT(MpiDeviceCollective(world, device, true).implementation(), ::testing::HasSubstr(", CUDA-aware"));
}

/// Where MPI takes pointers of the device, as it takes those of a device that is plain memory.
TEST_F(MpiDevice, hands_pointers_over_where_mpi_takes_them_but_not_to_reductions_of_our_own) {
  TestDevice plain;
  MpiDeviceCollective collective(world, plain, true);
  for (const DataType type : {DataType::f32, DataType::bf16}) {
    constexpr std::size_t count = 1000;
    const auto content = allreduce::reduced_content(type, Reduction::sum, world.size(), 3);
    const Bytes send = first_of(content->contributions(world.rank()), count * size_of(type));
    Bytes receive(send.size());
    collective.all_reduce(send.data(), receive.data(), count, type);
    content->check(Content::all_ranks, 0, 0, receive.data(), count);
    EXPECT_EQ(content->report(), "") << name(type);
  }
  // A pointer that only the device may follow: it must go through the host.
  MpiDeviceCollective far(world, device, true);
  const auto data = upload(Bytes(8, std::byte{0}));
  far.all_reduce(data->data(), data->data(), 4, DataType::bf16);
  EXPECT_EQ(download(*data), Bytes(8, std::byte{0}));
}

}  // namespace
}  // namespace rackproof
