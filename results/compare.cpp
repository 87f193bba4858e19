#include "results/compare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "common/core/error.hpp"
#include "common/stats/order_statistics.hpp"
#include "results/export_format.hpp"
#include "results/launches.hpp"
#include "results/part_file.hpp"
#include "results/reader.hpp"

namespace rackproof::results {
namespace {

using CaseKey = std::pair<std::string, std::string>;
using FactsOfSide = std::vector<std::map<std::string, std::string>>;

/// Fewer devices have no rest to stand apart from.
constexpr std::size_t fewest_devices = 3;

std::string counted(std::size_t count, std::string_view noun, std::string_view plural = "s") {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : plural);
}

/// The launches of one side, case by case.
struct SideOfLaunches {
  std::string name;
  std::span<const Launch> launches;
  std::map<CaseKey, std::vector<const LaunchCase*>> cases;  ///< one a launch; null where the file has no such case
  FactsOfSide facts;
};

SideOfLaunches side_of(const std::string& name, std::span<const Launch> launches) {
  SideOfLaunches side{name, launches, {}, {}};
  for (std::size_t i = 0; i < launches.size(); ++i) {
    for (const LaunchCase& one : launches[i].cases) {
      auto& row = side.cases[{one.suite, one.name}];
      row.resize(launches.size(), nullptr);
      row[i] = &one;
    }
    side.facts.push_back(facts_of(launches[i].header));
  }
  return side;
}

/// Of both sides, in the order of the files.
std::vector<CaseKey> keys_of(const SideOfLaunches& base, const SideOfLaunches& other) {
  std::vector<CaseKey> keys;
  std::set<CaseKey> known;
  for (const SideOfLaunches* side : {&base, &other}) {
    for (const Launch& launch : side->launches) {
      for (const LaunchCase& one : launch.cases) {
        if (known.emplace(one.suite, one.name).second) keys.emplace_back(one.suite, one.name);
      }
    }
  }
  // A suite's cases stay together, whichever side they came from.
  std::vector<std::string> suites;
  for (const auto& [suite, name] : keys) {
    if (std::find(suites.begin(), suites.end(), suite) == suites.end()) suites.push_back(suite);
  }
  const auto place = [&](const CaseKey& key) { return std::find(suites.begin(), suites.end(), key.first); };
  std::stable_sort(keys.begin(), keys.end(), [&](const CaseKey& a, const CaseKey& b) { return place(a) < place(b); });
  return keys;
}

/// The launches of a case on one side.
std::vector<const LaunchCase*> row_of(const SideOfLaunches& side, const CaseKey& key) {
  const auto found = side.cases.find(key);
  if (found != side.cases.end()) return found->second;
  return std::vector<const LaunchCase*>(side.launches.size(), nullptr);
}

bool has_time(const LaunchCase* one) { return one != nullptr && std::isfinite(one->time); }

ComparedTimes times_of(const std::vector<const LaunchCase*>& row) {
  ComparedTimes all;
  for (const LaunchCase* one : row) {
    if (has_time(one)) all.times.push_back(one->time);
  }
  all.median = stats::median(all.times);
  return all;
}

// ---- why a case cannot be compared ----

/// "m 512 against 1024"; empty where both are the same work.
std::string difference_in_work(const CaseHeader& a, const CaseHeader& b) {
  constexpr std::string_view repeated = "repetition";
  const auto text_of = [](const ParameterValue* value) {
    return value == nullptr ? "-" : rackproof::to_string(*value);
  };
  for (const auto* both : {&a, &b}) {
    for (const auto& [name, value] : both->parameters.entries()) {
      const std::string one = text_of(a.parameters.find(name));
      const std::string two = text_of(b.parameters.find(name));
      if (name != repeated && one != two) return fmt::format("{} {} against {}", name, one, two);
    }
  }
  if (a.flop != b.flop) return fmt::format("{} against {} flop", a.flop, b.flop);
  if (a.tokens != b.tokens) return fmt::format("{} against {} tokens", a.tokens, b.tokens);
  if (a.message_size != b.message_size) return fmt::format("{} against {} bytes", a.message_size, b.message_size);
  if (a.collective != b.collective) return "a collective against work of each rank on its own";
  return {};
}

std::string first_difference_in_work(const std::vector<const LaunchCase*>& base,
                                     const std::vector<const LaunchCase*>& other) {
  const LaunchCase* first = nullptr;
  for (const auto* row : {&base, &other}) {
    for (const LaunchCase* one : *row) {
      if (one == nullptr) continue;
      if (first == nullptr) first = one;
      if (std::string text = difference_in_work(first->header, one->header); !text.empty()) return text;
    }
  }
  return {};
}

/// "its check failed in 2 of 10 launches of new: ..."; empty where none did.
std::string failures(const SideOfLaunches& side, const std::vector<const LaunchCase*>& row) {
  std::size_t failed = 0;
  std::size_t broken = 0;
  std::string message;
  for (const LaunchCase* one : row) {
    if (one == nullptr) continue;
    failed += one->status == Status::failed ? 1 : 0;
    broken += one->status == Status::error ? 1 : 0;
    const bool bad = one->status == Status::failed || one->status == Status::error;
    if (bad && message.empty()) message = one->message;
  }
  if (failed + broken == 0) return {};
  return fmt::format("{} in {} of {} of {}{}{}",
                     broken == 0   ? "its check failed"
                     : failed == 0 ? "it broke off"
                                   : "it failed or broke off",
                     failed + broken, counted(row.size(), "launch", "es"), side.name, message.empty() ? "" : ": ",
                     message);
}

/// "new has no time of it: not in its files"; empty where every launch has one.
std::string absences(const SideOfLaunches& side, const std::vector<const LaunchCase*>& row) {
  std::map<std::string, std::size_t> reasons;
  for (const LaunchCase* one : row) {
    if (has_time(one)) continue;
    if (one == nullptr) {
      ++reasons["not in the file"];
    } else if (one->status == Status::skipped) {
      ++reasons["skipped: " + one->message];
    } else {
      ++reasons[one->status == Status::not_run ? "not run" : "no sample"];
    }
  }
  if (reasons.empty()) return {};
  std::size_t count = 0;
  std::string text;
  for (const auto& [reason, times] : reasons) {
    count += times;
    text += (text.empty() ? "" : "; ") + reason;
  }
  if (count == row.size()) return fmt::format("{} has no time of it ({})", side.name, text);
  return fmt::format("{} of {} of {} have no time of it ({})", count, counted(row.size(), "launch", "es"), side.name,
                     text);
}

bool skipped_everywhere(const std::vector<const LaunchCase*>& row) {
  return std::all_of(row.begin(), row.end(),
                     [](const LaunchCase* one) { return one != nullptr && one->status == Status::skipped; });
}

void add_sentence(std::string& note, const std::string& sentence) {
  if (sentence.empty()) return;
  note += (note.empty() ? "" : "; ") + sentence;
}

/// Everything but the verdict; `call` is inconclusive where there is one to come.
ComparedCase compared_case(const SideOfLaunches& base, const SideOfLaunches& other, const CaseKey& key,
                           const CompareOptions& options) {
  const std::vector<const LaunchCase*> there = row_of(base, key);
  const std::vector<const LaunchCase*> here = row_of(other, key);
  ComparedCase one;
  one.suite = key.first;
  one.name = key.second;
  one.base = times_of(there);
  one.other = times_of(here);
  const auto margin = options.margins.cases.find(one.name);
  one.margin = margin == options.margins.cases.end() ? options.margin : margin->second.margin;
  for (const auto* row : {&here, &there}) {
    for (const LaunchCase* launch : *row) {
      if (launch == nullptr) continue;
      if (!launch->header.figures.empty()) one.figure = launch->header.figures.front();
      one.mistrusted = one.mistrusted || launch->status == Status::mistrusted;
    }
  }
  const std::string failed_there = failures(base, there);
  const std::string failed_here = failures(other, here);
  if (!failed_there.empty() || !failed_here.empty()) {
    one.call = Call::failed;
    add_sentence(one.note, failed_there);
    add_sentence(one.note, failed_here);
  } else if (skipped_everywhere(there) && skipped_everywhere(here)) {
    one.call = Call::skipped;
  } else if (const std::string work = first_difference_in_work(there, here); !work.empty()) {
    one.call = Call::different;
    one.note = work;
  } else {
    if (one.base.times.empty() || one.other.times.empty()) one.call = Call::missing;
    one.incomplete = one.base.times.size() != there.size() || one.other.times.size() != here.size();
    add_sentence(one.note, absences(base, there));
    add_sentence(one.note, absences(other, here));
  }
  return one;
}

stats::LaunchTimes launch_times(const ComparedCase& one, const CompareOptions& options) {
  stats::LaunchTimes times{one.base.times, one.other.times, one.margin};
  const auto known = options.margins.cases.find(one.name);
  if (known != options.margins.cases.end()) times.known_spread = known->second.spread;
  return times;
}

Call call_of(stats::LaunchCall call) {
  switch (call) {
    case stats::LaunchCall::faster:
      return Call::faster;
    case stats::LaunchCall::slower:
      return Call::slower;
    case stats::LaunchCall::same:
      return Call::same;
    case stats::LaunchCall::inconclusive:
      break;
  }
  return Call::inconclusive;
}

// ---- suites ----

/// Of each launch the geometric mean of its times of these cases.
std::vector<double> geometric_means(const SideOfLaunches& side, const std::vector<CaseKey>& keys) {
  std::vector<double> sums(side.launches.size(), 0.0);
  for (const CaseKey& key : keys) {
    const std::vector<const LaunchCase*> row = row_of(side, key);
    for (std::size_t i = 0; i < row.size(); ++i) sums[i] += std::log(row[i]->time);
  }
  for (double& sum : sums) sum = std::exp(sum / static_cast<double>(keys.size()));
  return sums;
}

void count_call(ComparedSuite& suite, Call call) {
  switch (call) {
    case Call::faster:
      ++suite.faster;
      break;
    case Call::slower:
      ++suite.slower;
      break;
    case Call::same:
      ++suite.same;
      break;
    case Call::inconclusive:
      ++suite.inconclusive;
      break;
    case Call::skipped:
      ++suite.skipped;
      break;
    case Call::missing:
    case Call::failed:
    case Call::different:
      ++suite.failing;
      break;
  }
}

bool is_complete(const ComparedCase& one, const SideOfLaunches& base, const SideOfLaunches& other) {
  return is_judged(one.call) && one.base.times.size() == base.launches.size() &&
         one.other.times.size() == other.launches.size();
}

std::vector<ComparedSuite> suites_of(const Contrast& contrast, const SideOfLaunches& base, const SideOfLaunches& other,
                                     const CompareOptions& options) {
  std::vector<ComparedSuite> suites;
  std::vector<std::vector<CaseKey>> complete;
  for (const ComparedCase& one : contrast.cases) {
    if (suites.empty() || suites.back().name != one.suite) {
      suites.push_back({one.suite});
      complete.emplace_back();
    }
    count_call(suites.back(), one.call);
    if (is_complete(one, base, other)) complete.back().emplace_back(one.suite, one.name);
  }
  for (std::size_t s = 0; s < suites.size(); ++s) {
    suites[s].cases = complete[s].size();
    if (complete[s].empty()) continue;
    const stats::LaunchTimes times{geometric_means(base, complete[s]), geometric_means(other, complete[s])};
    const stats::LaunchVerdict verdict = stats::judge_launches({&times, 1}, options.rules).front();
    suites[s].ratio = verdict.ratio;
    suites[s].low = verdict.low;
    suites[s].high = verdict.high;
  }
  return suites;
}

// ---- devices ----

/// What a device is known by in other files.
std::string key_of(const RankHeader& rank) {
  if (!rank.uuid.empty()) return rank.uuid;
  if (!rank.serial.empty()) return rank.serial;
  return rank.hostname + "\n" + rank.device_id;
}

/// Of each device its rank; empty where two ranks share one.
std::map<std::string, std::size_t> ranks_by_device(const Launch& launch) {
  std::map<std::string, std::size_t> ranks;
  for (std::size_t r = 0; r < launch.header.ranks.size(); ++r) {
    if (!ranks.emplace(key_of(launch.header.ranks[r]), r).second) return {};
  }
  return ranks;
}

/// The devices' own times relative to the rest of their launch: device by device, side by side.
class DeviceTimes {
 public:
  /// `keys`: cases with a time in every launch of both sides.
  DeviceTimes(const SideOfLaunches& base, const SideOfLaunches& other, const std::vector<CaseKey>& keys)
      : base_(base), other_(other) {
    if (!same_devices()) return;
    for (const CaseKey& key : keys) {
      if (!row_of(base, key).front()->rank_time.empty()) add_case(key);
    }
    if (cases_.empty()) return;
    devices_.resize(devices().size());
    for (const SideOfLaunches* side : {&base_, &other_}) {
      for (std::size_t i = 0; i < side->launches.size(); ++i) add_launch(*side, i);
    }
  }

