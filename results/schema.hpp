// The one place that names what is in a result file. README.md of this folder has the same as a table.
//
// Letters in shapes: R ranks, S samples (RunHeader::max_samples), C cases of a suite, M characters of a message, W
// steps of warming up.
#pragma once

#include <cstdint>
#include <string_view>

namespace rackproof::results {

/// What became of a case. Stored as i1 with flag_values and flag_meanings.
enum class Status : std::int8_t {
  not_run = 0,
  passed = 1,
  mistrusted = 2,  ///< measured, but nothing was checked
  failed = 3,      ///< measured, and its check failed
  skipped = 4,     ///< cannot run here; the message says why
  error = 5        ///< broke off; the message says how
};

/// Why sampling stopped; the numbers are those of rackproof::StopReason. Stored as i1.
enum class StopReason : std::int8_t { none = -1, converged = 0, budget = 1, max_samples = 2, certain = 3 };

/// Whose clock a case's `time` is from. Stored as i1.
enum class Timer : std::int8_t { host = 0, device = 1 };

/// "PASSED", "not run", ...; "?" for a number that is none of them.
[[nodiscard]] std::string_view to_string(Status status);
/// True for a case that was measured to its end or broke off: what a recovery must not lose.
[[nodiscard]] constexpr bool is_finished(Status status) {
  return status == Status::passed || status == Status::mistrusted || status == Status::failed ||
         status == Status::error;
}

namespace schema {

inline constexpr std::string_view name = "rackproof";
inline constexpr std::int64_t version = 1;

// Attributes of the root group.
inline constexpr const char* schema_name = "schema_name";
inline constexpr const char* schema_version = "schema_version";
inline constexpr const char* software = "software";
inline constexpr const char* software_version = "softwareVersion";
inline constexpr const char* date = "date";
inline constexpr const char* run_id = "run_id";
inline constexpr const char* device_fake = "device_fake";
/// Of `provenance`: a JSON list of faults that the run planted into itself; absent: none.
inline constexpr const char* planted = "planted";
inline constexpr const char* recovered = "recovered";  ///< i1: 1 where the file was made by `rackproof recover`

// Root datasets, one entry a rank.
inline constexpr const char* rank = "rank";  ///< i4 scale
inline constexpr const char* hostname = "hostname";
inline constexpr const char* device_id = "device_id";
inline constexpr const char* device_name = "device_name";
inline constexpr const char* serial = "serial";
inline constexpr const char* uuid = "uuid";
inline constexpr const char* node_index = "node_index";
inline constexpr const char* local_rank = "local_rank";

// Groups.
inline constexpr const char* suites = "suites";
inline constexpr const char* telemetry = "telemetry";
inline constexpr const char* provenance = "provenance";
inline constexpr const char* figures = "figures";

// Datasets of /suites/<suite>.
inline constexpr const char* case_name = "case";             ///< (C) vlen utf-8 scale
inline constexpr const char* sample = "sample";              ///< (S) i4 scale
inline constexpr const char* character = "character";        ///< (M) i4 scale
inline constexpr const char* time = "time";                  ///< (C,R,S) f8, s
inline constexpr const char* host_time = "host_time";        ///< (C,R,S) f8, s, where `time` is the device's
inline constexpr const char* begin = "begin";                ///< (C,R,S) f8, s on the global clock
inline constexpr const char* flags = "flags";                ///< (C,R,S) u1, masks below
inline constexpr const char* figure_time = "figure_time";    ///< (C,S) f8, s
inline constexpr const char* samples = "samples";            ///< (C,R) i4
inline constexpr const char* verify_error = "verify_error";  ///< (C,R) f8, 1 is the tolerance
inline constexpr const char* digest = "digest";              ///< (C,R) u8
inline constexpr const char* switches = "switches";          ///< (C,R,S) u2
inline constexpr const char* probe = "probe";                ///< (C,R,S) f4, s
inline constexpr const char* steal = "steal";                ///< (C,R,S) f4, s
inline constexpr const char* partner = "partner";            ///< (C,R) i4, -1 where none; suites with pairs alone
inline constexpr const char* status = "status";              ///< (C) i1
inline constexpr const char* launch = "launch";              ///< (C) i4: of provenance/resumed; -1: not run
inline constexpr const char* stop_reason = "stop_reason";    ///< (C) i1
inline constexpr const char* timer = "timer";                ///< (C) i1: of `time`
inline constexpr const char* warmup_steps = "warmup_steps";  ///< (C) i4
inline constexpr const char* operations = "operations";      ///< (C) i4, in one sample
inline constexpr const char* warmup = "warmup";              ///< (W) i4 scale
inline constexpr const char* warmup_time = "warmup_time";    ///< (C,W) f8, s: as figure_time, before sampling began
inline constexpr std::int64_t warmup_length = 1024;          ///< W
inline constexpr const char* clock_error = "clock_error";    ///< (C) f8, s
inline constexpr const char* clock_error_before = "clock_error_before";  ///< (C) f8, s
inline constexpr const char* clock_error_after = "clock_error_after";    ///< (C) f8, s
inline constexpr const char* flop = "flop";                              ///< (C) f8, a step, of one rank
inline constexpr const char* bytes = "bytes";                            ///< (C) f8, a step, of one rank
inline constexpr const char* tokens = "tokens";                          ///< (C) f8, a step, of the whole job
inline constexpr const char* message_size = "message_size";              ///< (C) i8, bytes
inline constexpr const char* collective = "collective";                  ///< (C) i1
/// (C,M) of one-byte characters, UTF-8, padded with NUL: netCDF's NC_CHAR, which xarray joins into one string a
/// case. Not vlen: such a dataset cannot be written in SWMR mode, and this text is known only when a case ends.
inline constexpr const char* message = "message";
inline constexpr std::int64_t message_length = 512;  ///< M
inline constexpr const char* implementation =
    "implementation";  ///< (C,M) as message: what of the libraries ran the case

// Datasets of /telemetry, beside one a quantity: (R,T) f4, NaN where unknown, or u4 for a bit mask, with flag_masks and
// flag_meanings.
inline constexpr const char* tick = "tick";                      ///< (T) i4 scale
inline constexpr const char* telemetry_time = "time";            ///< (R,T) f8, s on the global clock
inline constexpr const char* telemetry_ticks = "ticks";          ///< (R) i4: how many there are
inline constexpr const char* telemetry_readings = "readings";    ///< (R) i4: in one tick
inline constexpr const char* telemetry_cost = "cost";            ///< (R) f8: CPU time that reading took, of the run's
inline constexpr const char* telemetry_kind = "telemetry_kind";  ///< attribute: "level", "counter", "bits"
inline constexpr std::int64_t max_telemetry_ticks = 65536;

// Parameters of cases in which ranks meet in pairs: cases with the same direction and message_size are one series, from
// which a verdict is made.
inline constexpr const char* direction = "direction";  ///< "one-way" (there and back, one after the other), "both-ways"
inline constexpr const char* stage = "stage";          ///< one of these:
inline constexpr const char* stage_round = "round";    ///< planned
inline constexpr const char* stage_again = "again";    ///< chosen in the run: suspicious pairs, the rest at random
inline constexpr const char* stage_apart = "apart";    ///< chosen in the run: what is slow, with few others or none

// Attributes of datasets.
inline constexpr const char* units = "units";
inline constexpr const char* long_name = "long_name";
inline constexpr const char* flag_values = "flag_values";
inline constexpr const char* flag_masks = "flag_masks";
inline constexpr const char* flag_meanings = "flag_meanings";
inline constexpr const char* fill_value = "_FillValue";
inline constexpr const char* kind = "kind";            ///< of a figure: "rate": amount / t; "time": amount x t
inline constexpr const char* parameter = "parameter";  ///< marks a parameter's dataset and carries its name

// Bits of `flags`; the numbers are those of rackproof::SampleFlag.
inline constexpr std::uint8_t flag_late = 1;
inline constexpr std::uint8_t flag_barrier = 2;
inline constexpr std::uint8_t flag_short = 4;

// Larger files are refused, by the writer and by the reader, so that a damaged one cannot ask for absurd memory.
inline constexpr std::int64_t max_ranks = 262'144;
inline constexpr std::int64_t max_cases = 100'000;  ///< of all suites together
inline constexpr std::int64_t max_samples = 1'000'000;

}  // namespace schema
}  // namespace rackproof::results
