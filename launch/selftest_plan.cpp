#include "launch/selftest_plan.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/math/distributions/beta.hpp>
#include <regex>
#include <set>
#include <sstream>

#include "common/core/error.hpp"
#include "common/core/lists.hpp"
#include "common/core/random.hpp"

namespace rackproof::selftest {
namespace {

/// A link, and what compares devices with each other, needs so many.
constexpr std::size_t fewest_places = 4;
/// Of the faults in speed, which noise may hide; what stops or is wrong is found each time.
constexpr double usually = 0.95;
constexpr double hardly_ever = 0.99;
constexpr double throttled_share = 0.15;
constexpr double jump = 0.1;  // s
/// What is measured for faults in speed of devices: few and small products, so that a trial takes seconds.
constexpr const char* products = "256x256x256";
constexpr const char* sums = "^allreduce/f32/(1KiB|16KiB|64KiB)/out-of-place";
/// Half of what the least of the slow links loses.
constexpr const char* link_floor = "5%";
/// There and back: of two messages that cross, TCP on a busy machine at times sends one behind the other.
constexpr const char* meetings = "^links/[^/]*/one-way/(round|again)";

std::vector<Fault> make_faults() {
  std::vector<Fault> all{{What::healthy, "healthy", "nothing", 0.0, hardly_ever}};
  for (const int percent : {10, 30, 90}) {
    all.push_back({What::slow_link, fmt::format("slow-link-{}", percent), fmt::format("slow link, {} %", percent),
                   percent / 100.0, usually});
  }
  for (const int percent : {3, 5, 10}) {
    all.push_back({What::slow_node, fmt::format("slow-node-{}", percent), fmt::format("slow node, {} %", percent),
                   percent / 100.0, usually});
  }
  all.push_back({What::throttled_device, "throttled-device", "throttled device", throttled_share, usually});
  all.push_back({What::frozen_rank, "frozen-rank", "frozen rank", 0.0, 1.0});
  all.push_back({What::dead_node, "dead-node", "dead node", 0.0, 1.0});
  all.push_back({What::wrong_sum, "wrong-sum", "wrong sum", 0.0, 1.0});
  all.push_back({What::flipped_bit, "flipped-bit", "flipped bit", 0.0, 1.0});
  all.push_back({What::clock_jump, "clock-jump", "clock jump", jump, usually});
  all.push_back({What::full_disk, "full-disk", "full disk", 0.0, usually});
  all.push_back({What::other_library, "other-library", "node with another library", 0.0, 1.0});
  return all;
}

std::string percent_text(double share) { return fmt::format("{:g}%", 100.0 * share); }

std::vector<int> ranks_of_node(const Rack& rack, int node) {
  std::vector<int> ranks;
  for (std::size_t r = 0; r < rack.ranks.size(); ++r) {
    if (rack.ranks[r].node == node) ranks.push_back(static_cast<int>(r));
  }
  return ranks;
}

const Place& place_of_rank(const Rack& rack, int number) { return rack.ranks[static_cast<std::size_t>(number)]; }
std::string device_name(const Rack& rack, int number) {
  const Place& place = place_of_rank(rack, number);
  return fmt::format("{} {}", place.host, place.device_id);
}

/// Draws for one trial.
class Draw {
 public:
  Draw(const Fault& fault, int number, std::uint64_t seed) {
    std::uint64_t purpose = static_cast<std::uint64_t>(number);
    for (const char c : fault.key) purpose = 131 * purpose + static_cast<unsigned char>(c);
    stream_ = random_stream(seed, purpose);
  }
  /// 0 ... count - 1
  int below(int count) { return static_cast<int>(random_uniform(stream_, next_++) * count); }
  /// Two different ones.
  std::pair<int, int> two_below(int count) {
    const int one = below(count);
    const int other = below(count - 1);
    return {one, other < one ? other : other + 1};
  }
  std::uint64_t number() { return random_bits(stream_, next_++) >> 33U; }