  [[nodiscard]] const std::vector<stats::LaunchTimes>& times() const { return devices_; }

  /// Device i of times().
  [[nodiscard]] ComparedDevice describe(std::size_t i) const {
    const std::size_t rank = std::next(devices().begin(), static_cast<std::ptrdiff_t>(i))->second;
    const RankHeader& header = base_.launches.front().header.ranks[rank];
    ComparedDevice device;
    device.rank = static_cast<int>(rank);
    device.name = header.hostname + " " + header.device_id;
    device.identity = header.serial.empty() ? header.uuid : header.serial;
    return device;
  }

 private:
  using Row = std::vector<const LaunchCase*>;

  [[nodiscard]] const std::map<std::string, std::size_t>& devices() const { return places_.front(); }

  bool same_devices() {
    for (const SideOfLaunches* side : {&base_, &other_}) {
      for (const Launch& launch : side->launches) places_.push_back(ranks_by_device(launch));
    }
    const auto same = [&](const auto& one) {
      return std::equal(one.begin(), one.end(), devices().begin(), devices().end(),
                        [](const auto& a, const auto& b) { return a.first == b.first; });
    };
    return devices().size() >= fewest_devices && std::all_of(places_.begin(), places_.end(), same);
  }

  void add_case(const CaseKey& key) {
    const std::pair<Row, Row> rows{row_of(base_, key), row_of(other_, key)};
    std::vector<double> typical;
    for (const Row* row : {&rows.first, &rows.second}) {
      for (const LaunchCase* one : *row) {
        const bool whole = std::all_of(one->rank_time.begin(), one->rank_time.end(),
                                       [](float t) { return std::isfinite(t) && t > 0.0F; });
        if (!whole || one->rank_time.size() != devices().size()) return;
      }
    }
    for (const LaunchCase* one : rows.first) typical.push_back(one->time);
    cases_.push_back({rows.first, rows.second, std::log(stats::median(typical))});
  }

