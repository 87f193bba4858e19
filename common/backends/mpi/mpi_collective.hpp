// Collectives of the MPI library over host memory.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "common/backends/collective.hpp"
#include "common/backends/mpi/small_float_reductions.hpp"
#include "common/mpi/communicator.hpp"
#include "common/mpi/pieces.hpp"

namespace rackproof {

class MpiCollective final : public Collective {
 public:
  /// Collective over `ranks`: works on a communicator of its own, so that it never meets messages of the harness.
  /// largest_call: the most elements that one MPI call is given (its counts are int); longer vectors go in several.
  explicit MpiCollective(const mpi::Communicator& ranks, std::size_t largest_call = mpi::largest_piece);

  [[nodiscard]] int rank() const override { return ranks_.rank(); }
  [[nodiscard]] int size() const override { return ranks_.size(); }
  [[nodiscard]] const mpi::Communicator* ranks() const override { return &ranks_; }
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
  void barrier() override { ranks_.barrier(); }
  [[nodiscard]] std::unique_ptr<Collective> split(int color) override;

 private:
  [[nodiscard]] MPI_Op operation(DataType type, Reduction reduction) const;
  MpiCollective(mpi::Communicator ranks, std::shared_ptr<const SmallFloatReductions> small_floats,
                std::size_t largest_call);

  mpi::Communicator ranks_;
  std::shared_ptr<const SmallFloatReductions> small_floats_;
  std::size_t largest_call_;
};

}  // namespace rackproof
