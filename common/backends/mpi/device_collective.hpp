// Collectives of the MPI library over the memory of a device that is not the host.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "common/backends/collective.hpp"
#include "common/backends/device.hpp"
#include "common/backends/mpi/mpi_collective.hpp"

namespace rackproof {

/// True where the MPI library says that it takes pointers to the memory of NVIDIA GPUs.
[[nodiscard]] bool mpi_takes_cuda_pointers();

/// Where MPI takes device pointers, it gets them when the device is done with what was asked for before. Otherwise, and
/// for reductions of the types that MPI does not know (their operations are ours, and run on the host), messages go
/// through page-locked memory of the host, a piece at a time. Everything is complete on return.
class MpiDeviceCollective final : public Collective {
 public:
  /// Where messages wait on the host, each way: enough to amortise the call, little enough for every rank to have it.
  static constexpr std::size_t default_staging = std::size_t{8} << 20U;

  /// Collective over `ranks`; the device must outlive it. takes_pointers: mpi_takes_cuda_pointers(). staging: bytes,
  /// at least 8 a rank are taken.
  MpiDeviceCollective(const mpi::Communicator& ranks, Device& device, bool takes_pointers,
                      std::size_t staging = default_staging);

  [[nodiscard]] int rank() const override { return mpi_->rank(); }
  [[nodiscard]] int size() const override { return mpi_->size(); }
  [[nodiscard]] const mpi::Communicator* ranks() const override { return mpi_->ranks(); }
  /// "MPI: Open MPI v4.1.4, staged through pinned host memory"
  [[nodiscard]] std::string implementation() const override;
  void all_reduce(const void* send, void* receive, std::size_t count, DataType type,
                  Reduction reduction = Reduction::sum) override;
  void reduce(const void* send, void* receive, std::size_t count, DataType type, int root,
              Reduction reduction = Reduction::sum) override;
  void reduce_scatter(const void* send, void* receive, std::size_t count, DataType type,
                      Reduction reduction = Reduction::sum) override;
  void all_gather(const void* send, void* receive, std::size_t count, DataType type) override;
  void all_to_all(const void* send, void* receive, std::size_t count, DataType type) override;
  void broadcast(void* data, std::size_t count, DataType type, int root) override;
  void send_recv(const void* send, int to, void* receive, int from, std::size_t count, DataType type) override;
  void barrier() override;
  [[nodiscard]] std::unique_ptr<Collective> split(int color) override;

 private:
  struct Staging {
    std::unique_ptr<Buffer> send;
    std::unique_ptr<Buffer> receive;
  };
  /// Collective: a rank may lack the memory.
  [[nodiscard]] static std::shared_ptr<const Staging> make_staging(const mpi::Communicator& ranks, Device& device,
                                                                   std::size_t bytes);
  MpiDeviceCollective(std::unique_ptr<Collective> mpi, Device& device, bool takes_pointers,
                      std::shared_ptr<const Staging> staging);

  [[nodiscard]] bool is_direct(DataType type) const { return takes_pointers_ && !is_small_float(type); }
  /// Calls action(first, count) for pieces that the staging memory holds, of `blocks` blocks of `count` elements each.
  template <typename Action>
  void in_pieces(std::size_t count, DataType type, std::size_t blocks, Action action);
  /// Between `blocks` blocks of `count` elements on the device, of which a piece is meant, and the staging memory,
  /// where the pieces lie together.
  void fetch(const void* blocks_at, std::size_t blocks, std::size_t count, std::size_t first, std::size_t piece,
             std::size_t size);
  void deliver(void* blocks_at, std::size_t blocks, std::size_t count, std::size_t first, std::size_t piece,
               std::size_t size);

  std::unique_ptr<Collective> mpi_;
  Device& device_;
  bool takes_pointers_;
  std::shared_ptr<const Staging> staging_;
};

}  // namespace rackproof
