#include "results/chunk_codec.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string>

#include "common/core/error.hpp"
#include "results/text_heap.hpp"

namespace rackproof::results {
namespace {

constexpr int quick_level = 1;   ///< level of deflate, the one that HDF5 is told as well
constexpr int stored_level = 0;  ///< level of deflate: as it is
/// Of a plane, tried to tell whether all of it is worth deflating: some rows of samples.
constexpr std::size_t trial_bytes = 2048;

Error zlib_error(const char* call, int code) { return {ExitCode::internal, "zlib", code, call, "compressing failed"}; }

void check_zlib(int code, const char* call) {
  if (code != Z_OK) throw zlib_error(call, code);
}

/// zlib's interface is older than const.
Bytef* zlib_bytes(std::span<const char> bytes) {
  return reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));  // NOLINT(cppcoreguidelines-pro-type-const-cast)
}

/// Rows become columns: byte k of word i and byte i of word k change places.
void transpose_bytes(std::array<std::uint64_t, 8>& words) {
  const auto exchange = [&words](std::size_t distance, unsigned shift, std::uint64_t mask) {
    for (std::size_t i = 0; i < words.size(); ++i) {
      if ((i & distance) != 0) continue;
      const std::uint64_t differing = ((words[i] >> shift) ^ words[i + distance]) & mask;
      words[i + distance] ^= differing;
      words[i] ^= differing << shift;
    }
  };
  exchange(4, 32, 0x00000000FFFFFFFFULL);
  exchange(2, 16, 0x0000FFFF0000FFFFULL);
  exchange(1, 8, 0x00FF00FF00FF00FFULL);
}

/// Eight elements of eight bytes at once, `load` from and `store` to where the caller has them; returns how many of
/// `elements` were done. The order of bytes in a word must be the file's.
template <typename Load, typename Store>
std::size_t by_eights(std::size_t elements, Load&& load, Store&& store) {
  static_assert(std::endian::native == std::endian::little);
  std::size_t i = 0;
  std::array<std::uint64_t, 8> words{};
  for (; i + words.size() <= elements; i += words.size()) {
    for (std::size_t k = 0; k < words.size(); ++k) std::memcpy(&words[k], load(i, k), sizeof words[k]);
    transpose_bytes(words);
    for (std::size_t k = 0; k < words.size(); ++k) std::memcpy(store(i, k), &words[k], sizeof words[k]);
  }
  return i;
}

}  // namespace

void shuffle(std::span<const char> from, std::size_t element, std::span<char> planes) {
  const std::size_t elements = from.size() / element;
  std::size_t done = 0;
  if (element == 8) {
    done = by_eights(
        elements, [&](std::size_t i, std::size_t k) { return from.data() + (i + k) * 8; },
        [&](std::size_t i, std::size_t k) { return planes.data() + k * elements + i; });
  }
  for (std::size_t b = 0; b < element; ++b) {
    for (std::size_t i = done; i < elements; ++i) planes[b * elements + i] = from[i * element + b];
  }
}

void unshuffle(std::span<const char> planes, std::size_t element, std::span<char> to) {
  const std::size_t elements = to.size() / element;
  std::size_t done = 0;
  if (element == 8) {
    done = by_eights(
        elements, [&](std::size_t i, std::size_t k) { return planes.data() + k * elements + i; },
        [&](std::size_t i, std::size_t k) { return to.data() + (i + k) * 8; });
  }
  for (std::size_t b = 0; b < element; ++b) {
    for (std::size_t i = done; i < elements; ++i) to[i * element + b] = planes[b * elements + i];
  }
}

ChunkPacker::ChunkPacker() {
  check_zlib(deflateInit(&stream_, quick_level), "deflateInit");
  // A small window: quick to prepare, and larger than what is tried.
  if (const int code = deflateInit2(&trial_, quick_level, Z_DEFLATED, -12, 4, Z_DEFAULT_STRATEGY); code != Z_OK) {
    deflateEnd(&stream_);
    throw zlib_error("deflateInit2", code);
  }
}

