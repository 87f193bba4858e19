// The samples of a block of ranks, cut into the chunks of their columns and packed, in several threads where there is
// much. Internal to this folder.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "results/chunk_codec.hpp"
#include "results/run_header.hpp"

namespace rackproof::results {

/// Chunks (1, ranks, samples) of the columns (C,R,S).
struct ChunkShape {
  std::size_t ranks = 1;
  std::size_t samples = 1;
};

struct PackedChunk {
  const char* column = nullptr;  ///< the dataset's name
  std::size_t first_sample = 0;
  std::vector<char> bytes;
};

/// Memory to work in, kept from block to block.
class SamplePacker {
 public:
  explicit SamplePacker(ChunkShape shape) : shape_(shape) {}

  /// `block` must have at most shape.ranks ranks, and starts with a chunk. What lies behind a rank's own count, and
  /// behind the last rank, is filled as the columns are (NaN or 0). A chunk of nothing else is left out, unless
  /// `with_empty`: there it replaces an earlier one. In the order of columns and samples.
  [[nodiscard]] std::vector<PackedChunk> pack(const RankBlock& block, bool with_empty);

 private:
  struct Worker {
    ChunkPacker packer;
    std::vector<char> chunk;
  };
  ChunkShape shape_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace rackproof::results
