// `run --plant`: faults that a run plants into itself, so that its user sees what would be found on this very rack.
// Each is a fault of the real thing, not of a number: work that takes longer, a process that stops or dies, a result
// that is changed between the operation and its check. Two exceptions are said in plant_help(). The file tells of each
// (provenance/planted), and what judges or compares files refuses it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/backends/collective.hpp"
#include "common/backends/device.hpp"
#include "common/core/clock.hpp"
#include "common/measure/workload.hpp"
#include "common/mpi/topology.hpp"

namespace rackproof {

/// One fault, as asked for.
struct Plant {
  enum class Kind { slow, slow_link, freeze, kill, wrong_sum, flipped_bit, clock_jump, full_disk, other_library };
  Kind kind = Kind::slow;
  std::vector<std::string> places;  ///< "rank3" or the name of a host; a link has two, a full disk none
  double share = 0.0;               ///< slow, slow_link: of the speed that is lost; 0.05: takes 1 / 0.95 as long
  double seconds = 0.0;             ///< clock_jump
  int bit = 0;                      ///< flipped_bit, wrong_sum: of an element
  std::string folder;               ///< other_library
  int at_case = 2;                  ///< the number of the case, from 1, with which what happens once happens
  std::string text;                 ///< as given
};

/// Of "slow=node2:5%", "freeze=rank3@4", ... Throws Error (usage).
[[nodiscard]] Plant parse_plant(const std::string& text);
[[nodiscard]] std::vector<Plant> parse_plants(const std::vector<std::string>& texts);
/// What may be planted, for --help.
[[nodiscard]] std::string plant_help();

/// The ranks of a place. Throws Error (usage) where there are none.
[[nodiscard]] std::vector<int> ranks_at(const std::string& place, const mpi::Topology& topology);

/// Before MPI starts: where this process is meant by `other-library`, starts it anew with that folder first on
/// LD_LIBRARY_PATH. `arguments`: of the process, the program first.
void load_planted_library(const std::vector<Plant>& plants, const std::string& host, int rank,
                          const std::vector<std::string>& arguments);

/// What one rank does of the planted faults, and the wrappers through which it does it. Not to be moved: the wrappers
/// refer to it.
class Planting {
 public:
  /// Throws Error (usage) for places that are not there. `clock`: the real one; must outlive the object.
  Planting(std::vector<Plant> plants, const mpi::Topology& topology, int rank, const Clock& clock);
  Planting(const Planting&) = delete;
  Planting& operator=(const Planting&) = delete;
  ~Planting();

  [[nodiscard]] bool is_empty() const noexcept;
  /// A JSON list of what was asked for.
  [[nodiscard]] std::string record() const;

  /// The real clock, or one that jumps.
  [[nodiscard]] const Clock& clock() const noexcept;
  /// What suites are given: the device itself, or one whose products have a wrong bit.
  [[nodiscard]] Device& device(Device& real);
  /// Null for null.
  [[nodiscard]] std::unique_ptr<Collective> collective(std::unique_ptr<Collective> real, Device& device);
  [[nodiscard]] std::unique_ptr<Workload> workload(std::unique_ptr<Workload> real);

  /// Between two cases, on every rank: the `number`th is next. `file`: what is being written, on rank 0; else empty.
  void begin_case(int number, const std::string& suite, const std::string& file);

  class JumpingClock;
  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace rackproof