  /// Of each device the median over cases of log(its time / the case's usual time), less the same of the whole launch.
  void add_launch(const SideOfLaunches& side, std::size_t i) {
    const bool is_base = &side == &base_;
    const std::map<std::string, std::size_t>& ranks = places_[is_base ? i : base_.launches.size() + i];
    std::vector<double> values;
    for (const auto& [device, rank] : ranks) {
      std::vector<double> logs;
      for (const Usual& one : cases_) {
        const LaunchCase& launch = *(is_base ? one.base : one.other)[i];
        logs.push_back(std::log(static_cast<double>(launch.rank_time[rank])) - one.log_time);
      }
      values.push_back(stats::median(logs));
    }
    const double middle = stats::median(values);
    for (std::size_t d = 0; d < values.size(); ++d) {
      (is_base ? devices_[d].base : devices_[d].other).push_back(std::exp(values[d] - middle));
    }
  }

  struct Usual {
    Row base;
    Row other;
    double log_time;
  };
  const SideOfLaunches& base_;
  const SideOfLaunches& other_;
  std::vector<std::map<std::string, std::size_t>> places_;  ///< of each launch of both sides
  std::vector<Usual> cases_;
  std::vector<stats::LaunchTimes> devices_;
};

// ---- all of it ----

/// One contrast before it has verdicts.
struct Draft {
  Contrast contrast;
  std::optional<DeviceTimes> devices;
};

Draft draft_of(const SideOfLaunches& base, const SideOfLaunches& other, const CompareOptions& options) {
  Draft draft;
  draft.contrast.name = other.name;
  std::vector<CaseKey> complete;
  for (const CaseKey& key : keys_of(base, other)) {
    draft.contrast.cases.push_back(compared_case(base, other, key, options));
    if (is_complete(draft.contrast.cases.back(), base, other)) complete.push_back(key);
  }
  draft.contrast.differences = provenance_differences(base.facts, other.facts);
  draft.devices.emplace(base, other, complete);
  draft.contrast.devices_compared = draft.devices->times().size();
  return draft;
}

/// All cases and devices of all contrasts are one family: Holm's correction is over every p-value that is looked at.
class ComparedFamily {
 public:
  ComparedFamily(std::vector<Draft>& drafts, const CompareOptions& options) : drafts_(drafts), options_(options) {
    for (const Draft& draft : drafts_) {
      for (const ComparedCase& one : draft.contrast.cases) {
        if (is_judged(one.call)) times_.push_back(launch_times(one, options));
      }
      for (stats::LaunchTimes device : draft.devices->times()) {
        device.margin = options.margin;
        times_.push_back(std::move(device));
      }
    }
  }

