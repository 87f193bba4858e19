#include "results/recover.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string_view>
#include <utility>

#include "common/core/error.hpp"
#include "results/part_file.hpp"
#include "results/reader.hpp"
#include "results/writer.hpp"

namespace rackproof::results {
namespace {

/// "x.h5.part" and "x.h5.part.2" -> "x.h5"; anything else: empty.
std::filesystem::path name_without_part(const std::filesystem::path& part) {
  std::string name = part.filename().string();
  static constexpr std::string_view suffix = ".part";
  const std::size_t digits = name.find_last_not_of("0123456789");
  if (digits != std::string::npos && digits + 1 < name.size() && name[digits] == '.') name.resize(digits);
  if (name.size() <= suffix.size() || !name.ends_with(suffix)) return {};
  name.resize(name.size() - suffix.size());
  return part.parent_path() / name;
}

/// Calls `use` with every block of samples; throws Error (usage) where one cannot be read.
template <typename Use>
void for_each_block(const ResultFile& from, std::size_t suite, std::size_t which, int step, Use&& use) {
  const auto ranks = static_cast<int>(from.header().ranks.size());
  for (int first = 0; first < ranks; first += step) {
    use(from.block(suite, which, first, std::min(step, ranks - first)));
  }
}

/// Copies one case; throws Error (usage) where it cannot be read to its end, and has then written nothing.
void copy_case(const ResultFile& from, Writer& to, std::size_t suite, std::size_t which) {
  CaseOutcome outcome = from.outcome(suite, which);
  outcome.figure_time = from.figure_time(suite, which);
  outcome.warmup_time = from.warmup_time(suite, which);
  const int step = to.ranks_per_block();
  for_each_block(from, suite, which, step, [](const RankBlock&) {});
  for_each_block(from, suite, which, step, [&](const RankBlock& block) { to.write_block(suite, which, block); });
  to.finish_case(suite, which, outcome);
}

/// Where it can be read: it is written after the last case.
void copy_telemetry(const ResultFile& from, Writer& to) {
  if (from.header().telemetry.empty()) return;
  const auto ranks = static_cast<int>(from.header().ranks.size());
  constexpr int step = 256;
  for (int first = 0; first < ranks; first += step) {
    TelemetryBlock block;
    try {
      block = from.telemetry(first, std::min(step, ranks - first));
    } catch (const Error& error) {
      if (error.exit_code() != ExitCode::usage) throw;
      continue;
    }
    to.write_telemetry(block);
  }
}

}  // namespace

std::vector<CasePosition> copy_cases(const ResultFile& from, Writer& to, const std::vector<CasePosition>& finished) {
  std::vector<CasePosition> damaged;
  for (const auto& [suite, which] : finished) {
    try {
      copy_case(from, to, suite, which);
    } catch (const Error& error) {
      if (error.exit_code() != ExitCode::usage) throw;
      damaged.emplace_back(suite, which);
    }
  }
  return damaged;
}

RecoverReport recover(const std::filesystem::path& part, const RecoverOptions& options) {
  RecoverReport report;
  report.out = options.out.empty() ? name_without_part(part) : options.out;
  if (report.out.empty()) {
    throw usage_error(
        fmt::format("{}: its name does not end in .part; name the file to write with --out", quoted(part)));
  }
  // Held to the end: a new run must not move the file away meanwhile.
  const LockedFile lock(part, LockedFile::Access::read);
  const ResultFile source(part);
  RunHeader header = source.header();
  std::vector<CasePosition> finished;
  for (std::size_t s = 0; s < header.suites.size(); ++s) {
    for (std::size_t c = 0; c < header.suites[s].cases.size(); ++c) {
      const Status status = source.outcome(s, c).status;
      if (status != Status::skipped) ++report.planned;
      if (is_finished(status)) finished.emplace_back(s, c);
    }
  }
  if (finished.empty()) {
    throw usage_error(
        fmt::format("{}: no case in it had finished, so there is nothing to recover; run again", quoted(part)));
  }
  header.recovered = true;
  Writer writer(report.out, header, {.force = options.force, .suffix = ".recovering", .discard_leftover = true});
  for (const auto& [suite, which] : copy_cases(source, writer, finished)) {
    report.damaged.push_back(header.suites[suite].cases[which].name);
  }
  report.finished = finished.size() - report.damaged.size();
  if (report.finished == 0) {
    throw usage_error(fmt::format("{}: is damaged: none of its {} finished cases can be read; run again", quoted(part),
                                  finished.size()));
  }
  copy_telemetry(source, writer);
  writer.finish();
  return report;
}

std::string to_string(const RecoverReport& report) {
  std::string text = fmt::format("{}: {} of {} cases recovered", quoted(report.out), report.finished, report.planned);
  if (!report.damaged.empty()) {
    text += fmt::format("; finished but damaged: {}", fmt::join(report.damaged, ", "));
  }
  return text;
}

}  // namespace rackproof::results
