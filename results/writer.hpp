// Writes one run into one HDF5 file such that killing the job at any moment loses at most the case in flight.
// One process writes (rank 0), one thread at a time. No MPI here.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "results/run_header.hpp"

namespace rackproof::results {

struct WriterOptions {
  bool force = false;  ///< replace an existing FILE.h5, at finish()
  /// What the name ends in until finish().
  std::string suffix = ".part";
  /// An unfinished file is worth nothing (recover(), whose source is still there): replaced where there is one, and
  /// removed where this one does not get finished.
  bool discard_leftover = false;
};

/// The run is written to PATH.part (PATH is "NAME.h5") and gets its name in finish().
class Writer {
 public:
  /// Creates PATH.part with the whole structure and every case's header, locks it, and enters SWMR write mode.
  /// An unfinished PATH.part of an earlier run is moved aside if it holds finished cases (see notices()), and
  /// replaced otherwise.
  /// Throws Error: usage where PATH exists (unless force), its folder is missing or not writable, or another run
  /// writes PATH.part right now; infrastructure where the disk is full; internal where the header makes no sense.
  Writer(std::filesystem::path path, const RunHeader& header, const WriterOptions& options = {});
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  /// Without finish(): as abandon().
  ~Writer();

  /// One line each, for the user: where an unfinished file of an earlier run went.
  [[nodiscard]] const std::vector<std::string>& notices() const;
  /// Where an unfinished file of an earlier run went that was in the way; empty: there was none.
  [[nodiscard]] const std::filesystem::path& moved_aside() const;
  /// How many ranks a block should hold, and start at a multiple of, so that no stored chunk is touched twice.
  [[nodiscard]] int ranks_per_block() const;

  /// Stores what ranks [block.first_rank, + block.ranks()) saw of case `which` of suite `suite` (positions in the
  /// header). In any order; a rank never delivered has 0 samples.
  /// Throws Error (infrastructure) where the disk is full: the writer is then spent, and only destroying it is left.
  void write_block(std::size_t suite, std::size_t which, const RankBlock& block);
  /// Ends the case, whose blocks have all been written. Once this has returned, the case survives the death of this
  /// process; the death of the machine costs this one case at most, for samples reach the disk before the status.
  /// To end a case again replaces its outcome.
  void finish_case(std::size_t suite, std::size_t which, const CaseOutcome& outcome);
  /// Stores what ranks [block.first_rank, + ranks) read beside the measuring so far, in place of what was stored
  /// before.
  void write_telemetry(const TelemetryBlock& block);
  /// The unfinished file is called `name` from now on, in place of what had that name, and stays if this process dies:
  /// for WriterOptions::discard_leftover, once it holds more than what it was made from. Throws Error (infrastructure).
  void take_name(const std::filesystem::path& name);
  /// Closes, syncs and renames PATH.part to PATH. Throws Error (infrastructure or usage); PATH.part then stays.
  void finish();
  /// Closes without renaming: PATH.part stays for `rackproof recover` if a case has finished, and is removed
  /// otherwise. Never throws.
  void abandon() noexcept;

  [[nodiscard]] const std::filesystem::path& path() const;       ///< NAME.h5
  [[nodiscard]] const std::filesystem::path& part_path() const;  ///< NAME.h5.part
  [[nodiscard]] std::size_t finished_cases() const;              ///< ended by finish_case(), skipped ones apart

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace rackproof::results