  [[nodiscard]] std::size_t size() const { return times_.size(); }

  void judge() {
    const std::vector<stats::LaunchVerdict> verdicts = stats::judge_launches(times_, options_.rules);
    std::size_t next = 0;
    for (Draft& draft : drafts_) {
      for (ComparedCase& one : draft.contrast.cases) {
        if (!is_judged(one.call)) continue;
        one.verdict = verdicts[next++];
        one.call = call_of(one.verdict.call);
        // Where only some launches have it, the others may not have for a reason: nobody calls that all right.
        if (one.incomplete && (one.call == Call::same || one.call == Call::faster)) one.call = Call::inconclusive;
      }
      for (std::size_t d = 0; d < draft.devices->times().size(); ++d) add_device(draft, d, verdicts[next++]);
      auto& devices = draft.contrast.devices;
      std::stable_sort(devices.begin(), devices.end(), [](const ComparedDevice& a, const ComparedDevice& b) {
        return a.verdict.ratio > b.verdict.ratio;
      });
    }
  }

 private:
  void add_device(Draft& draft, std::size_t d, const stats::LaunchVerdict& verdict) const {
    if (verdict.call != stats::LaunchCall::slower && verdict.call != stats::LaunchCall::faster) return;
    ComparedDevice device = draft.devices->describe(d);
    device.margin = options_.margin;
    device.verdict = verdict;
    device.call = call_of(verdict.call);
    draft.contrast.devices.push_back(std::move(device));
  }