 private:
  std::uint64_t stream_ = 0;
  std::uint64_t next_ = 0;
};

bool by_nodes(const Rack& rack) { return rack.nodes() >= static_cast<int>(fewest_places); }

void add(std::vector<std::string>& to, std::initializer_list<std::string> more) {
  to.insert(to.end(), more.begin(), more.end());
}

/// On the virtual rack's slow cables a message takes long beside what a busy machine adds. What is far slower than all
/// others needs no long messages.
std::string link_size(const Rack& rack, double share) {
  if (!rack.from_outside) return "1MiB";
  return share > 0.5 ? "64KiB" : "256KiB";
}

void measure_links(Trial& trial, const Rack& rack) {
  add(trial.arguments,
      {"--suite", "links", "--link-floor", link_floor, "--links-between", by_nodes(rack) ? "nodes" : "ranks",
       "--link-sizes", link_size(rack, trial.fault->amount), std::string("--benchmark_filter=") + meetings,
       "--max-samples", "5", "--time-budget", rack.from_outside ? "24s" : "16s"});
}

void measure_products(Trial& trial) {
  add(trial.arguments, {"--suite", "gemm", "--gemm-sizes", products, "--gemm-types", "f32,bf16", "--max-samples", "40",
                        "--time-budget", "4s"});
}

void measure_sums(Trial& trial) {
  add(trial.arguments, {"--suite", "allreduce", std::string("--benchmark_filter=") + sums, "--order", "listed",
                        "--max-samples", "40", "--time-budget", "3s"});
}

/// Small faults hide in noise, so that all that the faults are looked for in is measured of healthy racks too.
void measure_all(Trial& trial, const Rack& rack) {
  add(trial.arguments,
      {"--suite", "gemm,allreduce,links", "--link-floor", link_floor, "--gemm-sizes", products, "--gemm-types",
       "f32,bf16", "--links-between", by_nodes(rack) ? "nodes" : "ranks", "--link-sizes", link_size(rack, 0.0),
       fmt::format("--benchmark_filter=^gemm/|{}|{}", sums, meetings), "--max-samples", "40", "--time-budget", "20s"});
}

/// One node of several, or one rank of a node.
void choose_node(Trial& trial, const Rack& rack, Draw& draw) {
  const int nodes = rack.nodes();
  if (nodes > 1) {
    const int node = draw.below(nodes);
    trial.ranks = ranks_of_node(rack, node);
    trial.place = place_of_rank(rack, trial.ranks.front()).host;
    return;
  }
  trial.ranks = {draw.below(static_cast<int>(rack.ranks.size()))};
  trial.place = fmt::format("rank{}", trial.ranks.front());
}

void choose_rank(Trial& trial, const Rack& rack, Draw& draw) {
  trial.ranks = {draw.below(static_cast<int>(rack.ranks.size()))};
  trial.place = fmt::format("rank{}", trial.ranks.front());
}

void plant(Trial& trial, const std::string& text) { add(trial.arguments, {"--plant", text}); }

/// Slower by their own means where the devices are doubles, whose own time it shows in.
void slow_devices(Trial& trial, const Rack& rack, double share) {
  if (!rack.fake) {
    plant(trial, fmt::format("slow={}:{}", trial.place, percent_text(share)));
    return;
  }
  std::string faults;
  for (const int rank : trial.ranks) {
    faults += fmt::format("{}slow_rank={}:{:g}", faults.empty() ? "" : ",", rank, 1.0 - share);
    if (trial.fault->what == What::throttled_device) faults += fmt::format(",throttle={}:thermal", rank);
  }
  trial.environment.emplace_back("RACKPROOF_FAKE_FAULTS", faults);
}

void plan_link(Trial& trial, const Rack& rack, Draw& draw) {
  const double share = trial.fault->amount;
  if (by_nodes(rack)) {
    const auto [one, other] = draw.two_below(rack.nodes());
    trial.ranks = ranks_of_node(rack, one);
    trial.other_ranks = ranks_of_node(rack, other);
    const std::string& a = place_of_rank(rack, trial.ranks.front()).host;
    const std::string& b = place_of_rank(rack, trial.other_ranks.front()).host;
    trial.place = fmt::format("{} <-> {}", a, b);
    if (rack.from_outside) {
      trial.outside = {"slow-link", a, b, percent_text(1.0 - share)};
    } else {
      plant(trial, fmt::format("slow-link={},{}:{}", a, b, percent_text(share)));
    }
    return;
  }
  const auto [one, other] = draw.two_below(static_cast<int>(rack.ranks.size()));
  trial.ranks = {one};
  trial.other_ranks = {other};
  trial.place = fmt::format("rank{} <-> rank{}", one, other);
  plant(trial, fmt::format("slow-link=rank{},rank{}:{}", one, other, percent_text(share)));
}

void plan_dead_node(Trial& trial, const Rack& rack, Draw& draw) {
  choose_node(trial, rack, draw);
  if (!rack.from_outside) {
    measure_sums(trial);
    plant(trial, fmt::format("kill={}", trial.place));
  } else {
    // It is to be measuring when the node falls over.
    add(trial.arguments, {"--suite", "allreduce", std::string("--benchmark_filter=") + sums, "--max-samples", "1000000",
                          "--precision", "0.001%", "--time-budget", "90s"});
    trial.midway = {"kill", trial.place};
  }
  add(trial.arguments, {"--device", "host", "--hang-timeout", "5s"});
}

void plan_fault(Trial& trial, const Rack& rack, Draw& draw, const std::string& library_folder) {
  constexpr int bits = 32;
  switch (trial.fault->what) {
    case What::healthy:
      return measure_all(trial, rack);
    case What::slow_link:
      plan_link(trial, rack, draw);
      return measure_links(trial, rack);
    case What::slow_node:
      choose_node(trial, rack, draw);
      slow_devices(trial, rack, trial.fault->amount);
      return measure_products(trial);
    case What::throttled_device:
      choose_rank(trial, rack, draw);
      slow_devices(trial, rack, trial.fault->amount);
      return measure_products(trial);
    case What::frozen_rank:
      choose_rank(trial, rack, draw);
      measure_sums(trial);
      add(trial.arguments, {"--device", "host", "--hang-timeout", "5s"});
      return plant(trial, "freeze=" + trial.place);
    case What::dead_node:
      return plan_dead_node(trial, rack, draw);
    case What::wrong_sum:
      choose_rank(trial, rack, draw);
      measure_sums(trial);
      return plant(trial, "wrong-sum=" + trial.place);
    case What::flipped_bit:
      choose_rank(trial, rack, draw);
      measure_products(trial);
      return plant(trial, fmt::format("flipped-bit={}:{}", trial.place, draw.below(bits)));
    case What::clock_jump:
      choose_rank(trial, rack, draw);
      measure_sums(trial);
      return plant(trial, fmt::format("clock-jump={}:{}ms", trial.place, 1e3 * trial.fault->amount));
    case What::full_disk:
      trial.place = "the file";
      // Enough that no case fits into what its file has already.
      add(trial.arguments, {"--suite", "allreduce", std::string("--benchmark_filter=") + sums, "--order", "listed",
                            "--precision", "0.001%", "--max-samples", "2000", "--time-budget", "3s"});
      return plant(trial, "full-disk");
    case What::other_library:
      choose_node(trial, rack, draw);
      measure_sums(trial);
      return plant(trial, fmt::format("other-library={}:{}", trial.place, library_folder));
  }
}

// ---- judging ----

bool is_one_of(const std::vector<int>& ranks, int rank) {
  return std::find(ranks.begin(), ranks.end(), rank) != ranks.end();
}

/// Ranks that a name stands for: those of a node, or of a device.
std::vector<int> ranks_named(const std::string& name, const Rack& rack) {
  std::vector<int> ranks;
  for (std::size_t r = 0; r < rack.ranks.size(); ++r) {
    const auto number = static_cast<int>(r);
    if (rack.ranks[r].host == name || device_name(rack, number) == name) ranks.push_back(number);
  }
  return ranks;
}

bool all_among(const std::vector<int>& some, const std::vector<int>& among) {
  return !some.empty() && std::all_of(some.begin(), some.end(), [&](int rank) { return is_one_of(among, rank); });
}

/// The part is the fault's, or lies within it: a device of the slow node.
bool is_at_fault(const NamedPart& part, const Trial& trial, const Rack& rack) {
  if (part.kind != NamedPart::Kind::link) {
    return trial.other_ranks.empty() && all_among(ranks_named(part.name, rack), trial.ranks);
  }
  static const std::string between = " <-> ";
  const std::size_t at = part.name.find(between);
  if (at == std::string::npos || trial.other_ranks.empty()) return false;
  const auto one = ranks_named(part.name.substr(0, at), rack);
  const auto other = ranks_named(part.name.substr(at + between.size()), rack);
  return (all_among(one, trial.ranks) && all_among(other, trial.other_ranks)) ||
         (all_among(other, trial.ranks) && all_among(one, trial.other_ranks));
}

/// Of a node that is slow as a whole its name is wanted, or all of its devices.
bool covers(const std::vector<NamedPart>& right, const Trial& trial, const Rack& rack) {
  if (!trial.other_ranks.empty()) return !right.empty();
  std::set<int> named;
  for (const NamedPart& part : right) {
    for (const int rank : ranks_named(part.name, rack)) named.insert(rank);
  }
  return std::all_of(trial.ranks.begin(), trial.ranks.end(), [&](int rank) { return named.count(rank) > 0; });
}

std::string names_of(const std::vector<NamedPart>& parts) {
  std::vector<std::string> names;
  for (const NamedPart& part : parts) names.push_back(part.open ? part.name + " (open)" : part.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

Outcome judge_parts(const Trial& trial, const Rack& rack, const Seen& seen, int exit_code, bool open_counts) {
  Outcome outcome;
  outcome.saw = fmt::format("exit code {}", seen.exit_code);
  if (!seen.parts) {
    outcome.found = seen.exit_code != 0;
    outcome.saw += ", no file that can be read";
    return outcome;
  }
  std::vector<NamedPart> right;
  for (const NamedPart& part : *seen.parts) {
    if (part.kind == NamedPart::Kind::rack || (part.open && !open_counts)) continue;
    if (is_at_fault(part, trial, rack)) {
      right.push_back(part);
    } else if (!part.open) {
      outcome.accused = true;
    }
  }
  if (!seen.parts->empty()) outcome.saw += ": " + names_of(*seen.parts);
  outcome.found = !right.empty() || outcome.accused || seen.exit_code != 0;
  outcome.named = covers(right, trial, rack) && !outcome.accused && seen.exit_code == exit_code;
  return outcome;
}

Outcome judge_healthy(const Seen& seen) {
  Outcome outcome;
  outcome.saw = fmt::format("exit code {}", seen.exit_code);
  outcome.accused = seen.exit_code != 0 || !seen.parts;
  for (const NamedPart& part : seen.parts.value_or(std::vector<NamedPart>{})) {
    if (!part.open && part.kind != NamedPart::Kind::rack) outcome.accused = true;
  }
  if (seen.parts && !seen.parts->empty()) outcome.saw += ": " + names_of(*seen.parts);
  outcome.found = outcome.accused;
  outcome.named = !outcome.accused;
  return outcome;
}

/// A launcher that loses a process may have an exit code of its own: 128 + 9, or 9.
bool ends_as_lost(int exit_code) { return exit_code == 75 || exit_code == 137 || exit_code == 9 || exit_code == 143; }

Outcome judge_lost(const Trial& trial, const Rack& rack, const Seen& seen) {
  Outcome outcome;
  const std::vector<int> named = ranks_in_log(seen.log, rack);
  outcome.saw = seen.timed_out ? "it did not end" : fmt::format("exit code {}", seen.exit_code);
  if (!named.empty()) outcome.saw += fmt::format(": rank {}", fmt::join(named, ", "));
  outcome.found = seen.exit_code != 0;
  const bool only_right = all_among(named, trial.ranks);
  outcome.accused = !named.empty() && !only_right;
  outcome.named = only_right && !seen.timed_out && ends_as_lost(seen.exit_code);
  return outcome;
}

Outcome judge_full_disk(const Seen& seen) {
  Outcome outcome;
  outcome.found = seen.exit_code != 0;
  static const std::regex line("rackproof: .*\\.h5(\\.part)?.*(No space left|File too large|disk)");
  const bool said = std::regex_search(seen.log, line);
  outcome.saw =
      fmt::format("exit code {}, {}, {}", seen.exit_code, said ? "the file is named" : "the file is not named",
                  seen.parts ? "what had finished is kept" : "nothing is kept");
  outcome.named = said && seen.exit_code == 75 && seen.parts.has_value();
  return outcome;
}

}  // namespace

const std::vector<Fault>& all_faults() {
  static const std::vector<Fault> all = make_faults();
  return all;
}

std::vector<Fault> choose_faults(const std::string& list) {
  if (list == "all") return all_faults();
  std::vector<Fault> chosen;
  for (const std::string& key : split_list(list, "--faults")) {
    const std::size_t before = chosen.size();
    for (const Fault& fault : all_faults()) {
      if (fault.key == key || fault.key.starts_with(key + "-")) chosen.push_back(fault);
    }
    if (chosen.size() > before) continue;
    std::string known;
    for (const Fault& fault : all_faults()) known += (known.empty() ? "" : ", ") + fault.key;
    throw usage_error(fmt::format("--faults: '{}' is none of {}", printable(key), known));
  }
  return chosen;
}

int Rack::nodes() const {
  std::set<int> numbers;
  for (const Place& place : ranks) numbers.insert(place.node);
  return static_cast<int>(numbers.size());
}

std::string why_not(const Fault& fault, const Rack& rack) {
  const std::size_t ranks = rack.ranks.size();
  switch (fault.what) {
    case What::slow_link:
    case What::slow_node:
    case What::throttled_device:
      return ranks < fewest_places ? fmt::format("{} ranks; {} are needed to tell who is slow", ranks, fewest_places)
                                   : "";
    case What::other_library:
      return rack.nodes() < 3
                 ? fmt::format("{} nodes; with fewer than 3 no majority tells whose library is the other", rack.nodes())
                 : "";
    case What::flipped_bit:
      return ranks < 3 ? fmt::format("{} ranks; with fewer than 3 no majority tells whose bits are wrong", ranks) : "";
    case What::clock_jump:
      return ranks < 3 ? fmt::format("{} ranks; with fewer than 3 nobody can tell whose clock jumped", ranks) : "";
    case What::healthy:
    case What::frozen_rank:
    case What::dead_node:
    case What::wrong_sum:
    case What::full_disk:
      break;
  }
  return ranks < 2 && fault.what != What::healthy && fault.what != What::full_disk ? "one rank alone" : "";
}

Trial plan_trial(const Fault& fault, const Rack& rack, int number, std::uint64_t seed,
                 const std::string& library_folder) {
  Draw draw(fault, number, seed);
  Trial trial;
  trial.fault = &fault;
  trial.number = number;
  if (rack.fake) {
    trial.environment.emplace_back("RACKPROOF_FAKE_TIMES", fmt::format("{}", draw.number()));
    // The doubles' NCCL has all ranks meet at one of them, which is no network.
    add(trial.arguments, {"--collective-backends", "mpi"});
  }
  plan_fault(trial, rack, draw, library_folder);
  return trial;
}

std::vector<int> ranks_in_log(const std::string& log, const Rack& rack) {
  static const std::regex own("^rackproof:   rank ([0-9]{1,7}) on ");
  static const std::regex root("rank 0 on \\S+ (is gone|: its node hangs)|no word from rank 0 on ");
  static const std::regex by_srun(
      "^srun: error: (\\S+): tasks? ([0-9]{1,7})(?:[-,]([0-9]{1,7}))?: (Killed|Exited|Bus)");
  static const std::regex by_mpirun("noticed that process rank ([0-9]{1,7}) with PID .* exited on signal");
  std::set<int> told;
  std::set<int> launchers;
  const auto add_rank = [&](std::set<int>& to, const std::string& digits) {
    const int rank = std::stoi(digits);
    if (rank < static_cast<int>(rack.ranks.size())) to.insert(rank);
  };
  std::istringstream lines(log);
  std::smatch match;
  for (std::string line; std::getline(lines, line);) {
    if (std::regex_search(line, match, own)) add_rank(told, match[1]);
    if (std::regex_search(line, match, root)) told.insert(0);
    if (std::regex_search(line, match, by_mpirun)) add_rank(launchers, match[1]);
    if (std::regex_search(line, match, by_srun) && match[4] == "Killed") {
      add_rank(launchers, match[2]);
      if (match[3].matched) add_rank(launchers, match[3]);
    }
  }
  const std::set<int>& best = told.empty() ? launchers : told;
  return {best.begin(), best.end()};
}

Outcome judge(const Trial& trial, const Rack& rack, const Seen& seen) {
  switch (trial.fault->what) {
    case What::healthy:
      return judge_healthy(seen);
    case What::frozen_rank:
    case What::dead_node:
      return judge_lost(trial, rack, seen);
    case What::full_disk:
      return judge_full_disk(seen);
    case What::wrong_sum:
    case What::flipped_bit:
      return judge_parts(trial, rack, seen, static_cast<int>(ExitCode::fail), false);
    case What::clock_jump:
      return judge_parts(trial, rack, seen, static_cast<int>(ExitCode::pass), true);
    case What::slow_link:
    case What::slow_node:
    case What::throttled_device:
    case What::other_library:
      break;
  }
  return judge_parts(trial, rack, seen, static_cast<int>(ExitCode::pass), false);
}

double least_share(int hits, int trials) {
  if (trials <= 0 || hits <= 0) return 0.0;
  return boost::math::quantile(boost::math::beta_distribution<double>(hits, trials - hits + 1), 0.05);
}

double most_share(int hits, int trials) {
  if (trials <= 0 || hits >= trials) return 1.0;
  return boost::math::quantile(boost::math::beta_distribution<double>(hits + 1, trials - hits), 0.95);
}

}  // namespace rackproof::selftest
