// What HDF5's filters "shuffle" and "deflate" do to a chunk, done here: HDF5 does it in one thread, and spends most of
// it on the lower bytes of floating-point numbers, which nothing can compress. Internal to this folder.
//
// Shuffle: byte b of all elements together, for each b ("planes"). Deflate: a zlib stream (RFC 1950) of that.
#pragma once

#include <zlib.h>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace rackproof::results {

/// Packs chunks, one after the other. Each thread has its own.
class ChunkPacker {
 public:
  ChunkPacker();
  ChunkPacker(const ChunkPacker&) = delete;
  ChunkPacker& operator=(const ChunkPacker&) = delete;
  ~ChunkPacker();

  /// What a dataset with the filters shuffle and deflate stores of `chunk`, whose elements have `element` bytes. Planes
  /// that deflate would shrink by less than a quarter are stored as they are (RFC 1951, 3.2.4), and where runs of a
  /// byte are all that repeats, nothing else is looked for: several times quicker to write and to read. Throws Error
  /// (internal) where zlib fails.
  [[nodiscard]] std::vector<char> pack(std::span<const char> chunk, std::size_t element);

 private:
  /// How to deflate a plane: zlib's level and strategy.
  struct Way {
    int level;
    int strategy;
  };
  [[nodiscard]] Way way_for(std::span<const char> plane);
  [[nodiscard]] std::size_t trial_size(std::span<const char> sample, int strategy);

  z_stream stream_{};
  z_stream trial_{};  ///< its strategy is that of the last trial
  std::vector<char> shuffled_;
  std::vector<char> trial_out_;
};

/// The most bytes that a packed chunk of `bytes` may have; what is larger is not ours, or damaged.
[[nodiscard]] std::size_t most_packed_bytes(std::size_t bytes);

/// Undoes shuffle and deflate, by whomever they were done. `chunk` is filled, or damage() is thrown: where the stream
/// is damaged or gives another number of bytes. `scratch` is memory to work in, kept for the next call.
void unpack_chunk(std::span<const char> packed, std::size_t element, std::span<char> chunk, std::vector<char>& scratch);

/// Bytes of `elements` elements in planes, and back.
void shuffle(std::span<const char> from, std::size_t element, std::span<char> planes);
void unshuffle(std::span<const char> planes, std::size_t element, std::span<char> to);

}  // namespace rackproof::results
