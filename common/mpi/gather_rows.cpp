#include "common/mpi/gather_rows.hpp"

#include <algorithm>
#include <exception>

namespace rackproof::mpi {
namespace {

constexpr int row_tag = 71;

}  // namespace

RowGatherer::RowGatherer(const Communicator& world, int block)
    : world_(&world), block_(std::max(block, 1)), members_(world.split(world.rank() / block_, world.rank())) {}

void RowGatherer::gather(std::span<const double> row, const Consumer& consumer) const {
  std::vector<double> rows = members_.gather(row);
  const bool leads = members_.is_root();
  if (leads && !world_->is_root()) {
    // A row has at most a few thousand samples and a block 1024 ranks, so the count fits an int.
    check(MPI_Send(rows.data(), static_cast<int>(rows.size()), MPI_DOUBLE, 0, row_tag, world_->handle()), "MPI_Send");
  }
  if (!world_->is_root()) return;
  std::exception_ptr failure;
  for (int first = 0; first < world_->size(); first += block_) {
    const int ranks = std::min(block_, world_->size() - first);
    if (first > 0) {
      rows.resize(static_cast<std::size_t>(ranks) * row.size());
      check(MPI_Recv(rows.data(), static_cast<int>(rows.size()), MPI_DOUBLE, first, row_tag, world_->handle(),
                     MPI_STATUS_IGNORE),
            "MPI_Recv");
    }
    try {
      if (!failure) consumer(first, rows);
    } catch (...) {
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace rackproof::mpi