  std::vector<Draft>& drafts_;
  const CompareOptions& options_;
  std::vector<stats::LaunchTimes> times_;
};

void check_ranks(const SideOfLaunches& side) {
  const Launch& first = side.launches.front();
  for (const Launch& launch : side.launches) {
    if (launch.header.ranks.size() == first.header.ranks.size()) continue;
    throw usage_error(fmt::format("{} has {} and {} has {}, both on the side {}: they are no launches of one thing",
                                  quoted(first.path), counted(first.header.ranks.size(), "rank"), quoted(launch.path),
                                  counted(launch.header.ranks.size(), "rank"), printable(side.name)));
  }
}

void warn_of_side(const SideOfLaunches& side, std::vector<std::string>& warnings) {
  for (const Launch& launch : side.launches) {
    const std::string what = launch.unfinished         ? "is unfinished: its run goes on or broke off"
                             : launch.header.recovered ? "was recovered from a run that broke off"
                                                       : "";
    if (!what.empty()) warnings.push_back(fmt::format("{} {}", quoted(launch.path), what));
    if (const std::string why = why_no_measurement(launch.header); !why.empty()) {
      warnings.push_back(fmt::format("{} was made {}", quoted(launch.path), why));
    }
  }
  for (const std::string& line : differences_within(side.facts)) {
    warnings.push_back(fmt::format("the launches of {} are not alike: {}", side.name, line));
  }
}

void warn_of_sizes(const SideOfLaunches& base, const SideOfLaunches& other, std::vector<std::string>& warnings) {
  const std::size_t there = base.launches.front().header.ranks.size();
  const std::size_t here = other.launches.front().header.ranks.size();
  if (there != here) {
    warnings.push_back(fmt::format("{} ran with {} and {} with {}: times of collectives are not of the same operation",
                                   base.name, counted(there, "rank"), other.name, counted(here, "rank")));
  }
}

}  // namespace

std::string_view to_string(Call call) {
  switch (call) {
    case Call::faster:
      return "FASTER";
    case Call::slower:
      return "SLOWER";
    case Call::same:
      return "SAME";
    case Call::inconclusive:
      return "INCONCLUSIVE";
    case Call::missing:
      return "MISSING";
    case Call::failed:
      return "FAILED";
    case Call::different:
      return "DIFFERENT";
    case Call::skipped:
      return "skipped";
  }
  return "?";
}

bool is_judged(Call call) {
  return call == Call::faster || call == Call::slower || call == Call::same || call == Call::inconclusive;
}

