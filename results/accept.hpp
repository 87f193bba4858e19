// Acceptance: what runs of one rack say of each of its parts, against limits, its peers and runs that were good.
#pragma once

#include <array>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/core/error.hpp"
#include "results/limits.hpp"
#include "results/reader.hpp"

namespace rackproof::results {

class KnownRuns;

enum class Verdict {
  pass,
  fail,
  intermittent,  ///< attempts disagree: at least one failed and at least one passed
  inconclusive,  ///< not enough evidence either way, or something was not measured
  not_judged     ///< nothing that was measured judges it
};
/// "PASS", "FAIL", "INTERMITTENT", "INCONCLUSIVE", "not judged".
[[nodiscard]] std::string_view to_string(Verdict verdict);
/// 0, 3 (fail, intermittent) or 4 (inconclusive, not judged).
[[nodiscard]] ExitCode exit_code_of(Verdict verdict);

/// One thing that speaks against a part, or leaves it open.
struct Evidence {
  enum class Kind {
    limit,         ///< a figure beyond its limit, or not clearly within it
    peers,         ///< slower than its peers in the same run
    baseline,      ///< slower than in runs that were good
    verification,  ///< its result was wrong
    digest,        ///< other bits than its peers: silent data corruption
    error,         ///< a case broke off on it
    link,          ///< what the model of pairs blames
    telemetry,     ///< what its device counted or felt
    software,      ///< a node with other libraries than the rest
    not_measured   ///< a case that was not run, skipped or not checked
  };
  Kind kind = Kind::limit;
  Verdict verdict = Verdict::fail;  ///< fail or inconclusive; not_judged: a circumstance
  std::size_t attempt = 0;          ///< position of the file
  std::string case_name;            ///< or the series of links; may be empty
  std::string text;    ///< one line, without the name of the case and the attempt; as it came from the file
  std::string figure;  ///< of kind limit, peers and baseline
  std::string unit;
  double measured = std::numeric_limits<double>::quiet_NaN();
  double expected = std::numeric_limits<double>::quiet_NaN();  ///< the limit, the peers' median, the baseline's
  double excess = 0.0;  ///< 0.07: takes 7 % longer than `expected` allows; how much it counts, for the others
};
[[nodiscard]] std::string_view to_string(Evidence::Kind kind);

struct Part {
  enum class Kind { rack, node, device, link };
  Kind kind = Kind::device;
  std::string name;  ///< "node-3 cuda:4", "node-3", "node-3 cuda:4 <-> node-7 cuda:0"; "rack"
  // Of a device; a node has its hostname alone. A link has these of its two ends in `name` and `place`.
  std::string hostname;
  std::string device_id;
  std::string device_name;
  std::string serial;
  std::string uuid;
  std::string place;  ///< "node 3, local rank 4, rank 28" in the last attempt that has it
  int node_index = -1;
  int local_rank = -1;
  int rank = -1;
  /// A node is as bad as the worst of its devices, beside what is held against itself.
  Verdict verdict = Verdict::not_judged;
  std::vector<Verdict> attempts;   ///< one a file; inconclusive for a device that is not in it and in others
  std::vector<bool> seen;          ///< one a file
  std::vector<Evidence> evidence;  ///< the weightiest first; at most AcceptOptions::most_evidence of an attempt
  std::size_t more = 0;            ///< pieces of evidence that were left out
  double excess = 0.0;             ///< the largest of its evidence that failed
};

/// How good a limit is, and what came of it. Over all attempts, cases and parts that it judged.
struct LimitReport {
  std::size_t limit = 0;  ///< position in the set
  Verdict verdict = Verdict::not_judged;
  std::size_t cases = 0;   ///< that match it, of the first attempt
  std::size_t judged = 0;  ///< parts x cases x attempts
  std::size_t failed = 0;
  std::size_t open = 0;
  double typical = std::numeric_limits<double>::quiet_NaN();  ///< median of the figures
  double best = std::numeric_limits<double>::quiet_NaN();
  double worst = std::numeric_limits<double>::quiet_NaN();     ///< the figure nearest to the limit, or farthest beyond
  double samples = std::numeric_limits<double>::quiet_NaN();   ///< effective ones: median
  double headroom = std::numeric_limits<double>::quiet_NaN();  ///< 0.09: typical has to become 9 % slower to reach it
  double detectable = std::numeric_limits<double>::quiet_NaN();  ///< stats::LimitJudgement; median
  double false_alarm =
      std::numeric_limits<double>::quiet_NaN();  ///< that any of the parts of a case, all at the limit, fails
  std::size_t settled_early = 0;                 ///< judged by the run's own sequential test
};

/// What comparing devices with their peers could see, in one attempt.
struct PeerReport {
  std::size_t attempt = 0;
  std::string device_name;
  std::size_t devices = 0;
  std::size_t cases = 0;                                    ///< compared; not those in which no device could be found
  double least = std::numeric_limits<double>::quiet_NaN();  ///< 0.06: what is less than 6 % slow is not seen, typically
  double least_node = std::numeric_limits<double>::quiet_NaN();  ///< the same of a node with several devices
  std::string reason;                                            ///< why they were not compared; empty: they were
};

struct PartCounts {
  std::array<std::size_t, 5> of{};  ///< by Verdict
  [[nodiscard]] std::size_t operator[](Verdict verdict) const { return of[static_cast<std::size_t>(verdict)]; }
  [[nodiscard]] std::size_t all() const;
};

struct Attempt {
  std::string file;
  std::string run_id;
  std::string date;
  Verdict verdict = Verdict::not_judged;
};

struct Acceptance {
  Verdict verdict = Verdict::not_judged;  ///< of the rack
  std::vector<Attempt> attempts;
  std::vector<std::string> baseline;  ///< files
  std::vector<std::string> notices;   ///< one line each: what the reader has to know of the input
  std::string limits;                 ///< name of the set; empty: none
  /// The rack, then nodes, devices and links in the order of the file; of links those alone that are not PASS.
  std::vector<Part> parts;
  PartCounts nodes;
  PartCounts devices;
  PartCounts links;
  std::vector<LimitReport> limit_reports;
  std::vector<PeerReport> peers;

