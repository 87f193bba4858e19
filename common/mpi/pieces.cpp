#include "common/mpi/pieces.hpp"

#include <cstdint>
#include <numeric>

namespace rackproof::mpi {
namespace {

/// Of the two messages of gather_texts(); nothing else here sends from rank to rank on these communicators.
constexpr int tag_lengths = 7101;
constexpr int tag_texts = 7102;

/// What a rank and those below it in the tree have said, in the order of their places.
struct Said {
  std::vector<std::uint64_t> lengths;
  std::string texts;
};

void send(const Said& said, int to, MPI_Comm comm, std::size_t limit) {
  check(MPI_Send(said.lengths.data(), static_cast<int>(said.lengths.size()), MPI_UINT64_T, to, tag_lengths, comm),
        "MPI_Send");
  in_pieces(said.texts.size(), limit, [&](std::size_t offset, int count) {
    check(MPI_Send(said.texts.data() + offset, count, MPI_CHAR, to, tag_texts, comm), "MPI_Send");
  });
}

/// Appends what `ranks` ranks have said.
void receive(Said& said, int ranks, int from, MPI_Comm comm, std::size_t limit) {
  const std::size_t known = said.lengths.size();
  said.lengths.resize(known + static_cast<std::size_t>(ranks));
  check(MPI_Recv(said.lengths.data() + known, ranks, MPI_UINT64_T, from, tag_lengths, comm, MPI_STATUS_IGNORE),
        "MPI_Recv");
  const auto first = said.lengths.begin() + static_cast<std::ptrdiff_t>(known);
  const std::size_t bytes = std::accumulate(first, said.lengths.end(), std::uint64_t{0});
  const std::size_t begin = said.texts.size();
  said.texts.resize(begin + bytes);
  in_pieces(bytes, limit, [&](std::size_t offset, int count) {
    check(MPI_Recv(said.texts.data() + begin + offset, count, MPI_CHAR, from, tag_texts, comm, MPI_STATUS_IGNORE),
          "MPI_Recv");
  });
}

}  // namespace

std::vector<std::string> gather_texts(const std::string& text, int root, const Communicator& ranks, std::size_t limit) {
  const std::int64_t size = ranks.size();
  // Places count from the root, whose place is 0. The tree is binomial: the place's lowest bit tells when it hands on.
  const std::int64_t place = (ranks.rank() - root + size) % size;
  const auto rank_at = [&](std::int64_t where) { return static_cast<int>((where + root) % size); };
  Said said{{text.size()}, text};
  for (std::int64_t step = 1; step < size; step *= 2) {
    if (place % (2 * step) != 0) {
      send(said, rank_at(place - step), ranks.handle(), limit);
      return {};
    }
    const std::int64_t below = std::min(step, size - place - step);
    if (below > 0) receive(said, static_cast<int>(below), rank_at(place + step), ranks.handle(), limit);
  }
  std::vector<std::string> texts(static_cast<std::size_t>(size));
  std::size_t offset = 0;
  for (std::int64_t where = 0; where < size; ++where) {
    const std::size_t length = said.lengths[static_cast<std::size_t>(where)];
    texts[static_cast<std::size_t>(rank_at(where))] = said.texts.substr(offset, length);
    offset += length;
  }
  return texts;
}

}  // namespace rackproof::mpi
