#include "results/rank_times.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <mutex>
#include <optional>
#include <vector>

#include "common/core/parallel.hpp"
#include "results/chunk_codec.hpp"
#include "results/hdf5.hpp"
#include "results/text_heap.hpp"

namespace rackproof::results {
namespace {

using hdf5::check;
using hdf5::Handle;
using hdf5::own;

/// Of the times of one chunk of ranks, all samples: twice what the writer makes. What is larger is read in the plain
/// way, a few ranks at a time.
constexpr hsize_t most_bytes_at_once = hsize_t{16} << 20;
/// Below this, further threads take longer to start than they save.
constexpr std::size_t bytes_worth_threads = std::size_t{4} << 20;
constexpr int most_threads = 8;

/// How a dataset is cut into chunks (1, ranks, samples).
struct TimeGrid {
  hsize_t ranks;
  hsize_t samples;
  [[nodiscard]] std::size_t bytes() const { return static_cast<std::size_t>(ranks * samples) * sizeof(double); }
};

/// Shuffle, then deflate, and nothing else.
bool has_our_filters(const Handle& creation) {
  static constexpr std::array<H5Z_filter_t, 2> wanted{H5Z_FILTER_SHUFFLE, H5Z_FILTER_DEFLATE};
  if (H5Pget_nfilters(creation.get()) != static_cast<int>(wanted.size())) return false;
  for (unsigned i = 0; i < wanted.size(); ++i) {
    unsigned flags = 0;
    std::array<unsigned, 1> value{};
    std::size_t values = value.size();
    const H5Z_filter_t filter = H5Pget_filter2(creation.get(), i, &flags, &values, value.data(), 0, nullptr, nullptr);
    if (filter != wanted[i]) return false;
    if (filter == H5Z_FILTER_SHUFFLE && (values != 1 || value[0] != sizeof(double))) return false;
  }
  return true;
}

/// Empty where the dataset is not stored as the writer does.
std::optional<TimeGrid> grid_of(hid_t dataset) {
  const Handle type = own(H5Dget_type(dataset), H5Tclose, "H5Dget_type");
  const Handle creation = own(H5Dget_create_plist(dataset), H5Pclose, "H5Dget_create_plist");
  const Handle space = own(H5Dget_space(dataset), H5Sclose, "H5Dget_space");
  if (std::endian::native != std::endian::little || H5Tequal(type.get(), H5T_IEEE_F64LE) <= 0 ||
      H5Pget_layout(creation.get()) != H5D_CHUNKED || H5Sget_simple_extent_ndims(space.get()) != 3 ||
      !has_our_filters(creation)) {
    return std::nullopt;
  }
  std::array<hsize_t, 3> chunk{};
  std::array<hsize_t, 3> extents{};
  if (H5Pget_chunk(creation.get(), 3, chunk.data()) != 3 || chunk[0] != 1 || chunk[1] == 0 || chunk[2] == 0) {
    return std::nullopt;
  }
  check(H5Sget_simple_extent_dims(space.get(), extents.data(), nullptr), "H5Sget_simple_extent_dims");
  // Whole chunks are unpacked, so that their room counts and not only what is used of it.
  const hsize_t most_values = most_bytes_at_once / sizeof(double);
  const hsize_t columns = (extents[2] + chunk[2] - 1) / chunk[2] * chunk[2];
  if (chunk[1] > most_values || columns > most_values || columns * chunk[1] > most_values) return std::nullopt;
  return TimeGrid{chunk[1], chunk[2]};
}

/// The memory of one thread.
struct TimeBuffers {
  std::vector<char> packed;
  std::vector<char> scratch;
  std::vector<char> chunk;
  std::vector<double> rows;
};

class ChunkTimes {
 public:
  ChunkTimes(hid_t dataset, std::size_t which, TimeGrid grid, std::span<const std::int32_t> samples,
             const PlainTimes& plain)
      : dataset_(dataset), which_(which), grid_(grid), samples_(samples), plain_(plain) {}

