#include "results/sample_chunks.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <span>

#include "common/core/parallel.hpp"
#include "results/schema.hpp"

namespace rackproof::results {
namespace {

/// Below this, further threads take longer to start than they save.
constexpr std::size_t sample_bytes_worth_threads = std::size_t{1} << 20;
constexpr int most_packing_threads = 8;

template <typename T>
constexpr T fill_of = std::numeric_limits<T>::has_quiet_NaN ? std::numeric_limits<T>::quiet_NaN() : T{};

template <typename T>
bool is_fill(T value) {
  if constexpr (std::numeric_limits<T>::has_quiet_NaN) {
    return std::isnan(value);
  } else {
    return value == fill_of<T>;
  }
}

/// Puts samples [first, first + shape.samples) of all ranks of the block into `chunk`; returns whether there was any
/// but what the column is filled with.
template <typename T>
bool fill_chunk(const RankBlock& block, const std::vector<T>& values, ChunkShape shape, std::size_t first,
                std::vector<char>& chunk) {
  const auto columns = static_cast<std::size_t>(block.columns);
  const auto row_of = [&](std::size_t rank) {
    const std::size_t last = std::min(static_cast<std::size_t>(block.samples[rank]), first + shape.samples);
    return std::span<const T>(values).subspan(rank * columns + std::min(first, last), last - std::min(first, last));
  };
  bool some = false;
  for (std::size_t rank = 0; rank < block.samples.size() && !some; ++rank) {
    const auto row = row_of(rank);
    some = !std::all_of(row.begin(), row.end(), is_fill<T>);
  }
  const std::size_t row_bytes = shape.samples * sizeof(T);
  chunk.resize(shape.ranks * row_bytes);
  const std::vector<T> empty(shape.samples, fill_of<T>);
  for (std::size_t rank = 0; rank < shape.ranks; ++rank) {
    const auto row = rank < block.samples.size() ? row_of(rank) : std::span<const T>{};
    char* const out = chunk.data() + rank * row_bytes;
    if (!row.empty()) std::memcpy(out, row.data(), row.size_bytes());
    std::memcpy(out + row.size_bytes(), empty.data(), row_bytes - row.size_bytes());
  }
  return some;
}

/// True where the values of the block are a chunk as they are: every rank has as many samples as there is room for.
bool is_whole_chunk(const RankBlock& block, ChunkShape shape) {
  const auto room = static_cast<std::int32_t>(shape.samples);
  return block.columns == room && block.samples.size() == shape.ranks &&
         std::all_of(block.samples.begin(), block.samples.end(), [room](std::int32_t n) { return n == room; });
}

}  // namespace

void SamplePacker::add_pieces(const RankBlock& block, bool with_empty, std::vector<Piece>& pieces) {
  const bool is_whole = is_whole_chunk(block, shape_);
  const auto add = [&]<typename T>(const char* column, const std::vector<T>& values) {
    if (values.empty()) return;
    for (std::size_t first = 0; first < static_cast<std::size_t>(block.columns); first += shape_.samples) {
      pieces.push_back({{column, first, {}},
                        [this, &block, &values, first, with_empty, is_whole](Worker& worker, ByteBuffer& packed) {
                          if (is_whole) {
                            if (!with_empty && std::all_of(values.begin(), values.end(), is_fill<T>)) return false;
                            worker.packer.pack(
                                {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)}, sizeof(T),
                                packed);
                            return true;
                          }
                          const bool some = fill_chunk(block, values, shape_, first, worker.chunk);
                          if (some || with_empty) worker.packer.pack(worker.chunk, sizeof(T), packed);
                          return some || with_empty;
                        }});
    }
  };
  add(schema::time, block.time);
  add(schema::host_time, block.host_time);
  add(schema::begin, block.begin);
  add(schema::probe, block.probe);
  add(schema::steal, block.steal);
  add(schema::switches, block.switches);
  add(schema::flags, block.flags);
}

void SamplePacker::pack(const RankBlock& block, bool with_empty, const std::function<void(const PackedChunk&)>& take) {
  std::vector<Piece> pieces;
  add_pieces(block, with_empty, pieces);
  if (packed_.size() < pieces.size()) packed_.resize(pieces.size());
  const std::size_t bytes = block.time.size() * sizeof(double) * 2;  // times are about half of all
  const int threads = bytes < sample_bytes_worth_threads ? 1 : std::min(usable_cores(), most_packing_threads);
  while (workers_.size() < static_cast<std::size_t>(threads)) workers_.push_back(std::make_unique<Worker>());
  in_parallel_in_order(
      pieces.size(), threads,
      [&](std::size_t i, std::size_t thread) {
        packed_[i].clear();
        if (pieces[i].pack(*workers_[thread], packed_[i])) pieces[i].chunk.bytes = packed_[i].bytes();
      },
      [&](std::size_t i) {
        if (!pieces[i].chunk.bytes.empty()) take(pieces[i].chunk);
      });
}

}  // namespace rackproof::results
