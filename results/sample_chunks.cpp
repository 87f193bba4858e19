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

}  // namespace

std::vector<PackedChunk> SamplePacker::pack(const RankBlock& block, bool with_empty) {
  std::vector<PackedChunk> packed;
  std::vector<std::function<std::vector<char>(Worker&)>> work;
  std::size_t bytes = 0;
  const auto add = [&]<typename T>(const char* column, const std::vector<T>& values) {
    if (values.empty()) return;
    bytes += values.size() * sizeof(T);
    for (std::size_t first = 0; first < static_cast<std::size_t>(block.columns); first += shape_.samples) {
      packed.push_back({column, first, {}});
      work.emplace_back([this, &block, &values, first, with_empty](Worker& worker) {
        const bool some = fill_chunk(block, values, shape_, first, worker.chunk);
        return some || with_empty ? worker.packer.pack(worker.chunk, sizeof(T)) : std::vector<char>{};
      });
    }
  };
  add(schema::time, block.time);
  add(schema::host_time, block.host_time);
  add(schema::begin, block.begin);
  add(schema::flags, block.flags);
  add(schema::switches, block.switches);
  add(schema::probe, block.probe);
  add(schema::steal, block.steal);

  const int threads = bytes < sample_bytes_worth_threads ? 1 : std::min(usable_cores(), most_packing_threads);
  while (workers_.size() < static_cast<std::size_t>(threads)) workers_.push_back(std::make_unique<Worker>());
  in_parallel(work.size(), threads,
              [&](std::size_t i, std::size_t thread) { packed[i].bytes = work[i](*workers_[thread]); });
  std::erase_if(packed, [](const PackedChunk& chunk) { return chunk.bytes.empty(); });
  return packed;
}

}  // namespace rackproof::results