  [[nodiscard]] std::size_t blocks() const { return (samples_.size() + grid_.ranks - 1) / grid_.ranks; }

  /// Called by several threads at once, each with buffers of its own and another `block`.
  void read(std::size_t block, TimeBuffers& buffers, const ResultFile::UseTimes& use) {
    RankTimes times;
    const std::size_t first = block * grid_.ranks;
    times.first_rank = static_cast<int>(first);
    times.samples = samples_.subspan(first, std::min<std::size_t>(grid_.ranks, samples_.size() - first));
    times.columns = *std::max_element(times.samples.begin(), times.samples.end());
    if (times.columns > 0 && !gather(first, times, buffers)) {
      const std::lock_guard lock(reading_);
      buffers.rows = plain_(times.first_rank, static_cast<int>(times.samples.size()), times.columns);
    }
    times.time =
        std::span<const double>(buffers.rows).first(times.samples.size() * static_cast<std::size_t>(times.columns));
    use(times);
  }

 private:
  /// Rows of samples, out of one chunk or several. False where one of them must be read in the plain way.
  bool gather(std::size_t first, const RankTimes& times, TimeBuffers& buffers) {
    const auto columns = static_cast<std::size_t>(times.columns);
    const auto width = static_cast<std::size_t>(grid_.samples);
    buffers.rows.resize(times.samples.size() * columns);
    buffers.chunk.resize(grid_.bytes());
    for (std::size_t at = 0; at < columns; at += width) {
      if (!fetch({which_, first, at}, buffers.packed)) return false;
      unpack_chunk(buffers.packed, sizeof(double), buffers.chunk, buffers.scratch);
      const std::size_t used = std::min(width, columns - at);
      for (std::size_t row = 0; row < times.samples.size(); ++row) {
        std::memcpy(buffers.rows.data() + row * columns + at, buffers.chunk.data() + row * width * sizeof(double),
                    used * sizeof(double));
      }
    }
    return true;
  }

  /// The bytes of a chunk as they are in the file. False where there are none, or where filters were left out.
  bool fetch(const std::array<hsize_t, 3>& offset, std::vector<char>& packed) {
    const std::lock_guard lock(reading_);
    hdf5::prepare_library();  // whether HDF5 prints its errors is a matter of each thread
    hsize_t size = 0;
    if (H5Dget_chunk_storage_size(dataset_, offset.data(), &size) < 0) {
      H5Eclear2(H5E_DEFAULT);
      return false;
    }
    if (size == 0) return false;
    if (size > most_packed_bytes(grid_.bytes())) throw damage("a block of samples has an absurd size");
    packed.resize(static_cast<std::size_t>(size));
    // HDF5 remembers the last chunk that it was asked for: the size is that of the call before.
    std::uint32_t skipped_filters = 0;
    check(H5Dread_chunk(dataset_, H5P_DEFAULT, offset.data(), &skipped_filters, packed.data()), "H5Dread_chunk");
    return skipped_filters == 0;
  }

  hid_t dataset_;
  std::size_t which_;
  TimeGrid grid_;
  std::span<const std::int32_t> samples_;
  const PlainTimes& plain_;
  std::mutex reading_;
};

}  // namespace

bool read_times_by_chunk(hid_t dataset, std::size_t which, std::span<const std::int32_t> samples,
                         const ResultFile::UseTimes& use, const PlainTimes& plain) {
  const std::optional<TimeGrid> grid = grid_of(dataset);
  if (!grid || samples.empty()) return false;
  ChunkTimes times(dataset, which, *grid, samples, plain);
  const std::size_t bytes = times.blocks() * grid->bytes();
  const int threads = bytes < bytes_worth_threads ? 1 : std::min(usable_cores(), most_threads);
  std::vector<TimeBuffers> buffers(static_cast<std::size_t>(threads));
  in_parallel(times.blocks(), threads,
              [&](std::size_t block, std::size_t thread) { times.read(block, buffers[thread], use); });
  return true;
}

}  // namespace rackproof::results
