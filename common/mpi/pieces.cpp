#include "common/mpi/pieces.hpp"

#include <numeric>

namespace rackproof::mpi {

std::vector<std::string> gather_texts(const std::string& text, int root, const Communicator& ranks, std::size_t limit) {
  const auto size = static_cast<std::size_t>(ranks.size());
  const bool here = ranks.rank() == root;
  const std::vector<std::uint64_t> lengths = ranks.gather(static_cast<std::uint64_t>(text.size()), root);

  // Rounds of at most `quota` bytes a rank, so that the displacements on the root fit an int. One, nearly always.
  const std::size_t quota = std::max<std::size_t>(1, limit / size);
  auto longest = static_cast<std::int64_t>(here ? *std::max_element(lengths.begin(), lengths.end()) : std::uint64_t{0});
  ranks.broadcast({&longest, 1}, root);

  std::vector<std::string> texts(here ? size : 0);
  std::vector<int> counts(texts.size());
  std::vector<int> places(texts.size());
  std::string received;
  const auto piece_of = [quota](std::size_t length, std::size_t offset) {
    return offset >= length ? std::size_t{0} : std::min(quota, length - offset);
  };
  for (std::size_t offset = 0; offset < static_cast<std::size_t>(longest); offset += quota) {
    for (std::size_t r = 0; r < texts.size(); ++r) counts[r] = static_cast<int>(piece_of(lengths[r], offset));
    std::exclusive_scan(counts.begin(), counts.end(), places.begin(), 0);
    if (here) received.resize(static_cast<std::size_t>(places.back()) + static_cast<std::size_t>(counts.back()));
    const std::size_t mine = piece_of(text.size(), offset);
    check(MPI_Gatherv(text.data() + (mine > 0 ? offset : 0), static_cast<int>(mine), MPI_CHAR, received.data(),
                      counts.data(), places.data(), MPI_CHAR, root, ranks.handle()),
          "MPI_Gatherv");
    for (std::size_t r = 0; r < texts.size(); ++r) {
      texts[r].append(received, static_cast<std::size_t>(places[r]), static_cast<std::size_t>(counts[r]));
    }
  }
  return texts;
}

}  // namespace rackproof::mpi
