// What a result file holds, as plain structs: the writer takes them, the reader gives them back.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/core/parameters.hpp"
#include "results/schema.hpp"

namespace rackproof::results {

struct RankHeader {
  std::string hostname;
  std::string device_id;    ///< "host:0", a PCI address, ...
  std::string device_name;  ///< "Intel(R) Xeon(R) ...", "NVIDIA H100 80GB HBM3"
  std::string serial;
  int node_index = 0;
  int local_rank = 0;
  std::string uuid{};  ///< of the device; empty where it has none

  bool operator==(const RankHeader&) const = default;
};

/// True where the device is the node's own processor, which its scheduler shares out.
[[nodiscard]] bool is_processor(const RankHeader& rank);

/// A number shown for a case, from a time t: rate: amount / t; time: amount x t.
struct FigureHeader {
  enum class Kind { rate, time };
  std::string name;  ///< snake_case; becomes a dataset name
  std::string unit;  ///< one unit a name within a suite
  Kind kind = Kind::rate;
  double amount = 0.0;

  [[nodiscard]] double value(double t) const { return kind == Kind::rate ? amount / t : amount * t; }
};

struct CaseHeader {
  std::string name;
  Parameters parameters;
  double flop = 0.0;                  ///< a step, of one rank
  double bytes = 0.0;                 ///< a step, of one rank
  double tokens = 0.0;                ///< a step, of the whole job
  std::int64_t message_size = 0;      ///< bytes
  std::vector<FigureHeader> figures;  ///< the first is the one that matters
  bool collective = false;            ///< one operation of all ranks together
  std::string skip_reason;            ///< not empty: recorded as skipped, with this message, when the file is created
};

struct SuiteHeader {
  std::string name;
  std::vector<CaseHeader> cases;
  bool pairs = false;  ///< its ranks meet in pairs: there is a column `partner`
};

/// A quantity that is read beside the measuring, at moments called ticks.
struct TelemetryColumn {
  std::string name;  ///< snake_case; becomes a dataset name
  std::string unit;
  std::string long_name;
  std::string kind;                                         ///< "level", "counter", "bits"
  std::vector<std::pair<std::uint32_t, std::string>> bits;  ///< of "bits": mask and name without blanks
};

/// What a run of consecutive ranks read. Of rank first_rank + r and tick t: [r * columns + t].
struct TelemetryBlock {
  int first_rank = 0;
  int columns = 0;                         ///< ticks stored a rank, at most RunHeader::telemetry_ticks
  std::vector<std::int32_t> ticks;         ///< (ranks), each at most columns; its size is the number of ranks here
  std::vector<std::int32_t> readings;      ///< (ranks), in one tick
  std::vector<double> cost;                ///< (ranks), CPU time that reading took, as a share of the run's time
  std::vector<double> time;                ///< (ranks x columns) s on the global clock
  std::vector<std::vector<float>> values;  ///< one (ranks x columns) a column of RunHeader::telemetry; NaN: unknown
};

/// Everything that is known before the first case runs.
struct RunHeader {
  std::string run_id;    ///< UUID version 4, as text
  std::string date;      ///< ISO 8601, UTC
  std::string software;  ///< "rackproof"
  std::string software_version;
  bool device_fake = false;
  bool recovered = false;  ///< set by the reader; written by recover() alone
  /// The launch that will write: 0, or in a run that went on after interruptions its place in provenance/resumed.
  int launch = 0;
  std::vector<RankHeader> ranks;
  std::vector<SuiteHeader> suites;           ///< at least one, each with at least one case; names are unique
  int max_samples = 0;                       ///< S: room for samples of one case and rank
  std::vector<TelemetryColumn> telemetry{};  ///< none: nothing was read
  int telemetry_ticks = 0;                   ///< T: room for ticks of one rank
  /// command, configuration, environment, topology, libraries, labels and any other: text, TOML or JSON where
  /// structured. Keys are snake_case and become dataset names.
  std::map<std::string, std::string> provenance;
};

/// What `run --plant` was asked for, printable; empty: nothing.
[[nodiscard]] std::vector<std::string> planted_faults(const RunHeader& header);
/// Completes "made ...": "with a fake device", "with planted faults (slow=node2:5%)"; empty: the figures are
/// measurements of the rack as it is.
[[nodiscard]] std::string why_no_measurement(const RunHeader& header);

/// What a run of consecutive ranks saw of one case. Matrices are rank-major: value of rank first_rank + r and
/// sample i at [r * columns + i]; a rank's own count may be smaller, what lies behind it is ignored.
struct RankBlock {
  int first_rank = 0;
  int columns = 0;                    ///< samples stored a rank, at most RunHeader::max_samples
  std::vector<std::int32_t> samples;  ///< (ranks), each at most columns; its size is the number of ranks here
  std::vector<double> time;           ///< (ranks x columns) s
  std::vector<double> host_time;      ///< (ranks x columns) s by the host where `time` is the device's; or empty: NaN
  std::vector<double> begin;          ///< (ranks x columns) s on the global clock; or empty: not recorded
  std::vector<std::uint8_t> flags;    ///< (ranks x columns); or empty: all 0
  /// What disturbed a sample, as in common/measure/sampler.hpp. (ranks x columns); or empty: not recorded.
  std::vector<std::uint16_t> switches;
  std::vector<float> probe;           ///< s; (ranks x columns); or empty: NaN
  std::vector<float> steal;           ///< s; (ranks x columns); or empty: NaN
  std::vector<double> verify_error;   ///< (ranks), 1 is the tolerance; or empty: NaN
  std::vector<std::uint64_t> digest;  ///< (ranks); or empty: 0
  std::vector<std::int32_t> partner;  ///< (ranks), -1 where none; or empty: none. Kept for suites with pairs.

  [[nodiscard]] int ranks() const { return static_cast<int>(samples.size()); }
};

/// What is known of a case as a whole when it ends.
struct CaseOutcome {
  Status status = Status::not_run;
  int launch = -1;  ///< that measured it; -1: to the writer, the one that writes; to the reader, none
  StopReason stop_reason = StopReason::none;
  Timer timer = Timer::host;
  int warmup_steps = 0;
  int operations = 1;                                                    ///< in one sample; more in the streamed mode
  double clock_error = std::numeric_limits<double>::quiet_NaN();         ///< s, the larger of before and after the case
  double clock_error_before = std::numeric_limits<double>::quiet_NaN();  ///< s
  double clock_error_after = std::numeric_limits<double>::quiet_NaN();   ///< s
  /// s, one a sample: collective: max(end) - max(begin) over ranks; otherwise the largest time of a rank.
  std::vector<double> figure_time;
  std::vector<double> warmup_time;  ///< the same of the warm-up; the last schema::warmup_length of them are kept
  /// Of a failure, an error, a skip or a mistrusted case: one line; longer than schema::message_length is cut.
  std::string message;
  /// What of the libraries ran the case, in one line: an algorithm with its settings; empty where there is nothing to
  /// tell. Cut as the message is.
  std::string implementation;
};

}  // namespace rackproof::results
