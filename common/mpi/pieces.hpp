// Collectives of any length: the counts and displacements of MPI 3.1 are int, so long ones go in pieces.
#pragma once

#include <mpi.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "common/mpi/communicator.hpp"

namespace rackproof::mpi {

/// The most elements that one MPI call is given.
inline constexpr std::size_t largest_piece = std::size_t{1} << 30U;

/// Calls action(offset, int count) for pieces of at most `limit` elements.
template <typename Action>
void in_pieces(std::size_t count, std::size_t limit, Action action) {
  for (std::size_t offset = 0; offset < count; offset += limit) {
    action(offset, static_cast<int>(std::min(limit, count - offset)));
  }
}

/// Every rank's row of values.size() elements on the root. A piece of every row at a time, so that neither a row nor
/// all of them together meet the limit of int.
template <typename T>
std::vector<T> gather_rows(std::span<const T> values, MPI_Datatype type, int root, const Communicator& ranks,
                           std::size_t limit) {
  const auto size = static_cast<std::size_t>(ranks.size());
  const bool here = ranks.rank() == root;
  const std::size_t row = values.size();
  const std::size_t piece = std::max<std::size_t>(1, std::min(row, limit / size));
  std::vector<T> rows(here ? size * row : 0);
  if (row <= piece) {
    check(MPI_Gather(values.data(), static_cast<int>(row), type, rows.data(), static_cast<int>(row), type, root,
                     ranks.handle()),
          "MPI_Gather");
    return rows;
  }
  std::vector<T> received(here ? size * piece : 0);
  for (std::size_t offset = 0; offset < row; offset += piece) {
    const std::size_t count = std::min(piece, row - offset);
    check(MPI_Gather(values.data() + offset, static_cast<int>(count), type, received.data(), static_cast<int>(count),
                     type, root, ranks.handle()),
          "MPI_Gather");
    for (std::size_t r = 0; here && r < size; ++r) {
      std::copy_n(received.data() + r * count, count, rows.data() + r * row + offset);
    }
  }
  return rows;
}

/// Every rank's text, in rank order, on the root, at most `limit` characters in one message. In a binomial tree, which
/// MPI_Gatherv is not where lengths differ (Open MPI's and MPICH's root hears from every rank by itself): the root
/// receives log2(ranks) times, and nobody but it holds more than half of the texts.
[[nodiscard]] std::vector<std::string> gather_texts(const std::string& text, int root, const Communicator& ranks,
                                                    std::size_t limit);

}  // namespace rackproof::mpi
