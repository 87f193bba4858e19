// What `rackproof selftest` plants, where, and how it tells whether that was found: no process, no file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace rackproof::selftest {

enum class What {
  healthy,
  slow_link,
  slow_node,
  frozen_rank,
  dead_node,
  wrong_sum,
  flipped_bit,
  throttled_device,
  clock_jump,
  full_disk,
  other_library
};

/// A row of the table.
struct Fault {
  What what = What::healthy;
  std::string key;      ///< "slow-link-30", as --faults names it
  std::string title;    ///< "slow link, 30 %"
  double amount = 0.0;  ///< of the speed that is lost; or s
  double wanted = 1.0;  ///< share of the trials in which it is to be named; of healthy ones, in which nobody is accused
};

[[nodiscard]] const std::vector<Fault>& all_faults();
/// Of "all" or a list of keys; a key without its amount stands for all amounts. Throws Error (usage).
[[nodiscard]] std::vector<Fault> choose_faults(const std::string& list);

/// The ranks of a run, as its file tells.
struct Place {
  std::string host;
  std::string device_id;
  int node = 0;
};
struct Rack {
  std::vector<Place> ranks;
  bool fake = false;          ///< the devices are test doubles
  bool from_outside = false;  ///< launch/virtual-rack can plant
  [[nodiscard]] int nodes() const;
};

/// One trial: what is planted where, and the run that is to find it.
struct Trial {
  const Fault* fault = nullptr;
  int number = 0;
  std::vector<int> ranks;              ///< that the fault is at; of a link those of one end ...
  std::vector<int> other_ranks;        ///< ... and of the other
  std::string place;                   ///< in words: "node1 <-> node2", "rank 3"
  std::vector<std::string> arguments;  ///< of `rackproof run`, --out apart
  std::vector<std::pair<std::string, std::string>> environment;
  std::vector<std::string>
      outside;  ///< of launch/virtual-rack before the run: slow-link node1 node2 70%; empty: nothing
  std::vector<std::string> midway;  ///< ... once the run is measuring: kill node3
};

/// Not empty: this fault cannot be planted on this rack, and why.
[[nodiscard]] std::string why_not(const Fault& fault, const Rack& rack);
/// `library_folder`: for other_library. The same for equal arguments.
[[nodiscard]] Trial plan_trial(const Fault& fault, const Rack& rack, int number, std::uint64_t seed,
                               const std::string& library_folder);

/// A part that the file's verdict names.
struct NamedPart {
  enum class Kind { device, node, link, rack };
  Kind kind = Kind::device;
  std::string name;   ///< "node1", "node1 host:0", "A <-> B"
  bool open = false;  ///< inconclusive; else at fault
};

/// What was seen of a run that has ended.
struct Seen {
  int exit_code = 0;
  bool timed_out = false;
  std::string log;                              ///< what launcher and run have said
  std::optional<std::vector<NamedPart>> parts;  ///< of the file, where there is one that can be read
};

struct Outcome {
  bool found = false;    ///< something was said: a part, or another exit code than 0
  bool named = false;    ///< the right part and nobody else, with the right exit code; healthy: nobody, and 0
  bool accused = false;  ///< a part that is not at fault
  std::string saw;       ///< in words
};
[[nodiscard]] Outcome judge(const Trial& trial, const Rack& rack, const Seen& seen);

/// The ranks that a log says have stopped, died or fallen silent: by rackproof's watchdog, else by the launcher.
[[nodiscard]] std::vector<int> ranks_in_log(const std::string& log, const Rack& rack);

/// The least share that a proportion of `hits` of `trials` may be with 95 %: Clopper and Pearson, The use of confidence
/// or fiducial limits illustrated in the case of the binomial, Biometrika 26, 1934, one-sided. 0 for no trials.
[[nodiscard]] double least_share(int hits, int trials);
/// The largest it may be.
[[nodiscard]] double most_share(int hits, int trials);

}  // namespace rackproof::selftest