  /// Parts that are FAIL or INTERMITTENT, the rack apart: the worst first; and those that are open. Without nodes that
  /// are so by their devices alone, which are there themselves.
  [[nodiscard]] std::vector<const Part*> at_fault() const;
  [[nodiscard]] std::vector<const Part*> open() const;
};

struct AcceptOptions {
  double floor = 0.05;                 ///< against peers and baseline: what is less slow is no fault
  double false_discovery_rate = 0.01;  ///< among what is blamed against peers and baseline
  std::size_t most_evidence = 8;       ///< kept of each part and attempt
  bool allow_fake = false;             ///< files that were made with a fake device
  const KnownRuns* known = nullptr;    ///< what of the files has been read already
};

/// A verdict on the rack that `attempts` were measured on, one file a launch. `limits` may be null. Throws Error
/// (usage) for a file with a fake device (unless allowed), a launch that is given twice, limits that do not fit
/// (match_limits()), and a damaged file. Time: one reading of all samples, of those under a limit two.
[[nodiscard]] Acceptance accept(std::span<const ResultFile> attempts, std::span<const ResultFile> baseline,
                                const LimitSet* limits, const AcceptOptions& options = {});

/// For people: the verdict, the parts at fault with their evidence, what is open, the limits and how good each is. Ends
/// with a newline.
[[nodiscard]] std::string acceptance_text(const Acceptance& acceptance, const LimitSet* limits);

/// What comparing with peers could see, a line for all attempts that are alike: "attempts 1 and 2: 16 x H100: compared
/// ...". Device names as the file has them.
[[nodiscard]] std::vector<std::string> peer_lines(const Acceptance& acceptance);

/// For scripts: a line for each part at fault, the worst first, its fields apart by a tab: verdict, kind ("node",
/// "device", "link"), host (of a link: empty), name, the weightiest evidence.
[[nodiscard]] std::string fault_lines(const Acceptance& acceptance);

}  // namespace rackproof::results
