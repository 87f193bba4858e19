// Limits: what a rack must reach, from a TOML file, each with its source. README.md of this folder has the format.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "common/stats/sequential.hpp"
#include "results/run_header.hpp"

namespace rackproof::results {

struct Limit {
  /// Of what there is one figure that has to keep the limit.
  enum class Scope {
    device,  ///< each device, of cases that every rank does alone
    node,    ///< each node: its typical device; of collectives in groups of a node, its slowest rank
    link,    ///< each pair of ranks that met
    rack     ///< the run: a collective's time; of other cases the typical rank
  };
  enum class Bound { least, most };

  std::string name;                               ///< unique in its file
  std::string cases;                              ///< ECMAScript, found anywhere in a case's name
  std::map<std::string, std::string> parameters;  ///< of a case, by name: as `rackproof list` prints them
  std::string figure;                             ///< one of the case's, or "time"
  std::string unit;                               ///< of the figure
  Scope scope = Scope::device;
  Bound bound = Bound::least;
  double value = 0.0;  ///< in the unit
  double spec = 0.0;   ///< what the limit derives from: the specification, or what was measured where the source says
  std::string source;
  std::string spec_source;  ///< empty: the same
  std::string condition;    ///< under which the source's figure was measured
  bool optional = false;    ///< a run may lack such cases
  std::string reason;       ///< why
  std::regex pattern;       ///< of `cases`
};

[[nodiscard]] std::string_view to_string(Limit::Scope scope);

struct LimitSet {
  std::string name;
  std::string file;  ///< as given or found
  std::string description;
  std::string device;  ///< ECMAScript, found in the name of every device that the limits are for; empty: any
  std::vector<Limit> limits;
  std::string text;  ///< the whole file
};

/// Reads the TOML text of a limits file. `file`: for messages. Throws Error (usage, one line with file and limit) for
/// what is no TOML, an unknown key, a wrong type, a missing one, a limit without a source, a `min` below half of the
/// specification or above it, a `max` above twice the specification or below it, `optional` without a reason.
[[nodiscard]] LimitSet parse_limits(const std::string& text, const std::string& file);

/// A path, or the bare name of a file that is installed with the program: "h100-sxm". Throws Error (usage).
[[nodiscard]] LimitSet load_limits(const std::string& name_or_path);

/// Folders in which bare names are looked for: beside the program, where it is installed and where it is built. The
/// names of the files there, without their ending.
[[nodiscard]] std::vector<std::filesystem::path> limits_folders();
[[nodiscard]] std::vector<std::string> known_limits();

/// A limit as a time of one case.
struct TimeLimit {
  double seconds = 0.0;
  bool longer = true;  ///< times above it are beyond the limit; else those below
};

/// A case that a limit is for.
struct LimitedCase {
  std::size_t suite = 0;  ///< positions in the header
  std::size_t which = 0;
  FigureHeader figure;
  TimeLimit time;
};

/// The cases of each limit, in the order of set.limits. `where` names the run in messages. Throws Error (usage) where a
/// limit that is not optional has none, a case has no such figure or has it in another unit, the scope does not fit it,
/// or a device is none that the limits are for.
[[nodiscard]] std::vector<std::vector<LimitedCase>> match_limits(const LimitSet& set, const RunHeader& header,
                                                                 const std::string& where);

/// What a run that stops by its limits promises, for each of its parts: the producer's risk is shared out among all of
/// them.
[[nodiscard]] stats::SequentialPlan sequential_plan(std::size_t ranks);
/// As JSON for the file's configuration, and back; nothing where the file has none, or no sound one.
[[nodiscard]] std::string to_json(const stats::SequentialPlan& plan);
[[nodiscard]] std::optional<stats::SequentialPlan> sequential_plan_of(const RunHeader& header);

}  // namespace rackproof::results