ChunkPacker::~ChunkPacker() {
  deflateEnd(&stream_);
  deflateEnd(&trial_);
}

std::size_t ChunkPacker::trial_size(std::span<const char> sample, int strategy) {
  check_zlib(deflateReset(&trial_), "deflateReset");
  check_zlib(deflateParams(&trial_, quick_level, strategy), "deflateParams");
  trial_out_.resize(2 * sample.size());
  trial_.next_in = zlib_bytes(sample);
  trial_.avail_in = static_cast<uInt>(sample.size());
  trial_.next_out = zlib_bytes(trial_out_);
  trial_.avail_out = static_cast<uInt>(trial_out_.size());
  if (const int code = deflate(&trial_, Z_FINISH); code != Z_STREAM_END) throw zlib_error("deflate", code);
  return trial_.total_out;
}

ChunkPacker::Way ChunkPacker::way_for(std::span<const char> plane) {
  constexpr Way look_for_all{quick_level, Z_DEFAULT_STRATEGY};
  constexpr Way look_for_runs{quick_level, Z_RLE};
  if (plane.size() <= 2 * trial_bytes) return look_for_all;
  const auto sample = plane.subspan((plane.size() - trial_bytes) / 2, trial_bytes);
  const std::size_t runs = trial_size(sample, Z_RLE);
  if (runs < trial_bytes / 16) return look_for_runs;
  const std::size_t all = trial_size(sample, Z_DEFAULT_STRATEGY);
  if (std::min(all, runs) > trial_bytes * 3 / 4) return {stored_level, Z_DEFAULT_STRATEGY};
  return all * 5 < runs * 4 ? look_for_all : look_for_runs;
}

std::vector<char> ChunkPacker::pack(std::span<const char> chunk, std::size_t element) {
  shuffled_.resize(chunk.size());
  shuffle(chunk, element, shuffled_);
  check_zlib(deflateReset(&stream_), "deflateReset");
  std::vector<char> packed(most_packed_bytes(chunk.size()));
  stream_.next_out = zlib_bytes(packed);
  stream_.avail_out = static_cast<uInt>(packed.size());
  const std::size_t plane_bytes = chunk.size() / element;
  for (std::size_t b = 0; b < element; ++b) {
    const auto plane = std::span<const char>(shuffled_).subspan(b * plane_bytes, plane_bytes);
    const Way way = way_for(plane);
    check_zlib(deflateParams(&stream_, way.level, way.strategy), "deflateParams");
    stream_.next_in = zlib_bytes(plane);
    stream_.avail_in = static_cast<uInt>(plane.size());
    check_zlib(deflate(&stream_, Z_NO_FLUSH), "deflate");
  }
  if (const int code = deflate(&stream_, Z_FINISH); code != Z_STREAM_END) throw zlib_error("deflate", code);
  packed.resize(stream_.total_out);
  return packed;
}

std::size_t most_packed_bytes(std::size_t bytes) { return bytes + bytes / 256 + 4096; }

void unpack_chunk(std::span<const char> packed, std::size_t element, std::span<char> chunk,
                  std::vector<char>& scratch) {
  scratch.resize(chunk.size());
  z_stream stream{};
  stream.next_in = zlib_bytes(packed);
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = zlib_bytes(scratch);
  stream.avail_out = static_cast<uInt>(scratch.size());
  if (const int code = inflateInit(&stream); code != Z_OK) throw zlib_error("inflateInit", code);
  const int code = inflate(&stream, Z_FINISH);
  const std::size_t got = stream.total_out;
  inflateEnd(&stream);
  if (code != Z_STREAM_END || got != chunk.size()) throw damage("a block of samples cannot be decompressed");
  unshuffle(scratch, element, chunk);
}

}  // namespace rackproof::results
