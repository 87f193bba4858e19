// Two or more sides of several launches each: what differs, by how much, and is it real? The method is that of
// common/stats/launch_verdict.hpp; a launch counts once, whatever its number of samples.
#pragma once

#include <cstddef>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "common/core/error.hpp"
#include "common/stats/launch_verdict.hpp"
#include "results/margins.hpp"
#include "results/provenance_difference.hpp"
#include "results/run_header.hpp"

namespace rackproof::results {

class KnownRuns;

struct CompareOptions {
  std::string case_regex{};  ///< ECMAScript, found anywhere in the case's name; empty: all
  double margin = 0.01;      ///< relative; for cases that `margins` does not name
  Margins margins{};
  stats::LaunchRules rules{};
  bool allow_fake = false;
  const KnownRuns* known = nullptr;  ///< what of the files has been read already
};

/// Files that count as launches of one thing.
struct CompareSide {
  std::string name;
  std::vector<std::filesystem::path> files;
};

enum class Call {
  faster,
  slower,
  same,
  inconclusive,
  missing,    ///< one side has no time of it: not there, not run, skipped
  failed,     ///< its check failed, or it broke off, in a launch of either side
  different,  ///< the same name means other work: parameters, flop, message size
  skipped     ///< on both sides
};
/// "FASTER", ...
[[nodiscard]] std::string_view to_string(Call call);
/// Both sides have times: faster, slower, the same or inconclusive.
[[nodiscard]] bool is_judged(Call call);

/// A case on one side.
struct ComparedTimes {
  std::vector<double> times;                                 ///< s, one a launch that has one, in order of the files
  double median = std::numeric_limits<double>::quiet_NaN();  ///< s, of the launches
};

struct ComparedCase {
  std::string suite;
  std::string name;
  FigureHeader figure;  ///< the one that matters; without a name: the time itself
  ComparedTimes base;
  ComparedTimes other;
  double margin = 0.0;
  stats::LaunchVerdict verdict;  ///< ratio: of times, other / base: above 1: slower
  Call call = Call::inconclusive;
  std::string note;         ///< what is to be said about it; may be empty
  bool mistrusted = false;  ///< measured, but in some launch nothing was checked
  bool incomplete = false;  ///< some launch has no time of it: never the same or faster, but inconclusive
};

/// All cases of a suite in one: of each launch the mean of the logarithms of the times of its cases, those that every
/// launch has.
struct ComparedSuite {
  std::string name;
  std::size_t faster = 0, slower = 0, same = 0, inconclusive = 0, failing = 0, skipped = 0;
  std::size_t cases = 0;                                    ///< in the ratio
  double ratio = std::numeric_limits<double>::quiet_NaN();  ///< geometric mean, of times
  double low = 0.0;
  double high = std::numeric_limits<double>::infinity();
};

/// A device that both sides measured: its own times of all cases in which ranks work on their own. Those whose ratio
/// lies apart from 1.
struct ComparedDevice {
  int rank = 0;          ///< in the first file of the base
  std::string name;      ///< "node-a host:0"
  std::string identity;  ///< serial number or UUID, where it has one
  double margin = 0.0;
  stats::LaunchVerdict verdict;
  Call call = Call::inconclusive;
};

/// One side against the base.
struct Contrast {
  std::string name;
  std::vector<ComparedCase> cases;  ///< in the order of the base's files, then what the base lacks
  std::vector<ComparedSuite> suites;
  std::vector<ComparedDevice> devices;  ///< faster or slower ones alone, the slowest first
  std::size_t devices_compared = 0;     ///< 0: the sides do not have the same devices
  std::vector<ProvenanceDifference> differences;
};

struct Comparison {
  CompareSide base;
  std::vector<CompareSide> others;
  std::vector<Contrast> contrasts;    ///< one a side of `others`
  std::vector<std::string> warnings;  ///< what makes the comparison less than it seems
  std::vector<std::string> restless;  ///< subjects of provenance that are new in every launch, and left out
  double alpha = 0.05;
  double confidence = 0.95;
  int family = 0;           ///< p-values that Holm's correction is over: cases of all contrasts
  int fewest_launches = 0;  ///< a side, with which a difference can be shown at all
  std::size_t left_out = 0;
};

/// Reads all files once. Throws Error (usage), one line: a file that is none, one run given twice, a fake device, a
/// malformed expression, nothing that matches, launches of one side with different numbers of ranks.
[[nodiscard]] Comparison compare(const CompareSide& base, const std::vector<CompareSide>& others,
                                 const CompareOptions& options = {});

/// The files by a label's value, sorted by it; `first` names the base, or is empty: the smallest value. Throws Error
/// (usage) where a file lacks the label, or all have one value.
[[nodiscard]] std::vector<CompareSide> sides_by_label(const std::vector<std::filesystem::path>& files,
                                                      const std::string& label, const std::string& first);

/// fail: a case is slower, missing, failed or different; inconclusive: the others are not all faster or the same.
[[nodiscard]] ExitCode verdict_of(const Comparison& comparison);

/// For people. Every line ends with a newline.
[[nodiscard]] std::string comparison_text(const Comparison& comparison);

/// For scripts: one JSON document on one line, "rackproof-comparison", version 1.
[[nodiscard]] std::string comparison_json(const Comparison& comparison);

}  // namespace rackproof::results
