// What is measured: one operation that can be repeated and checked.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

namespace rackproof {

/// What one step does. flop and bytes: of one rank. tokens: of the whole job. message_size: bytes of the
/// collective's vector, as nccl-tests counts them. 0 where it does not apply.
struct Work {
  double flop = 0.0;
  double bytes = 0.0;
  double tokens = 0.0;
  std::int64_t message_size = 0;
};

/// The outcome of checking what was timed, on one rank.
struct Verification {
  enum class Outcome {
    mistrusted,  ///< nothing was checked
    passed,
    failed
  };
  Outcome outcome = Outcome::mistrusted;
  /// The check's own error measure, where 1 is the tolerance; NaN where none.
  double error = std::numeric_limits<double>::quiet_NaN();
  /// Bitwise digest of the timed output; 0 where none. Equal on all ranks of one device kind when
  /// `digest_is_shared`; then a rank that deviates is a fault of its device.
  std::uint64_t digest = 0;
  bool digest_is_shared = false;
  /// For a failure: what was wrong, in one line. For mistrusted: why nothing was checked.
  std::string detail;
};

/// NaN-safe: an error of NaN, or above 1, has failed.
[[nodiscard]] inline Verification::Outcome judge(double error) {
  return std::isfinite(error) && error <= 1.0 ? Verification::Outcome::passed : Verification::Outcome::failed;
}

/// One case, ready to run on this rank. Construction allocates and fills; step() is the timed operation alone.
class Workload {
 public:
  Workload() = default;
  Workload(const Workload&) = delete;
  Workload& operator=(const Workload&) = delete;
  virtual ~Workload() = default;

  /// Untimed, before every sample: rotates buffers, restores inputs. Collective calls are allowed if all ranks make
  /// them.
  virtual void prepare() {}
  /// Seconds after the common start at which this rank begins the step that prepare() made ready: how late it arrives.
  /// Collective workloads alone. The figure counts from the last arrival on.
  [[nodiscard]] virtual double delay() const { return 0.0; }
  /// The timed operation. Returns when it was started; when it is complete, where finish() is not overridden.
  virtual void step() = 0;
  /// Returns when every step so far is complete on this rank. Timed too: once a step, in streamed mode once a row.
  virtual void finish() {}
  /// Seconds that the last step took by the device's own clock; NaN where it keeps none. Called after finish(), not
  /// timed, in isolated mode alone, and not of collective workloads. What is finite is the sample's time.
  [[nodiscard]] virtual double device_seconds() { return std::numeric_limits<double>::quiet_NaN(); }
  /// Checks the output of the last step(). Collective if the workload is.
  virtual Verification verify() = 0;
  /// What of the libraries runs it, for the record: "cuBLASLt 13.1.0 algorithm 66, ..."; empty: nothing to tell.
  [[nodiscard]] virtual std::string implementation() const { return {}; }
  /// True: a sample is a row of operations back to back, prepare() and step() in turn, and its time is that of the row
  /// divided by their number: the streamed mode. prepare() must then cost next to nothing.
  [[nodiscard]] virtual bool is_streamed() const { return false; }
  /// True: one operation of all ranks together, whose time is max(end) - max(begin) over ranks. False: every rank
  /// does its own, at the same time, and has its own time.
  [[nodiscard]] virtual bool is_collective() const = 0;
  /// False: in this case this rank only waits for the others; its samples are no measurement and are not kept.
  [[nodiscard]] virtual bool takes_part() const { return true; }
  /// The rank that this one exchanges messages with; -1: none. Ranks name each other.
  [[nodiscard]] virtual int partner() const { return -1; }
};

}  // namespace rackproof
