// Collectives of NCCL over the memory of GPUs, one a rank.
#pragma once

#include <nccl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "common/backends/collective.hpp"
#include "common/backends/cuda/cuda_device.hpp"
#include "common/backends/nccl/choices.hpp"
#include "common/backends/nccl/library.hpp"
#include "common/backends/nccl/watch.hpp"
#include "common/mpi/communicator.hpp"

namespace rackproof::nccl {

/// What a communicator shares with those that were split off it.
struct Session {
  /// Collective over `ranks`.
  Session(const mpi::Communicator& ranks, cuda::CudaDevice& device, const CollectiveOptions& options);
  std::unique_ptr<const Library> loaded;
  const Library& library;
  cuda::CudaDevice& device;
  int oldest_architecture;  ///< of all ranks' GPUs: 90 for compute capability 9.0
  Watch watch;
};

/// Everything is put into CudaDevice::stream(). Communicators block: those that do not start a thread for each group of
/// calls (NCCL 2.28, src/group.cc), which would be most of the time of a short message; what may hang is watched
/// instead (Watch).
class NcclCollective final : public Collective {
 public:
  /// Collective over `ranks`, each with a GPU of its own; the device must outlive it.
  NcclCollective(const mpi::Communicator& ranks, cuda::CudaDevice& device, const CollectiveOptions& options);
  ~NcclCollective() override;

  [[nodiscard]] int rank() const override { return ranks_.rank(); }
  [[nodiscard]] int size() const override { return ranks_.size(); }
  [[nodiscard]] const mpi::Communicator* ranks() const override { return &ranks_; }
  [[nodiscard]] std::string implementation() const override { return session_->library.name(); }
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
  [[nodiscard]] bool can_be_recorded() const override { return true; }
  [[nodiscard]] std::string refuses(DataType type, Reduction reduction) const override;
  [[nodiscard]] std::string choice() const override;
  [[nodiscard]] bool can_register() const override { return session_->library.can_register(); }
  [[nodiscard]] std::unique_ptr<Buffer> allocate_registered(std::size_t bytes) override;
  [[nodiscard]] std::unique_ptr<Collective> split(int color) override;

 private:
  NcclCollective(std::shared_ptr<Session> session, mpi::Communicator ranks);
  void connect();
  void adopt(ncclComm_t communicator);
  /// Notes what is asked for, makes the call and checks it.
  template <typename Action>
  void enqueue(const char* name, const char* call, std::size_t count, DataType type, Action action);
  [[nodiscard]] cudaStream_t stream() const { return session_->device.stream(); }
  [[nodiscard]] ncclRedOp_t operation(DataType type, Reduction reduction) const;

  std::shared_ptr<Session> session_;
  mpi::Communicator ranks_;
  std::unique_ptr<Choices> choices_;  // where the communicator's name points to
  ncclComm_t communicator_ = nullptr;
  Asked known_;              // whose algorithm is known, or was asked for
  std::uint64_t asked_ = 0;  // collectives so far
  int exceptions_;           // in flight when it was made
};

}  // namespace rackproof::nccl
