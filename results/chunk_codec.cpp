#include "results/chunk_codec.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>

#include "common/core/error.hpp"
#include "results/text_heap.hpp"

namespace rackproof::results {
namespace {

constexpr int quick_level = 1;  ///< level of deflate, the one that HDF5 is told as well
/// Of a plane, looked at to tell whether all of it is worth deflating: some rows of samples.
constexpr std::size_t looked_at_bytes = 2048;
/// Planes that stay larger than this share of themselves are stored: to deflate them takes longer than a disk takes to
/// write what that would save.
constexpr double worth_deflating = 0.6;
/// Shorter planes are stored: deflate's own headers would be most of them.
constexpr std::size_t least_plane_bytes = 64;
constexpr std::size_t most_stored_bytes = 65535;  ///< in a block of deflate
/// zlib stream (RFC 1950): deflate with a window of 32 KiB, quickest way. It ends with a last block, empty, and
/// Adler-32.
constexpr std::array<char, 2> stream_begin{0x78, 0x01};
constexpr std::array<char, 5> last_block{1, 0, 0, '\xff', '\xff'};

Error zlib_error(const char* call, int code) { return {ExitCode::internal, "zlib", code, call, "compressing failed"}; }

void check_zlib(int code, const char* call) {
  if (code != Z_OK) throw zlib_error(call, code);
}

/// zlib's interface is older than const.
Bytef* zlib_bytes(std::span<const char> bytes) {
  return reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));  // NOLINT(cppcoreguidelines-pro-type-const-cast)
}

/// Sixteen bytes in a register of whatever machine; GCC and Clang have the instructions.
using Sixteen [[gnu::vector_size(16)]] = unsigned char;

