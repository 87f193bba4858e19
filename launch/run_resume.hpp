// `rackproof run --resume`: what a run that broke off has measured, and what is left to do.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/core/error.hpp"
#include "common/mpi/communicator.hpp"
#include "launch/run_options.hpp"
#include "results/reader.hpp"
#include "results/resume.hpp"
#include "results/run_header.hpp"
#include "results/writer.hpp"

namespace rackproof {

/// The statuses of the cases that an earlier launch has measured, by position of suite and row; the same on every rank.
using EarlierCases = std::map<std::pair<std::size_t, std::size_t>, results::Status>;

/// The run that FILE of --resume holds. Made on all ranks; what is read is read on rank 0.
class Resumption {
 public:
  /// Collective. Opens the file, where there is one: else this is a new run of that name. Takes the order of cases from
  /// it, and the name of the file to write, into `options`. Throws AgreedError (usage) where it is no sound file, or a
  /// run still writes it.
  Resumption(const mpi::Communicator& world, RunOptions& options);

  /// There is something to go on with.
  [[nodiscard]] bool goes_on() const noexcept { return goes_on_; }
  /// Rank 0 alone: the header to write, made from that of this launch. Throws Error (usage) where the file is of
  /// another command, another number of ranks or another kind of machine, with what differs. Other hosts are told
  /// on stderr.
  [[nodiscard]] results::RunHeader header(const results::RunHeader& now);
  /// For the writer of the new file: until it holds what is kept, the old one is the one to go on with.
  [[nodiscard]] static results::WriterOptions writer_options() {
    return {.force = true, .suffix = ".resuming", .discard_leftover = true};
  }
  /// Rank 0 alone: brings what is kept into the new file, which then takes the place of the unfinished old one.
  void copy_into(results::Writer& writer);
  /// Collective. What was copied.
  [[nodiscard]] EarlierCases earlier_cases(const mpi::Communicator& world) const;
  /// Where the file is closed and every case in it was measured there is nothing to do: fail where a check failed, else
  /// pass. The same on every rank.
  [[nodiscard]] std::optional<ExitCode> result_of_complete() const noexcept { return complete_; }

 private:
  void open(RunOptions& options);
  [[nodiscard]] std::optional<ExitCode> find_result() const;

  std::filesystem::path path_;
  bool goes_on_ = false;
  std::optional<ExitCode> complete_;
  std::optional<results::ResultFile> file_;  // rank 0 alone
  std::vector<results::KeptCase> kept_;
};

}  // namespace rackproof
