#include "results/resume.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string_view>
#include <system_error>

#include "common/core/error.hpp"
#include "results/part_file.hpp"
#include "results/placements.hpp"

namespace rackproof::results {
namespace {

using nlohmann::ordered_json;

/// Of a file that anybody may have made: what is no JSON counts as nothing.
ordered_json provenance_of(const RunHeader& header, const std::string& key) {
  const auto found = header.provenance.find(key);
  if (found == header.provenance.end()) return {};
  ordered_json json = ordered_json::parse(found->second, nullptr, false);
  return json.is_discarded() ? ordered_json() : json;
}

ordered_json member(const ordered_json& object, const std::string& name) {
  return object.is_object() && object.contains(name) ? object[name] : ordered_json();
}

std::string shown(const ordered_json& value) {
  if (value.is_null()) return "nothing";
  return printable(value.is_string() ? value.get<std::string>() : value.dump(), 80);
}

/// "seed 1, and this run has 2"
std::string differs(const std::string& what, const ordered_json& file, const ordered_json& now) {
  return fmt::format("{} is {} there and {} here", printable(what), shown(file), shown(now));
}

std::string option_difference(const RunHeader& file, const RunHeader& now) {
  const ordered_json theirs = provenance_of(file, "configuration");
  const ordered_json ours = provenance_of(now, "configuration");
  // Measured anew, or the same by another name.
  const std::set<std::string> free{"peaks", "order", "suite_options", "collectives"};
  for (const auto& [key, value] : ours.items()) {
    if (free.count(key) == 0 && member(theirs, key) != value) return differs(key, member(theirs, key), value);
  }
  for (const char* group : {"suite_options", "collectives"}) {
    const ordered_json our_group = member(ours, group);
    const ordered_json their_group = member(theirs, group);
    for (const auto& [key, value] : our_group.items()) {
      const ordered_json other = member(their_group, key);
      if (other != value) return differs("--" + key, other, value);
    }
  }
  return {};
}

/// What was planted in its finished cases must stay told.
std::string planted_difference(const RunHeader& file, const RunHeader& now) {
  const auto words = [](const std::vector<std::string>& faults) {
    return faults.empty() ? std::string("none") : fmt::format("{}", fmt::join(faults, ", "));
  };
  const auto before = planted_faults(file);
  const auto after = planted_faults(now);
  if (before == after) return {};
  return fmt::format("--plant: its run had {}, this one has {}", words(before), words(after));
}

/// `run --limits` ends cases by its limits: others, or none, would make other cases of them.
std::string limits_difference(const RunHeader& file, const RunHeader& now) {
  const auto limits = [](const RunHeader& header) {
    const auto found = header.provenance.find("limits");
    return found == header.provenance.end() ? std::string() : found->second;
  };
  if (limits(file) == limits(now)) return {};
  if (limits(now).empty()) return "it was measured against limits and this command has no --limits";
  return limits(file).empty() ? "it was measured without --limits"
                              : "the limits in it are others than those of --limits";
}

/// `a` is from a file.
bool same_parameters(const Parameters& a, const Parameters& b) {
  // A file keeps neither their order nor a text that is empty.
  return std::all_of(b.entries().begin(), b.entries().end(), [&a](const Parameters::Entry& one) {
    const ParameterValue* other = a.find(one.first);
    if (other != nullptr) return *other == one.second;
    const auto* const text = std::get_if<std::string>(&one.second);
    return text != nullptr && text->empty();
  });
}

std::size_t count_cases(const RunHeader& header) {
  std::size_t count = 0;
  for (const SuiteHeader& suite : header.suites) count += suite.cases.size();
  return count;
}

std::string case_difference(const RunHeader& file, const RunHeader& now) {
  const std::size_t there = count_cases(file);
  const std::size_t here = count_cases(now);
  if (there != here || file.suites.size() != now.suites.size()) {
    return fmt::format("its {} cases are not the {} of this command", there, here);
  }
  for (std::size_t s = 0; s < now.suites.size(); ++s) {
    const SuiteHeader& theirs = file.suites[s];
    const SuiteHeader& ours = now.suites[s];
    if (theirs.name != ours.name || theirs.cases.size() != ours.cases.size()) {
      return fmt::format("it has {} cases of the suite {} where this command has {} of {}", theirs.cases.size(),
                         printable(theirs.name), ours.cases.size(), ours.name);
    }
    for (std::size_t c = 0; c < ours.cases.size(); ++c) {
      if (theirs.cases[c].name != ours.cases[c].name ||
          !same_parameters(theirs.cases[c].parameters, ours.cases[c].parameters)) {
        return fmt::format("it has the case {} where this command has {}", printable(theirs.cases[c].name),
                           ours.cases[c].name);
      }
    }
  }
  return {};
}

std::string rank_difference(const RunHeader& file, const RunHeader& now) {
  if (file.ranks.size() != now.ranks.size()) {
    return fmt::format("it has {} ranks and this run {}", file.ranks.size(), now.ranks.size());
  }
  // Other hosts may go on with it, where they look the same from each rank.
  for (std::size_t r = 0; r < now.ranks.size(); ++r) {
    const RankHeader& theirs = file.ranks[r];
    const RankHeader& ours = now.ranks[r];
    if (theirs.device_name != ours.device_name) {
      return fmt::format("rank {} ran on {} ({}) there and runs on {} ({}) here", r, printable(theirs.hostname),
                         printable(theirs.device_name), ours.hostname, ours.device_name);
    }
    if (theirs.node_index != ours.node_index || theirs.local_rank != ours.local_rank) {
      return fmt::format("rank {} was rank {} of node {} there and is rank {} of node {} here", r, theirs.local_rank,
                         theirs.node_index, ours.local_rank, ours.node_index);
    }
  }
  return {};
}

/// Of "0-3,8": 5.
std::size_t count_cores(const ordered_json& ranges) {
  if (!ranges.is_string()) return 0;
  std::size_t count = 0;
  std::istringstream text(ranges.get<std::string>());
  for (std::string range; std::getline(text, range, ',');) {
    long first = 0;
    long last = 0;
    const int read = std::sscanf(range.c_str(), "%ld-%ld", &first, &last);  // NOLINT(cert-err34-c)
    if (read >= 1) count += read == 2 && last >= first ? static_cast<std::size_t>(last - first) + 1 : 1;
  }
  return count;
}

/// Of the first node whose program, library or kernel is another; those that one of the two has not loaded are left
/// out.
std::string software_difference(const RunHeader& file, const RunHeader& now) {
  if (file.software_version != now.software_version) {
    return differs("rackproof", file.software_version, now.software_version);
  }
  const ordered_json theirs = provenance_of(file, "libraries");
  const ordered_json ours = provenance_of(now, "libraries");
  for (std::size_t node = 0; node < std::min(theirs.size(), ours.size()); ++node) {
    if (member(theirs[node], "build_id") != member(ours[node], "build_id"))
      return "another build of rackproof wrote it";
    const ordered_json our_libraries = member(ours[node], "libraries");
    const ordered_json their_libraries = member(theirs[node], "libraries");
    for (const ordered_json& library : our_libraries) {
      for (const ordered_json& other : their_libraries) {
        if (member(other, "path") == member(library, "path") && other != library) {
          return differs(shown(member(library, "path")), member(other, "build_id"), member(library, "build_id"));
        }
      }
    }
  }
  const bool elsewhere = file.ranks != now.ranks;
  const auto binding = [elsewhere](const RunHeader& header) {
    ordered_json all = provenance_of(header, "binding");
    // Slurm may give each node other cores of the same number.
    for (ordered_json& rank : all) {
      if (elsewhere && rank.is_object()) rank["cores"] = count_cores(member(rank, "cores"));
      if (elsewhere && rank.is_object()) rank.erase("numa_nodes");
    }
    return all;
  };
  if (!binding(file).is_null() && binding(file) != binding(now)) return "its ranks were bound to other cores";
  const ordered_json their_machines = provenance_of(file, "machines");
  const ordered_json our_machines = provenance_of(now, "machines");
  for (std::size_t node = 0; node < std::min(their_machines.size(), our_machines.size()); ++node) {
    for (const char* part : {"cpu", "os"}) {
      if (member(their_machines[node], part) != member(our_machines[node], part)) {
        return fmt::format("the {} of {} is another", part, shown(member(our_machines[node], "hostname")));
      }
    }
  }
  return {};
}

/// What a launch on other hosts says of them, and the one before it said of its own.
constexpr std::array<const char*, 6> keys_of_hosts{"machines", "binding",     "devices",
                                                   "topology", "environment", "libraries"};

/// Keeps in the entries of all launches whose ranks they were, where these are not the ones of this launch, and moves
/// what the file says of hosts that are no longer in use into the last entry.
void keep_ranks(const RunHeader& file, const RunHeader& now, ordered_json& launches, RunHeader& header) {
  const ordered_json theirs = ranks_to_json(file.ranks);
  const ordered_json ours = ranks_to_json(now.ranks);
  for (ordered_json& launch : launches) {
    if (!launch.is_object()) continue;
    if (!launch.contains("ranks")) launch["ranks"] = theirs;
    if (launch["ranks"] == ours) launch.erase("ranks");
  }
  header.ranks = now.ranks;
  if (theirs == ours) return;
  ordered_json& kept = launches.back()["provenance"] = ordered_json::object();
  for (const char* key : keys_of_hosts) {
    if (const ordered_json before = provenance_of(file, key); !before.is_null()) kept[key] = before;
    if (const auto found = now.provenance.find(key); found != now.provenance.end())
      header.provenance[key] = found->second;
  }
}

ordered_json hosts_of(const RunHeader& header) {
  ordered_json hosts = ordered_json::array();
  for (const RankHeader& rank : header.ranks) {
    if (std::find(hosts.begin(), hosts.end(), rank.hostname) == hosts.end()) hosts.push_back(rank.hostname);
  }
  return hosts;
}

}  // namespace

std::filesystem::path resumed_path(const std::filesystem::path& name) {
  std::filesystem::path path = name;
  if (path.extension() == ".part") path.replace_extension();
  if (path.extension() != ".h5" || path.stem().empty()) {
    throw usage_error(fmt::format("--resume: {} is no NAME.h5 or NAME.h5.part", quoted(name)));
  }
  return path;
}

std::filesystem::path find_to_resume(const std::filesystem::path& name) {
  const std::filesystem::path path = resumed_path(name);
  std::filesystem::path part = path;
  part += ".part";
  std::error_code ignored;
  if (std::filesystem::exists(part, ignored) && !died_at_birth(part)) return part;
  return std::filesystem::exists(path, ignored) ? path : std::filesystem::path();
}

void refuse_if_written(const std::filesystem::path& path) { const LockedFile lock(path, LockedFile::Access::read); }

std::string difference(const RunHeader& file, const RunHeader& now) {
  for (const auto& compare : {rank_difference, planted_difference, limits_difference, option_difference,
                              case_difference, software_difference}) {
    if (std::string text = compare(file, now); !text.empty()) return text;
  }
  return {};
}

std::vector<KeptCase> cases_to_keep(const ResultFile& file, const std::vector<std::string>& whole) {
  std::vector<KeptCase> kept;
  for (std::size_t s = 0; s < file.header().suites.size(); ++s) {
    const SuiteHeader& suite = file.header().suites[s];
    std::vector<KeptCase> of_suite;
    const bool all_or_nothing = std::find(whole.begin(), whole.end(), suite.name) != whole.end();
    bool complete = true;
    for (std::size_t c = 0; c < suite.cases.size(); ++c) {
      const Status status = file.outcome(s, c).status;
      // What such a suite has skipped, it has for what it saw in the others.
      // One that broke off is measured anew; resumed_header() keeps what was said of it.
      const bool keep = is_finished(status) && status != Status::error;
      if (keep || (all_or_nothing && status == Status::skipped)) of_suite.push_back({s, c, status});
      complete = complete && status != Status::not_run && status != Status::error;
    }
    if (complete || !all_or_nothing) kept.insert(kept.end(), of_suite.begin(), of_suite.end());
  }
  return kept;
}

std::vector<BrokenCase> broken_cases(const ResultFile& file) {
  std::vector<BrokenCase> broken;
  for (std::size_t s = 0; s < file.header().suites.size(); ++s) {
    for (std::size_t c = 0; c < file.header().suites[s].cases.size(); ++c) {
      const CaseOutcome& outcome = file.outcome(s, c);
      if (outcome.status == Status::error) broken.push_back({file.header().suites[s].cases[c].name, outcome.message});
    }
  }
  return broken;
}

std::vector<std::string> new_hosts(const RunHeader& file, const RunHeader& now) {
  std::vector<std::string> hosts;
  const ordered_json before = hosts_of(file);
  for (const ordered_json& host : hosts_of(now)) {
    if (std::find(before.begin(), before.end(), host) == before.end()) hosts.push_back(host.get<std::string>());
  }
  return hosts;
}

RunHeader resumed_header(const RunHeader& file, const RunHeader& now, const std::string& interrupted, std::size_t kept,
                         const std::vector<BrokenCase>& broken) {
  RunHeader header = file;
  header.recovered = false;
  header.telemetry = now.telemetry;
  header.telemetry_ticks = now.telemetry_ticks;
  for (std::size_t s = 0; s < header.suites.size(); ++s) {
    for (std::size_t c = 0; c < header.suites[s].cases.size(); ++c) {
      header.suites[s].cases[c].skip_reason = now.suites[s].cases[c].skip_reason;
    }
  }
  ordered_json launches = provenance_of(file, resumed_key);
  const bool sound = launches.is_array() && !launches.empty() && launches.back().is_object();
  if (!sound) {
    launches = ordered_json::array();
    launches.push_back({{"began", file.date}, {"run_id", file.run_id}, {"hosts", hosts_of(file)}});
  }
  launches.back()["interrupted"] = interrupted;
  launches.back()["cases_kept"] = kept;
  for (const BrokenCase& one : broken) {
    launches.back()["broke_off"].push_back({{"case", one.name}, {"message", one.message}});
  }
  keep_ranks(file, now, launches, header);
  launches.push_back({{"began", now.date}, {"run_id", now.run_id}, {"hosts", hosts_of(now)}});
  header.launch = static_cast<int>(launches.size()) - 1;
  header.provenance[resumed_key] = launches.dump(2);
  return header;
}

std::string last_written(const std::filesystem::path& path) {
  std::error_code error;
  const auto written = std::filesystem::last_write_time(path, error);
  if (error) return "unknown";
  const auto when = std::chrono::time_point_cast<std::chrono::seconds>(std::chrono::file_clock::to_sys(written));
  const std::time_t seconds = std::chrono::system_clock::to_time_t(when);
  std::tm fields{};
  gmtime_r(&seconds, &fields);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &fields);
  return text.data();
}

}  // namespace rackproof::results
