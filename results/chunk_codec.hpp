// What HDF5's filters "shuffle" and "deflate" do to a chunk, done here: HDF5 does it in one thread, and spends most of
// it on the lower bytes of floating-point numbers, which nothing can compress. Internal to this folder.
//
// Shuffle: byte b of all elements together, for each b ("planes"). Deflate: a zlib stream (RFC 1950) of that.
#pragma once

#include <zlib.h>

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <vector>

namespace rackproof::results {

/// Bytes of varying number in memory that is kept, and never cleared.
class ByteBuffer {
 public:
  void reserve(std::size_t bytes);  ///< what was in it is lost
  void clear() noexcept { size_ = 0; }
  /// There must be room for them.
  void append(std::span<const char> bytes) noexcept;
  [[nodiscard]] std::span<char> room() noexcept { return {memory_.get() + size_, capacity_ - size_}; }
  void grow(std::size_t bytes) noexcept { size_ += bytes; }  ///< that were written into room()
  [[nodiscard]] std::span<const char> bytes() const noexcept { return {memory_.get(), size_}; }

 private:
  std::unique_ptr<char[]> memory_;  // NOLINT(*-avoid-c-arrays): a vector would clear what it grows by
  std::size_t capacity_ = 0;
  std::size_t size_ = 0;
};

/// Packs chunks, one after the other. Each thread has its own.
class ChunkPacker {
 public:
  ChunkPacker();
  ChunkPacker(const ChunkPacker&) = delete;
  ChunkPacker& operator=(const ChunkPacker&) = delete;
  ~ChunkPacker();

  /// What a dataset with the filters shuffle and deflate stores of `chunk`, whose elements have `element` bytes: one
  /// zlib stream. Planes of one value are looked up; planes that deflate would shrink by less than 40 % are stored as
  /// they are (RFC 1951, 3.2.4); where runs of a byte or few of them are all there is, repetitions are not looked for.
  /// Several times quicker to write and to read than deflate's own way. Throws Error (internal) where zlib fails.
  void pack(std::span<const char> chunk, std::size_t element, ByteBuffer& packed);

 private:
  /// A plane of one value, deflated.
  struct Constant {
    std::vector<char> deflated;
    unsigned long checksum = 0;
  };
  /// False, and nothing was added, where that needs as many bytes as the plane.
  bool append_deflated(std::span<const char> plane, int strategy, ByteBuffer& packed);
  const Constant& constant(std::span<const char> plane);

  z_stream stream_{};
  ByteBuffer shuffled_;
  std::map<char, Constant> constants_;  ///< of planes of one size
  std::size_t constant_bytes_ = 0;      ///< that size
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
