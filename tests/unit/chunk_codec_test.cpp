#include "results/chunk_codec.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "common/core/error.hpp"

namespace rackproof::results {
namespace {

/// `rows` of times of one rank each, with NaN behind the first `used` of them.
std::vector<char> times(std::size_t rows, std::size_t columns, std::size_t used) {
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal;
  std::vector<double> values(rows * columns, std::numeric_limits<double>::quiet_NaN());
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < used; ++c) values[r * columns + c] = 1e-3 * std::exp(0.01 * normal(random));
  }
  std::vector<char> bytes(values.size() * sizeof(double));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

std::vector<char> noise(std::size_t size) {
  std::mt19937_64 random(11);
  std::vector<char> bytes(size);
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

std::vector<char> packed_by(ChunkPacker& packer, const std::vector<char>& chunk, std::size_t element) {
  ByteBuffer buffer;
  packer.pack(chunk, element, buffer);
  return {buffer.bytes().begin(), buffer.bytes().end()};
}

std::vector<char> unpacked(const std::vector<char>& packed, std::size_t element, std::size_t size) {
  std::vector<char> chunk(size);
  std::vector<char> scratch;
  unpack_chunk(packed, element, chunk, scratch);
  return chunk;
}

TEST(ChunkCodec, gives_back_what_was_packed) {
  ChunkPacker packer;
  for (const std::size_t element : {1U, 2U, 4U, 8U}) {
    for (const std::size_t elements : {1U, 7U, 8U, 9U, 1000U, 60000U}) {
      const std::size_t size = element * elements;
      std::vector<char> stairs(size);
      for (std::size_t i = 0; i < size; ++i) stairs[i] = static_cast<char>(i / 300);
      for (const std::vector<char>& chunk : {noise(size), std::vector<char>(size, '\0'), stairs}) {
        EXPECT_EQ(unpacked(packed_by(packer, chunk, element), element, size), chunk) << element << " x " << elements;
      }
    }
  }
}

TEST(ChunkCodec, packs_what_any_zlib_and_any_shuffle_undo) {
  ChunkPacker packer;
  const std::vector<char> chunk = times(100, 128, 100);
  const std::vector<char> packed = packed_by(packer, chunk, 8);
  std::vector<char> planes(chunk.size());
  uLongf size = planes.size();
  ASSERT_EQ(uncompress(reinterpret_cast<Bytef*>(planes.data()), &size, reinterpret_cast<const Bytef*>(packed.data()),
                       packed.size()),
            Z_OK);
  ASSERT_EQ(size, chunk.size());
  const std::size_t elements = chunk.size() / 8;
  for (std::size_t i = 0; i < chunk.size(); ++i) ASSERT_EQ(planes[i % 8 * elements + i / 8], chunk[i]) << i;
}

TEST(ChunkCodec, unpacks_what_others_have_deflated) {
  const std::vector<char> chunk = times(64, 100, 100);
  std::vector<char> planes(chunk.size());
  shuffle(chunk, 8, planes);
  for (const int level : {1, 6, 9}) {
    std::vector<char> packed(compressBound(planes.size()));
    uLongf size = packed.size();
    ASSERT_EQ(compress2(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(planes.data()),
                        planes.size(), level),
              Z_OK);
    packed.resize(size);
    EXPECT_EQ(unpacked(packed, 8, chunk.size()), chunk);
  }
}

TEST(ChunkCodec, packs_nearly_as_small_as_deflate_alone) {
  ChunkPacker packer;
  for (const std::size_t used : {0U, 20U, 64U, 128U}) {
    const std::vector<char> chunk = times(1024, 128, used);
    std::vector<char> planes(chunk.size());
    shuffle(chunk, 8, planes);
    std::vector<char> plain(compressBound(planes.size()));
    uLongf size = plain.size();
    ASSERT_EQ(compress2(reinterpret_cast<Bytef*>(plain.data()), &size, reinterpret_cast<const Bytef*>(planes.data()),
                        planes.size(), 1),
              Z_OK);
    EXPECT_LT(static_cast<double>(packed_by(packer, chunk, 8).size()), 1.05 * static_cast<double>(size)) << used;
  }
}

TEST(ChunkCodec, never_packs_into_more_than_it_says) {
  ChunkPacker packer;
  for (const std::size_t size : {8U, 800U, 80000U, 8000000U}) {
    EXPECT_LE(packed_by(packer, noise(size), 8).size(), most_packed_bytes(size));
  }
}

TEST(ChunkCodec, refuses_streams_that_are_damaged_or_of_another_length) {
  ChunkPacker packer;
  const std::vector<char> chunk = times(64, 100, 100);
  const std::vector<char> packed = packed_by(packer, chunk, 8);
  const auto complaint = [&](const std::vector<char>& stream, std::size_t size) {
    try {
      static_cast<void>(unpacked(stream, 8, size));
    } catch (const Error& error) {
      EXPECT_EQ(static_cast<int>(error.exit_code()), static_cast<int>(ExitCode::usage));
      return std::string(error.what());
    }
    return std::string();
  };
  const auto refused = ::testing::HasSubstr("cannot be decompressed");
  EXPECT_EQ(complaint(packed, chunk.size()), "");
  EXPECT_THAT(complaint(packed, chunk.size() - 8), refused) << "more than there is room for";
  EXPECT_THAT(complaint(packed, chunk.size() + 8), refused) << "less than there should be";
  EXPECT_THAT(complaint({}, chunk.size()), refused);
  EXPECT_THAT(complaint(noise(packed.size()), chunk.size()), refused);
  std::vector<char> cut = packed;
  cut.resize(packed.size() / 2);
  EXPECT_THAT(complaint(cut, chunk.size()), refused);
  std::vector<char> flipped = packed;
  flipped[packed.size() / 2] = static_cast<char>(flipped[packed.size() / 2] ^ 1);
  EXPECT_THAT(complaint(flipped, chunk.size()), refused) << "the checksum tells";
}

}  // namespace
}  // namespace rackproof::results
