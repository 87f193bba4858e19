// Reads the times of all ranks of a case past HDF5's filters, in several threads where there is much. Internal to this
// folder; ResultFile::for_each_times() is what others call.
#pragma once

#include <hdf5.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "results/reader.hpp"

namespace rackproof::results {

/// Where the dataset (C,R,S) f8 is stored as the writer does, in chunks (1, r, s) of bounded size, shuffled and
/// deflated: calls `use` with the times of every rank of case `which` and returns true. Otherwise returns false, and
/// nothing was done. What cannot be read so, such as a chunk that was never written, is got from `plain`, which is
/// called by one thread at a time. `samples`: (R), each within [0, S]. Throws Error as ResultFile::block() does inside
/// of the reader: domain "hdf5" or "result file".
using PlainTimes = std::function<std::vector<double>(int first_rank, int ranks, int columns)>;
[[nodiscard]] bool read_times_by_chunk(hid_t dataset, std::size_t which, std::span<const std::int32_t> samples,
                                       const ResultFile::UseTimes& use, const PlainTimes& plain);

}  // namespace rackproof::results
