// The samples of a block of ranks, cut into the chunks of their columns and packed, in several threads where there is
// much. Internal to this folder.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
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
  std::span<const char> bytes;
};

/// Memory to work in, kept from block to block.
class SamplePacker {
 public:
  explicit SamplePacker(ChunkShape shape) : shape_(shape) {}

  /// `block` must have at most shape.ranks ranks, and starts with a chunk. What lies behind a rank's own count, and
  /// behind the last rank, is filled as the columns are (NaN or 0). A chunk of nothing else is left out, unless
  /// `with_empty`: there it replaces an earlier one. Calls `take` in the calling thread, in the order of columns and
  /// samples, while other threads pack what follows; what it shows is gone after the call. Throws what `take` throws.
  void pack(const RankBlock& block, bool with_empty, const std::function<void(const PackedChunk&)>& take);

 private:
  struct Worker {
    ChunkPacker packer;
    std::vector<char> chunk;
  };
  struct Piece {
    PackedChunk chunk;
    std::function<bool(Worker&, ByteBuffer&)> pack;  ///< false: nothing but what the column is filled with
  };
  void add_pieces(const RankBlock& block, bool with_empty, std::vector<Piece>& pieces);

  ChunkShape shape_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<ByteBuffer> packed_;  ///< of each piece of a block
};

}  // namespace rackproof::results
