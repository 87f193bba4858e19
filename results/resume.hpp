// Goes on with a run that broke off: is it the same run, and what of it is there already?
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "results/reader.hpp"
#include "results/run_header.hpp"
#include "results/writer.hpp"

namespace rackproof::results {

/// The file that `name` (NAME.h5 or NAME.h5.part) stands for: NAME.h5.part where that is there, for a run that broke
/// off has more in it than what it set out from; else NAME.h5. Empty where neither is.
[[nodiscard]] std::filesystem::path find_to_resume(const std::filesystem::path& name);
/// NAME.h5 of NAME.h5.part; NAME.h5 of itself. Throws Error (usage) for another name.
[[nodiscard]] std::filesystem::path resumed_path(const std::filesystem::path& name);

/// Throws Error (usage) where another process writes the file.
void refuse_if_written(const std::filesystem::path& path);

/// Where the header that this launch would write differs from that of the file in what makes samples comparable: the
/// options, the cases, the ranks with their kinds of devices, the program and its libraries. Hosts may be others. One
/// line; empty where it does not. Left out is what differs from launch to launch, such as measured peak rates, and the
/// order of cases.
[[nodiscard]] std::string difference(const RunHeader& file, const RunHeader& now);

/// What is to be kept of a file: position of suite and case. Cases that were measured to their end; of a suite in
/// `whole`, whose cases build on one another, all or nothing.
struct KeptCase {
  std::size_t suite = 0;
  std::size_t which = 0;
  Status status = Status::not_run;
};
[[nodiscard]] std::vector<KeptCase> cases_to_keep(const ResultFile& file, const std::vector<std::string>& whole);

/// A case that broke off, and is not kept.
struct BrokenCase {
  std::string name;
  std::string message;
};
[[nodiscard]] std::vector<BrokenCase> broken_cases(const ResultFile& file);

/// The file's own header, with a word on the interruption and on this launch in its provenance, with the ranks of this
/// launch (those of the earlier ones, where they are others, go into provenance/resumed), and with what this launch
/// will write itself (telemetry). `interrupted`, `now`: ISO 8601.
[[nodiscard]] RunHeader resumed_header(const RunHeader& file, const RunHeader& now, const std::string& interrupted,
                                       std::size_t kept, const std::vector<BrokenCase>& broken = {});

/// The hosts of this launch that were none of the file's last one, each once; empty where all were.
[[nodiscard]] std::vector<std::string> new_hosts(const RunHeader& file, const RunHeader& now);

/// When a file was last written to, ISO 8601.
[[nodiscard]] std::string last_written(const std::filesystem::path& path);

}  // namespace rackproof::results