Comparison compare(const CompareSide& base, const std::vector<CompareSide>& others, const CompareOptions& options) {
  std::vector<std::filesystem::path> paths = base.files;
  for (const CompareSide& other : others) paths.insert(paths.end(), other.files.begin(), other.files.end());
  const bool some_empty =
      base.files.empty() || others.empty() ||
      std::any_of(others.begin(), others.end(), [](const auto& side) { return side.files.empty(); });
  if (some_empty) throw usage_error("a side without a file: there is nothing to compare");
  const std::vector<Launch> launches = read_launches(paths, options.case_regex, options.allow_fake, options.known);

  Comparison comparison;
  comparison.base = base;
  comparison.others = others;
  comparison.alpha = options.rules.alpha;
  comparison.confidence = options.rules.confidence;
  for (const Launch& launch : launches) comparison.left_out = std::max(comparison.left_out, launch.left_out);

  std::span<const Launch> rest(launches);
  const auto take = [&](const CompareSide& side) {
    const auto own = rest.first(side.files.size());
    rest = rest.subspan(side.files.size());
    return side_of(side.name, own);
  };
  SideOfLaunches first = take(base);
  std::vector<SideOfLaunches> sides;
  for (const CompareSide& other : others) sides.push_back(take(other));
  std::vector<std::span<std::map<std::string, std::string>>> facts{first.facts};
  for (SideOfLaunches& side : sides) facts.emplace_back(side.facts);
  comparison.restless = take_restless(facts);
  check_ranks(first);
  warn_of_side(first, comparison.warnings);
  if (!options.margins.cases.empty()) {
    std::size_t fewest = first.launches.size();
    for (const SideOfLaunches& side : sides) fewest = std::min(fewest, side.launches.size());
    for (std::string& line : margin_mismatches(options.margins, first.launches.front().header, fewest)) {
      comparison.warnings.push_back(std::move(line));
    }
  }
  std::vector<Draft> drafts;
  for (const SideOfLaunches& side : sides) {
    check_ranks(side);
    warn_of_side(side, comparison.warnings);
    warn_of_sizes(first, side, comparison.warnings);
    drafts.push_back(draft_of(first, side, options));
  }
  ComparedFamily family(drafts, options);
  family.judge();
  comparison.family = static_cast<int>(family.size());
  comparison.fewest_launches = stats::fewest_launches(comparison.family, options.rules);
  for (std::size_t i = 0; i < drafts.size(); ++i) {
    drafts[i].contrast.suites = suites_of(drafts[i].contrast, first, sides[i], options);
    comparison.contrasts.push_back(std::move(drafts[i].contrast));
  }
  return comparison;
}

std::vector<CompareSide> sides_by_label(const std::vector<std::filesystem::path>& files, const std::string& label,
                                        const std::string& first) {
  std::map<std::string, CompareSide> groups;
  for (const std::filesystem::path& path : files) {
    const ResultFile file(path);
    const std::map<std::string, std::string> labels = labels_of(file.header());
    const auto found = labels.find(label);
    if (found == labels.end()) {
      std::string known;
      for (const auto& [key, value] : labels) known += (known.empty() ? "it has " : ", ") + printable(key);
      throw usage_error(fmt::format("{} has no label '{}'; {}", quoted(path), printable(label),
                                    known.empty() ? "it has none at all" : known));
    }
    CompareSide& side = groups[found->second];
    side.name = printable(found->second, 40);
    side.files.push_back(path);
  }
  if (groups.size() < 2) {
    throw usage_error(fmt::format("all {} have the label {}={}: nothing to compare", counted(files.size(), "file"),
                                  printable(label), groups.empty() ? "" : groups.begin()->second.name));
  }
  if (!first.empty() && !groups.contains(first)) {
    throw usage_error(fmt::format("no file has the label {}={}", printable(label), printable(first)));
  }
  std::vector<CompareSide> sides;
  const std::string base = first.empty() ? groups.begin()->first : first;
  sides.push_back(std::move(groups[base]));
  for (auto& [value, side] : groups) {
    if (value != base) sides.push_back(std::move(side));
  }
  return sides;
}

ExitCode verdict_of(const Comparison& comparison) {
  bool undecided = false;
  for (const Contrast& contrast : comparison.contrasts) {
    for (const ComparedCase& one : contrast.cases) {
      switch (one.call) {
        case Call::slower:
        case Call::missing:
        case Call::failed:
        case Call::different:
          return ExitCode::fail;
        case Call::inconclusive:
          undecided = true;
          break;
        case Call::faster:
        case Call::same:
        case Call::skipped:
          break;
      }
    }
    const bool worse = std::any_of(contrast.devices.begin(), contrast.devices.end(),
                                   [](const ComparedDevice& device) { return device.call == Call::slower; });
    if (worse) return ExitCode::fail;
  }
  return undecided ? ExitCode::inconclusive : ExitCode::pass;
}

}  // namespace rackproof::results
