// Turns the NAME.h5.part of a run that broke off into a clean NAME.h5.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "results/reader.hpp"
#include "results/writer.hpp"

namespace rackproof::results {

struct RecoverOptions {
  /// Empty: `part` without its ".part" (and without the ".1" of a file that was moved aside).
  std::filesystem::path out{};
  bool force = false;  ///< replace `out` where it exists
};

struct RecoverReport {
  std::filesystem::path out;
  std::size_t finished = 0;          ///< cases that are in `out`
  std::size_t planned = 0;           ///< cases that the run had planned, without those that were skipped
  std::vector<std::string> damaged;  ///< names of cases that had finished but cannot be read any more
};

/// Copies everything that had finished; `part` itself is only read. Throws Error (usage) where `part` is no result
/// file, a run still writes it, no case in it has finished, or `out` exists; infrastructure where the disk is full.
RecoverReport recover(const std::filesystem::path& part, const RecoverOptions& options = {});

/// Position of a suite, and of a case in it.
using CasePosition = std::pair<std::size_t, std::size_t>;

/// Copies these cases, which have finished, into a file that has the same cases. Returns those that cannot be read any
/// more and are not copied. Throws Error (infrastructure) where the disk is full.
[[nodiscard]] std::vector<CasePosition> copy_cases(const ResultFile& from, Writer& to,
                                                   const std::vector<CasePosition>& finished);

/// One or two lines for the user: what was recovered, to where, and what is missing.
[[nodiscard]] std::string to_string(const RecoverReport& report);

}  // namespace rackproof::results
