// Brings every rank's samples to the root in bounded memory.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "common/mpi/communicator.hpp"

namespace rackproof::mpi {

/// Gathers rows of doubles, a block of ranks at a time: inside a block along MPI_Gather's tree to the block's first
/// rank, from there to the root. The root holds one block at once, whatever the number of ranks.
class RowGatherer {
 public:
  static constexpr int ranks_per_block = 1024;

  /// Collective. `world` must outlive the object. `block` is the number of ranks gathered at once.
  explicit RowGatherer(const Communicator& world, int block = ranks_per_block);

  /// Called on the root for each block, in rank order: rows of `rows` are those of ranks first_rank ..
  /// first_rank + rows.size() / row length - 1, rank-major.
  using Consumer = std::function<void(int first_rank, std::span<const double> rows)>;

  /// Collective. `row` has the same length on every rank. An exception of `consumer` is thrown on the root alone, after
  /// all blocks have been received.
  void gather(std::span<const double> row, const Consumer& consumer) const;

 private:
  const Communicator* world_;
  int block_;
  Communicator members_;
};

}  // namespace rackproof::mpi
