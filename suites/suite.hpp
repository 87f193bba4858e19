// What a suite is. A new suite is one new folder here; nothing else is edited: CMake finds the folder and registers
// the suite by calling `std::unique_ptr<Suite> make_<folder>_suite()` from the folder's suite.cpp.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/backends/backend.hpp"
#include "common/backends/collective.hpp"
#include "common/backends/device.hpp"
#include "common/core/parameters.hpp"
#include "common/measure/workload.hpp"
#include "common/mpi/topology.hpp"

namespace rackproof {

/// A number shown for a case, computed from a sample's time t: rate: amount / t; time: amount x t.
/// Stored in the file as the amount, so that the figure can be had from the raw samples without this suite.
struct Figure {
  enum class Kind { rate, time };
  std::string name;  ///< snake_case: "busbw", "ttft"
  std::string unit;  ///< "GB/s", "ms", "%"
  Kind kind = Kind::rate;
  double amount = 0.0;  ///< in `unit` seconds (rate) or in `unit` per second (time)
};

struct Case {
  std::string name;  ///< "gemm/bf16/m4096n4096k4096/packed"; unique; starts with the suite's name
  Parameters parameters;
  Work work;
  std::vector<Figure> figures;  ///< the first is the one that matters
  /// One operation of all ranks together; must equal the workload's is_collective().
  bool collective = false;
  /// Not empty: the case cannot run here, and why. It is reported as SKIPPED.
  std::string skip_reason;
  /// Ranks meet in pairs (Workload::partner()), and who met whom is kept in the file.
  bool pairs = false;
};

/// An option of a suite: `--name VALUE` on the command line of `run` and `list`.
struct OptionSpec {
  std::string name;  ///< without dashes: "model"
  std::string help;
  std::string default_value;
};

enum class Profile { quick, accept };

/// What the user asked for.
struct Options {
  Profile profile = Profile::quick;
  std::uint64_t seed = 1;
  bool cold_buffers = true;  ///< rotate through more than the last-level cache
  /// Backends whose collectives are compared, the usual one first; empty: the best one alone.
  std::vector<std::string> collective_backends{};
  /// Every option of every suite, by name, with its default where the user gave none.
  std::map<std::string, std::string> values;

  /// Throws Error (internal) for a name that no suite declared.
  [[nodiscard]] const std::string& value(std::string_view name) const;
};

/// What a case list depends on beside the options. Without a device (`rackproof list` before any is opened) `peaks`
/// is empty and memory is 0 = unknown; figures that need them are then left out.
struct Platform {
  mpi::Topology topology;
  Peaks peaks;
  std::size_t memory_available = 0;        ///< bytes, of the rank that has least
  bool known = false;                      ///< a device was opened
  std::string device = "host";             ///< its backend
  std::vector<std::string> collectives{};  ///< backends of the run's collectives, the usual one first; empty: not known
};

/// What came out of a case, the same on every rank.
struct Observation {
  std::vector<double> seconds;  ///< by rank: the median of its own times; NaN where it did not take part
  std::vector<int> partner;     ///< by rank: as Workload::partner() said
  std::vector<bool> failed{};   ///< by rank: its check failed; empty: none did
};

/// What a suite carries from one case of a run to the next.
class SuiteSession {
 public:
  SuiteSession() = default;
  SuiteSession(const SuiteSession&) = delete;
  SuiteSession& operator=(const SuiteSession&) = delete;
  virtual ~SuiteSession() = default;
  /// Called on all ranks alike when a case of the suite was measured and checked, whether or not it passed.
  virtual void observe(const Case& which, const Observation& seen) = 0;
};

/// What a workload may use. All of it outlives the workload.
struct Context {
  Device& device;
  Collective& collective;  ///< over all ranks
  const Platform& platform;
  const Options& options;
  SuiteSession* session = nullptr;     ///< of the suite whose case this is; null where it has none
  Collectives* collectives = nullptr;  ///< all that the run has, `collective` among them; null: that one alone
};

class Suite {
 public:
  Suite() = default;
  Suite(const Suite&) = delete;
  Suite& operator=(const Suite&) = delete;
  virtual ~Suite() = default;

  [[nodiscard]] virtual std::string name() const = 0;         ///< the folder's name
  [[nodiscard]] virtual std::string description() const = 0;  ///< one line
  [[nodiscard]] virtual std::vector<OptionSpec> options() const { return {}; }
  /// The same on every rank, for equal arguments. Throws Error (usage) for options that make no sense here.
  [[nodiscard]] virtual std::vector<Case> cases(const Options& options, const Platform& platform) const = 0;
  /// True where a case depends on those listed before it: the launch then does not shuffle them.
  [[nodiscard]] virtual bool keeps_order() const { return false; }
  /// State of its own for one run, handed to it in Context::session; null: it needs none. The same on every rank.
  [[nodiscard]] virtual std::unique_ptr<SuiteSession> begin(const Options& /*options*/,
                                                            const Platform& /*platform*/) const {
    return nullptr;
  }
  /// Not empty: a case without a skip_reason turns out, when its turn comes, to have nothing to do, and why. It is
  /// reported as SKIPPED. The same on every rank.
  [[nodiscard]] virtual std::string reason_to_skip(const Case& /*which*/, const Context& /*context*/) const {
    return {};
  }
  /// Collective. Allocates and fills everything that step() needs.
  [[nodiscard]] virtual std::unique_ptr<Workload> make(const Case& which, const Context& context) const = 0;
};

/// All suites of this build, by name. Generated by CMake.
[[nodiscard]] std::vector<std::unique_ptr<Suite>> make_all_suites();

}  // namespace rackproof
