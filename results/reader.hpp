// Reads a result file, finished or not. Believes nothing that the file says before it has checked it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "results/run_header.hpp"

namespace rackproof::results {

/// What ranks [first_rank, first_rank + samples.size()) measured of a case.
struct RankTimes {
  int first_rank = 0;
  int columns = 0;                        ///< the largest count among them
  std::span<const std::int32_t> samples;  ///< (ranks)
  std::span<const double> time;           ///< (ranks x columns) s, rank-major

  [[nodiscard]] std::span<const double> of(std::size_t row) const {
    return time.subspan(row * static_cast<std::size_t>(columns), static_cast<std::size_t>(samples[row]));
  }
};

class ResultFile {
 public:
  /// Opens NAME.h5, or NAME.h5.part while or after it is written, and reads the headers and the outcome of every
  /// case; samples are read on demand. Throws Error (usage, one line with the file's name) for anything that is
  /// not a whole result file of a schema that this version knows.
  explicit ResultFile(std::filesystem::path path);
  ResultFile(const ResultFile&) = delete;
  ResultFile& operator=(const ResultFile&) = delete;
  ResultFile(ResultFile&&) noexcept;
  ResultFile& operator=(ResultFile&&) noexcept;
  ~ResultFile();

  [[nodiscard]] const std::filesystem::path& path() const;
  [[nodiscard]] const RunHeader& header() const;
  /// True where the writer has not closed the file: it is being written, or its run broke off.
  [[nodiscard]] bool unfinished() const;
  /// Everything but figure_time and warmup_time, which are empty here. suite, which: positions in header().
  [[nodiscard]] const CaseOutcome& outcome(std::size_t suite, std::size_t which) const;

  /// A run that was interrupted may have gone on on other hosts: a placement is a set of ranks with their hosts and
  /// devices that measured some of the cases. header().ranks are those of the last launch. Nearly always 1.
  [[nodiscard]] std::size_t placements() const;
  /// Of a case that has not run: that of the last launch.
  [[nodiscard]] std::size_t placement_of(std::size_t suite, std::size_t which) const;
  /// The ranks that measured the case.
  [[nodiscard]] const std::vector<RankHeader>& ranks_of(std::size_t suite, std::size_t which) const;
  /// From here on the file is what one placement saw: header().ranks are its ranks, and the cases of the others have
  /// not run. For whoever puts figures to the account of hosts and devices.
  void narrow_to(std::size_t placement);
  /// After narrow_to().
  [[nodiscard]] std::optional<std::size_t> narrowed_to() const;

  /// Samples of ranks [first_rank, first_rank + ranks). columns is the largest count among them. Throws Error
  /// (usage) where the file is damaged there, or where a counted sample is no time: not between 1 ps and 1e6 s.
  [[nodiscard]] RankBlock block(std::size_t suite, std::size_t which, int first_rank, int ranks) const;
  /// As block(), but of single samples their flags alone: time, host_time, begin, switches, probe and steal are empty.
  [[nodiscard]] RankBlock checks(std::size_t suite, std::size_t which, int first_rank, int ranks) const;
  /// Calls `use` with the times of every rank, some ranks at a time, in no order: far less to read than block(), for
  /// what only wants times. Where there is much, calls come from several threads at once, each with other ranks. What
  /// the spans show is gone after the call. Throws what `use` throws, and as block().
  using UseTimes = std::function<void(const RankTimes&)>;
  void for_each_times(std::size_t suite, std::size_t which, const UseTimes& use) const;
  /// (R), 1 is the tolerance; NaN where nothing was checked. Throws as block().
  [[nodiscard]] std::vector<double> verify_errors(std::size_t suite, std::size_t which) const;
  /// s, one a sample of the case. Throws as block().
  [[nodiscard]] std::vector<double> figure_time(std::size_t suite, std::size_t which) const;
  /// s, one a step of the warm-up, the last schema::warmup_length of them.
  [[nodiscard]] std::vector<double> warmup_time(std::size_t suite, std::size_t which) const;
  /// What ranks [first_rank, first_rank + ranks) read; columns is the largest number of ticks among them. Nothing of
  /// them where header().telemetry is empty. Throws Error (usage) where the file is damaged there.
  [[nodiscard]] TelemetryBlock telemetry(int first_rank, int ranks) const;
  /// How many ranks to ask for at once, for bounded memory.
  [[nodiscard]] int ranks_per_block() const;

 private:
  struct State;
  [[nodiscard]] RankBlock read_block(std::size_t suite, std::size_t which, int first_rank, int ranks, bool whole) const;

  std::unique_ptr<State> state_;
};

/// Opens the files, each as often as it has placements, narrowed to one of them; as it is where it has one.
[[nodiscard]] std::vector<ResultFile> open_by_placement(std::span<const std::filesystem::path> paths);

}  // namespace rackproof::results
