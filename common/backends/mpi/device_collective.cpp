#include "common/backends/mpi/device_collective.hpp"

#include <mpi.h>

#include <algorithm>
#include <utility>

#if defined(OPEN_MPI) && __has_include(<mpi-ext.h>)
#include <mpi-ext.h>
#endif

namespace rackproof {

bool mpi_takes_cuda_pointers() {
#if defined(OPEN_MPI) && defined(MPIX_CUDA_AWARE_SUPPORT)
  return MPIX_Query_cuda_support() == 1;
#elif defined(MPIX_GPU_SUPPORT_CUDA)  // MPICH 4
  int supported = 0;
  return MPIX_GPU_query_support(MPIX_GPU_SUPPORT_CUDA, &supported) == MPI_SUCCESS && supported != 0;
#else
  return false;
#endif
}

MpiDeviceCollective::MpiDeviceCollective(const mpi::Communicator& ranks, Device& device, bool takes_pointers,
                                         std::size_t staging)
    : mpi_(std::make_unique<MpiCollective>(ranks)),
      device_(device),
      takes_pointers_(takes_pointers),
      // At least an element of each rank.
      staging_(
          make_staging(ranks, device, std::max(staging, sizeof(double) * static_cast<std::size_t>(ranks.size())))) {}

std::shared_ptr<const MpiDeviceCollective::Staging> MpiDeviceCollective::make_staging(const mpi::Communicator& ranks,
                                                                                      Device& device,
                                                                                      std::size_t bytes) {
  std::shared_ptr<const Staging> staging;
  mpi::agree(ranks, [&] {
    staging = std::make_shared<const Staging>(Staging{device.allocate_host(bytes), device.allocate_host(bytes)});
  });
  return staging;
}

MpiDeviceCollective::MpiDeviceCollective(std::unique_ptr<Collective> mpi, Device& device, bool takes_pointers,
                                         std::shared_ptr<const Staging> staging)
    : mpi_(std::move(mpi)), device_(device), takes_pointers_(takes_pointers), staging_(std::move(staging)) {}

std::string MpiDeviceCollective::implementation() const {
  return mpi_->implementation() + (takes_pointers_ ? ", CUDA-aware (reductions of f16, bf16 and f8 staged)"
                                                   : ", staged through pinned host memory");
}

template <typename Action>
void MpiDeviceCollective::in_pieces(std::size_t count, DataType type, std::size_t blocks, Action action) {
  const std::size_t most = staging_->send->bytes() / (blocks * size_of(type));
  for (std::size_t first = 0; first < count; first += most) action(first, std::min(most, count - first));
}

void MpiDeviceCollective::fetch(const void* blocks_at, std::size_t blocks, std::size_t count, std::size_t first,
                                std::size_t piece, std::size_t size) {
  auto* const to = staging_->send->as<std::byte>();
  const auto* const from = static_cast<const std::byte*>(blocks_at);
  if (piece == count) return device_.copy_to_host(to, from, blocks * count * size);
  for (std::size_t block = 0; block < blocks; ++block) {
    device_.copy_to_host(to + block * piece * size, from + (block * count + first) * size, piece * size);
  }
}

void MpiDeviceCollective::deliver(void* blocks_at, std::size_t blocks, std::size_t count, std::size_t first,
                                  std::size_t piece, std::size_t size) {
  const auto* const from = staging_->receive->as<std::byte>();
  auto* const to = static_cast<std::byte*>(blocks_at);
  if (piece == count) return device_.copy_to_device(to, from, blocks * count * size);
  for (std::size_t block = 0; block < blocks; ++block) {
    device_.copy_to_device(to + (block * count + first) * size, from + block * piece * size, piece * size);
  }
}

void MpiDeviceCollective::all_reduce(const void* send, void* receive, std::size_t count, DataType type,
                                     Reduction reduction) {
  if (is_direct(type)) {
    device_.synchronize();
    return mpi_->all_reduce(send, receive, count, type, reduction);
  }
  in_pieces(count, type, 1, [&](std::size_t first, std::size_t piece) {
    fetch(send, 1, count, first, piece, size_of(type));
    mpi_->all_reduce(staging_->send->data(), staging_->receive->data(), piece, type, reduction);
    deliver(receive, 1, count, first, piece, size_of(type));
  });
}

void MpiDeviceCollective::reduce(const void* send, void* receive, std::size_t count, DataType type, int root,
                                 Reduction reduction) {
  if (is_direct(type)) {
    device_.synchronize();
    return mpi_->reduce(send, receive, count, type, root, reduction);
  }
  in_pieces(count, type, 1, [&](std::size_t first, std::size_t piece) {
    fetch(send, 1, count, first, piece, size_of(type));
    mpi_->reduce(staging_->send->data(), staging_->receive->data(), piece, type, root, reduction);
    if (rank() == root) deliver(receive, 1, count, first, piece, size_of(type));
  });
}

void MpiDeviceCollective::reduce_scatter(const void* send, void* receive, std::size_t count, DataType type,
                                         Reduction reduction) {
  if (is_direct(type)) {
    device_.synchronize();
    return mpi_->reduce_scatter(send, receive, count, type, reduction);
  }
  const auto ranks = static_cast<std::size_t>(size());
  in_pieces(count, type, ranks, [&](std::size_t first, std::size_t piece) {
    fetch(send, ranks, count, first, piece, size_of(type));
    mpi_->reduce_scatter(staging_->send->data(), staging_->receive->data(), piece, type, reduction);
    deliver(receive, 1, count, first, piece, size_of(type));
  });
}

void MpiDeviceCollective::all_gather(const void* send, void* receive, std::size_t count, DataType type) {
  // Rows beyond the limit of one call are copied by the host there.
  if (takes_pointers_ && count <= mpi::largest_piece) {
    device_.synchronize();
    return mpi_->all_gather(send, receive, count, type);
  }
  const auto ranks = static_cast<std::size_t>(size());
  in_pieces(count, type, ranks, [&](std::size_t first, std::size_t piece) {
    fetch(send, 1, count, first, piece, size_of(type));
    mpi_->all_gather(staging_->send->data(), staging_->receive->data(), piece, type);
    deliver(receive, ranks, count, first, piece, size_of(type));
  });
}

void MpiDeviceCollective::all_to_all(const void* send, void* receive, std::size_t count, DataType type) {
  if (takes_pointers_) {
    device_.synchronize();
    return mpi_->all_to_all(send, receive, count, type);
  }
  const auto ranks = static_cast<std::size_t>(size());
  in_pieces(count, type, ranks, [&](std::size_t first, std::size_t piece) {
    fetch(send, ranks, count, first, piece, size_of(type));
    mpi_->all_to_all(staging_->send->data(), staging_->receive->data(), piece, type);
    deliver(receive, ranks, count, first, piece, size_of(type));
  });
}

void MpiDeviceCollective::broadcast(void* data, std::size_t count, DataType type, int root) {
  if (takes_pointers_) {
    device_.synchronize();
    return mpi_->broadcast(data, count, type, root);
  }
  const std::size_t size = size_of(type);
  in_pieces(count, type, 1, [&](std::size_t first, std::size_t piece) {
    auto* const here = static_cast<std::byte*>(data) + first * size;
    void* const host = staging_->send->data();
    if (rank() == root) device_.copy_to_host(host, here, piece * size);
    mpi_->broadcast(host, piece, type, root);
    if (rank() != root) device_.copy_to_device(here, host, piece * size);
  });
}

void MpiDeviceCollective::send_recv(const void* send, int to, void* receive, int from, std::size_t count,
                                    DataType type) {
  if (takes_pointers_) {
    device_.synchronize();
    return mpi_->send_recv(send, to, receive, from, count, type);
  }
  in_pieces(count, type, 1, [&](std::size_t first, std::size_t piece) {
    if (to != nobody) fetch(send, 1, count, first, piece, size_of(type));
    mpi_->send_recv(staging_->send->data(), to, staging_->receive->data(), from, piece, type);
    if (from != nobody) deliver(receive, 1, count, first, piece, size_of(type));
  });
}

void MpiDeviceCollective::barrier() {
  device_.synchronize();
  mpi_->barrier();
}

std::unique_ptr<Collective> MpiDeviceCollective::split(int color) {
  return std::unique_ptr<Collective>(new MpiDeviceCollective(mpi_->split(color), device_, takes_pointers_, staging_));
}

}  // namespace rackproof