/// Of 16 * count bytes: byte i goes to place 2 i, those of the second half to the places between: what the number of a
/// place has as its highest bit becomes its lowest.
template <std::size_t count>
void interleave_halves(std::array<Sixteen, count>& bytes) {
  std::array<Sixteen, count> out{};
  for (std::size_t i = 0; i < count / 2; ++i) {
    const Sixteen one = bytes[i];
    const Sixteen other = bytes[i + count / 2];
    out[2 * i] = __builtin_shufflevector(one, other, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    out[2 * i + 1] = __builtin_shufflevector(one, other, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  }
  bytes = out;
}

/// Sixteen elements at once; returns how many of `elements` were done. The place of a byte is, in bits, eeeebbb (which
/// element, which byte of it), and becomes bbbeeee.
template <std::size_t element>
std::size_t shuffle_sixteens(const char* from, std::size_t elements, char* planes) {
  std::size_t i = 0;
  std::array<Sixteen, element> bytes{};
  for (; i + 16 <= elements; i += 16) {
    std::memcpy(bytes.data(), from + i * element, sizeof bytes);
    for (int bit = 0; bit < 4; ++bit) interleave_halves(bytes);
    for (std::size_t b = 0; b < element; ++b) std::memcpy(planes + b * elements + i, &bytes[b], sizeof bytes[b]);
  }
  return i;
}

/// The other way.
template <std::size_t element>
std::size_t unshuffle_sixteens(const char* planes, std::size_t elements, char* to) {
  std::size_t i = 0;
  std::array<Sixteen, element> bytes{};
  for (; i + 16 <= elements; i += 16) {
    for (std::size_t b = 0; b < element; ++b) std::memcpy(&bytes[b], planes + b * elements + i, sizeof bytes[b]);
    for (std::size_t bit = 1; bit < element; bit *= 2) interleave_halves(bytes);
    std::memcpy(to + i * element, bytes.data(), sizeof bytes);
  }
  return i;
}

/// What a part of a plane is like.
struct Look {
  double entropy = 0.0;  ///< of its bytes: bits a byte
  double runs = 0.0;     ///< share of bytes that are unlike the one before
  double fresh = 0.0;    ///< share of bytes at which no four bytes begin that were there before
};

double entropy_of(std::span<const char> part) {
  std::array<int, 256> counts{};
  for (const char c : part) ++counts[static_cast<unsigned char>(c)];
  double sum = 0.0;
  for (const int count : counts) {
    if (count > 0) sum += count * std::log2(count);
  }
  const auto size = static_cast<double>(part.size());
  return std::log2(size) - sum / size;
}

Look look_at(std::span<const char> part) {
  Look look;
  look.entropy = entropy_of(part);
  std::size_t runs = 1;
  std::size_t fresh = 0;
  std::array<std::uint16_t, 1024> last_place{};
  for (std::size_t i = 1; i + sizeof(std::uint32_t) <= part.size(); ++i) {
    runs += part[i] != part[i - 1] ? 1U : 0U;
    std::uint32_t word = 0;
    std::memcpy(&word, part.data() + i, sizeof word);
    std::uint16_t& place = last_place[(word * 2654435761U) >> 22U];  // Knuth's multiplicative hash
    fresh += std::memcmp(part.data() + place, &word, sizeof word) != 0 ? 1U : 0U;
    place = static_cast<std::uint16_t>(i);
  }
  look.runs = static_cast<double>(runs) / static_cast<double>(part.size());
  look.fresh = static_cast<double>(fresh) / static_cast<double>(part.size());
  return look;
}

/// zlib's strategy for a plane; none: not worth it.
std::optional<int> strategy_for(std::span<const char> plane) {
  const std::size_t size = std::min(plane.size(), looked_at_bytes);
  const Look look = look_at(plane.subspan((plane.size() - size) / 2, size));
  if (look.runs < 1.0 / 16.0) return Z_RLE;
  const double by_bytes = look.entropy / 8.0;
  if (std::min(by_bytes, look.fresh) > worth_deflating) return std::nullopt;
  // To look for repetitions takes longer, and of few different bytes finds short ones: it has to gain something.
  return by_bytes > 0.25 && look.fresh < 0.8 * by_bytes ? Z_DEFAULT_STRATEGY : look.runs < 0.6 ? Z_RLE : Z_HUFFMAN_ONLY;
}

bool is_constant(std::span<const char> plane) {
  return std::memcmp(plane.data(), plane.data() + 1, plane.size() - 1) == 0;
}

/// Blocks of the type "no compression".
void append_stored(std::span<const char> bytes, ByteBuffer& packed) {
  while (!bytes.empty()) {
    const std::size_t size = std::min(bytes.size(), most_stored_bytes);
    const auto low = static_cast<char>(size & 0xffU);
    const auto high = static_cast<char>(size >> 8U);
    packed.append(std::array<char, 5>{0, low, high, static_cast<char>(~low), static_cast<char>(~high)});
    packed.append(bytes.first(size));
    bytes = bytes.subspan(size);
  }
}

}  // namespace

void shuffle(std::span<const char> from, std::size_t element, std::span<char> planes) {
  const std::size_t elements = from.size() / element;
  std::size_t done = 0;
  if (element == 8) done = shuffle_sixteens<8>(from.data(), elements, planes.data());
  if (element == 4) done = shuffle_sixteens<4>(from.data(), elements, planes.data());
  if (element == 2) done = shuffle_sixteens<2>(from.data(), elements, planes.data());
  for (std::size_t b = 0; b < element; ++b) {
    for (std::size_t i = done; i < elements; ++i) planes[b * elements + i] = from[i * element + b];
  }
}

void unshuffle(std::span<const char> planes, std::size_t element, std::span<char> to) {
  const std::size_t elements = to.size() / element;
  std::size_t done = 0;
  if (element == 8) done = unshuffle_sixteens<8>(planes.data(), elements, to.data());
  for (std::size_t b = 0; b < element; ++b) {
    for (std::size_t i = done; i < elements; ++i) to[i * element + b] = planes[b * elements + i];
  }
}

void ByteBuffer::reserve(std::size_t bytes) {
  size_ = 0;
  if (bytes <= capacity_) return;
  memory_ = std::make_unique_for_overwrite<char[]>(bytes);  // NOLINT(*-avoid-c-arrays)
  capacity_ = bytes;
}

void ByteBuffer::append(std::span<const char> bytes) noexcept {
  std::memcpy(memory_.get() + size_, bytes.data(), bytes.size());
  size_ += bytes.size();
}

ChunkPacker::ChunkPacker() {
  // Without zlib's own frame: the pieces are put together here.
  check_zlib(deflateInit2(&stream_, quick_level, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), "deflateInit2");
}

ChunkPacker::~ChunkPacker() { deflateEnd(&stream_); }

bool ChunkPacker::append_deflated(std::span<const char> plane, int strategy, ByteBuffer& packed) {
  check_zlib(deflateReset(&stream_), "deflateReset");
  check_zlib(deflateParams(&stream_, quick_level, strategy), "deflateParams");
  const std::span<char> room = packed.room().first(std::min(packed.room().size(), plane.size()));
  stream_.next_in = zlib_bytes(plane);
  stream_.avail_in = static_cast<uInt>(plane.size());
  stream_.next_out = zlib_bytes(room);
  stream_.avail_out = static_cast<uInt>(room.size());
  // Ends at a whole byte, and not with a last block.
  if (const int code = deflate(&stream_, Z_SYNC_FLUSH); code != Z_OK && code != Z_BUF_ERROR) {
    throw zlib_error("deflate", code);
  }
  // With room left, all of it has been written.
  if (stream_.avail_in > 0 || stream_.avail_out == 0) return false;
  packed.grow(room.size() - stream_.avail_out);
  return true;
}

const ChunkPacker::Constant& ChunkPacker::constant(std::span<const char> plane) {
  if (plane.size() != constant_bytes_) {
    constants_.clear();
    constant_bytes_ = plane.size();
  }
  const auto [known, is_new] = constants_.try_emplace(plane.front());
  if (is_new) {
    ByteBuffer buffer;
    buffer.reserve(plane.size());
    if (!append_deflated(plane, Z_RLE, buffer)) throw zlib_error("deflate", Z_BUF_ERROR);
    known->second.deflated.assign(buffer.bytes().begin(), buffer.bytes().end());
    known->second.checksum = adler32_z(adler32_z(0, nullptr, 0), zlib_bytes(plane), plane.size());
  }
  return known->second;
}

void ChunkPacker::pack(std::span<const char> chunk, std::size_t element, ByteBuffer& packed) {
  shuffled_.reserve(chunk.size());
  const std::span<char> planes = shuffled_.room().first(chunk.size());
  shuffle(chunk, element, planes);
  packed.reserve(most_packed_bytes(chunk.size()));
  packed.append(stream_begin);
  const std::size_t plane_bytes = chunk.size() / element;
  unsigned long checksum = adler32_z(0, nullptr, 0);
  for (std::size_t b = 0; b < element; ++b) {
    const std::span<const char> plane = planes.subspan(b * plane_bytes, plane_bytes);
    const bool is_long = plane.size() >= least_plane_bytes;
    if (is_long && is_constant(plane)) {
      const Constant& known = constant(plane);
      packed.append(known.deflated);
      checksum = adler32_combine(checksum, known.checksum, static_cast<z_off_t>(plane.size()));
      continue;
    }
    checksum = adler32_z(checksum, zlib_bytes(plane), plane.size());
    const std::optional<int> strategy = is_long ? strategy_for(plane) : std::nullopt;
    if (!strategy || !append_deflated(plane, *strategy, packed)) append_stored(plane, packed);
  }
  packed.append(last_block);
  for (const unsigned shift : {24U, 16U, 8U, 0U}) {
    packed.append(std::array<char, 1>{static_cast<char>((checksum >> shift) & 0xffU)});
  }
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
