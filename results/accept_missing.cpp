// What some runs have and others lack: a device, a suite or a case that is not there has not passed.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "common/core/error.hpp"
#include "results/accept_parts.hpp"
#include "results/case_summary.hpp"
#include "results/links.hpp"
#include "results/part_file.hpp"

namespace rackproof::results {
namespace {

using CaseNames = std::set<std::pair<std::string, std::string>>;  ///< suite, case

constexpr std::size_t most_named = 5;

/// Which pairs a run met again it chose by what it saw.
bool is_chosen_in_the_run(const CaseHeader& which) {
  const ParameterValue* const stage = which.parameters.find(schema::stage);
  return is_pair_case(which) && stage != nullptr && rackproof::to_string(*stage) != schema::stage_round;
}

/// The cases of a file that `counts` by their outcome.
template <typename Counts>
CaseNames case_names(const ResultFile& file, Counts&& counts) {
  CaseNames names;
  const RunHeader& header = file.header();
  for (std::size_t s = 0; s < header.suites.size(); ++s) {
    for (std::size_t c = 0; c < header.suites[s].cases.size(); ++c) {
      const CaseHeader& which = header.suites[s].cases[c];
      if (!is_chosen_in_the_run(which) && counts(file.outcome(s, c))) {
        names.emplace(header.suites[s].name, which.name);
      }
    }
  }
  return names;
}

CaseNames missing_of(const CaseNames& wanted, const CaseNames& there) {
  CaseNames missing;
  std::set_difference(wanted.begin(), wanted.end(), there.begin(), there.end(), std::inserter(missing, missing.end()));
  return missing;
}

/// "all 3 cases of suite 'allreduce', gemm/f32/m8n8k8 and 4 more".
std::string names_text(const CaseNames& missing, const CaseNames& there) {
  std::map<std::string, std::size_t> of_suite;
  for (const auto& [suite, name] : missing) ++of_suite[suite];
  std::set<std::string> suites_there;
  for (const auto& [suite, name] : there) suites_there.insert(suite);
  std::vector<std::string> names;
  std::size_t left = missing.size();
  for (const auto& [suite, count] : of_suite) {
    if (suites_there.count(suite) > 0 || names.size() >= most_named) continue;
    names.push_back(
        fmt::format("{} of suite '{}'", count == 1 ? "the case" : fmt::format("all {} cases", count), suite));
    left -= count;
  }
  for (const auto& [suite, name] : missing) {
    if (suites_there.count(suite) == 0 || names.size() >= most_named) continue;
    names.push_back(name);
    --left;
  }
  std::string text = fmt::format("{}", fmt::join(names, ", "));
  if (left > 0) text += fmt::format(" and {} more", left);
  return text;
}

void hold_rack_open(PartBook& book, std::size_t attempt, std::string text) {
  Evidence evidence;
  evidence.kind = Evidence::Kind::not_measured;
  evidence.verdict = Verdict::inconclusive;
  evidence.attempt = attempt;
  evidence.text = std::move(text);
  book.add(PartBook::rack, std::move(evidence));
}

std::string place_of_device(const RankHeader& rank) { return rank.hostname + '\0' + rank.device_id; }

/// Devices of a launch that was good which are not in the attempt; nor is another in their place.
std::vector<std::string> devices_lost(const RunHeader& good, const RunHeader& now) {
  std::set<std::string> known;
  for (const RankHeader& rank : now.ranks) {
    known.insert(identity_of(rank));
    known.insert(place_of_device(rank));
  }
  std::vector<std::string> lost;
  for (const RankHeader& rank : good.ranks) {
    if (known.count(identity_of(rank)) > 0 || known.count(place_of_device(rank)) > 0) continue;
    lost.push_back(
        fmt::format("{} {}{}{}", rank.hostname, rank.device_id, rank.serial.empty() ? "" : " serial ", rank.serial));
  }
  return lost;
}

std::map<std::string, std::size_t> devices_by_kind(const RunHeader& header) {
  std::map<std::string, std::size_t> counts;
  for (const RankHeader& rank : header.ranks) ++counts[rank.device_name];
  return counts;
}

/// What the attempt has fewer of than a launch of a sister rack; empty: nothing.
std::string fewer_devices(const RunHeader& good, const RunHeader& now) {
  const auto here = devices_by_kind(now);
  for (const auto& [kind, count] : devices_by_kind(good)) {
    const auto found = here.find(kind);
    const std::size_t has = found == here.end() ? 0 : found->second;
    if (has < count) return fmt::format("it has {} of the {} devices '{}' of the baseline's rack", has, count, kind);
  }
  return {};
}

void compare_devices(const ResultFile& attempt, std::size_t number, std::span<const ResultFile> baseline,
                     PartBook& book) {
  std::set<std::string> lost;
  std::string fewer;
  for (const ResultFile& good : baseline) {
    const std::vector<std::string> some = devices_lost(good.header(), attempt.header());
    if (some.size() < good.header().ranks.size()) {
      lost.insert(some.begin(), some.end());
    } else if (fewer.empty()) {
      fewer = fewer_devices(good.header(), attempt.header());
    }
  }
  if (!lost.empty()) {
    std::vector<std::string> named(
        lost.begin(), std::next(lost.begin(), static_cast<std::ptrdiff_t>(std::min(most_named, lost.size()))));
    std::string text =
        fmt::format("{} device{} of the baseline {} not there: {}", lost.size(), lost.size() == 1 ? "" : "s",
                    lost.size() == 1 ? "is" : "are", fmt::join(named, ", "));
    if (lost.size() > named.size()) text += fmt::format(" and {} more", lost.size() - named.size());
    hold_rack_open(book, number, std::move(text));
  }
  if (!fewer.empty()) hold_rack_open(book, number, std::move(fewer));
}

}  // namespace

std::string identity_of(const RankHeader& rank) {
  if (!rank.uuid.empty()) return "uuid " + rank.uuid;
  return fmt::format("{} {} {}", rank.serial, rank.hostname, rank.device_id);
}

void refuse_same_runs(std::span<const ResultFile> attempts, std::span<const ResultFile> baseline) {
  std::map<std::string, std::string> known;
  for (const auto& files : {attempts, baseline}) {
    for (const ResultFile& file : files) {
      std::string id = file.header().run_id;
      if (const auto placement = file.narrowed_to()) id += fmt::format("#{}", *placement);
      const auto [entry, is_new] = known.emplace(std::move(id), quoted(file.path()));
      if (is_new) continue;
      throw usage_error(
          fmt::format("{} and {} are of the same run; one launch counts once", entry->second, quoted(file.path())));
    }
  }
}

void judge_missing_cases(std::span<const ResultFile> attempts, PartBook& book) {
  std::vector<CaseNames> all;
  CaseNames wanted;
  for (const ResultFile& file : attempts) {
    all.push_back(case_names(file, [](const CaseOutcome&) { return true; }));
    wanted.insert(all.back().begin(), all.back().end());
  }
  for (std::size_t a = 0; a < attempts.size(); ++a) {
    const CaseNames missing = missing_of(wanted, all[a]);
    if (missing.empty()) continue;
    hold_rack_open(book, a, fmt::format("cases of another attempt are not there: {}", names_text(missing, all[a])));
  }
}

void judge_missing_of_baseline(std::span<const ResultFile> attempts, std::span<const ResultFile> baseline,
                               PartBook& book) {
  CaseNames wanted;
  for (const ResultFile& file : baseline) wanted.merge(case_names(file, is_measured));
  for (std::size_t a = 0; a < attempts.size(); ++a) {
    // What was not run is held open as such.
    const CaseNames there =
        case_names(attempts[a], [](const CaseOutcome& outcome) { return outcome.status != Status::skipped; });
    const CaseNames missing = missing_of(wanted, there);
    if (!missing.empty()) {
      hold_rack_open(book, a, fmt::format("cases of the baseline were not measured: {}", names_text(missing, there)));
    }
    compare_devices(attempts[a], a, baseline, book);
  }
}

}  // namespace rackproof::results
