#include "results/provenance_difference.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <utility>

namespace rackproof::results {
namespace {

using FactsJson = nlohmann::json;
using Facts = std::map<std::string, std::string>;

/// A fact that has several values in one run, such as a driver on several nodes, has them all, sorted.
using Values = std::map<std::string, std::set<std::string>>;

constexpr int deepest = 6;
constexpr std::size_t most_facts = 4000;  ///< of one run; a file may hold anything

std::string text_of_fact(const FactsJson& value) {
  return value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, FactsJson::error_handler_t::replace);
}

/// Objects become "subject key"; the elements of a list of objects have one subject together; everything else is a
/// value.
void flatten(const std::string& subject, const FactsJson& value, Values& values, int depth = 0) {
  if (values.size() >= most_facts) return;
  if (value.is_object() && depth < deepest) {
    for (const auto& [key, member] : value.items()) {
      flatten(fmt::format("{} {}", subject, key), member, values, depth + 1);
    }
  } else if (value.is_array() && !value.empty() && value.front().is_object() && depth < deepest) {
    for (const FactsJson& element : value) flatten(subject, element, values, depth + 1);
  } else if (!value.is_null()) {
    values[subject].insert(text_of_fact(value));
  }
}

FactsJson parsed(const RunHeader& header, const char* key) {
  const auto found = header.provenance.find(key);
  if (found == header.provenance.end()) return {};
  // What lies deeper is left out: dumping it would go as deep.
  const auto shallow = [](int depth, FactsJson::parse_event_t, const FactsJson&) { return depth <= 2 * deepest; };
  return FactsJson::parse(found->second, shallow, false);
}

/// "/usr/lib/libopenblasp-r0.3.21.so" -> "libopenblasp"; "/usr/lib/libdnnl.so.2.6" -> "libdnnl".
std::string library_name(std::string_view path) {
  std::string_view name = path.substr(path.rfind('/') + 1);
  name = name.substr(0, name.find(".so"));
  const std::size_t digit = name.find_first_of("0123456789");
  // "-r0.3.21", "-2.31": a version, not a name such as "libz3".
  const std::size_t dash = name.rfind('-', digit);
  if (digit != std::string_view::npos && dash != std::string_view::npos && digit - dash <= 2)
    name = name.substr(0, dash);
  return std::string(name);
}

/// "2.6.3 (build 1a2b3c4d)".
std::string library_version(const FactsJson& library) {
  std::string text;
  if (library.contains("version") && library["version"].is_string()) {
    text = library["version"].get<std::string>();
    text = text.substr(0, text.find_first_of(",;\n"));
  }
  if (library.contains("build_id") && library["build_id"].is_string()) {
    text += fmt::format("{}build {}", text.empty() ? "" : ", ", library["build_id"].get<std::string>().substr(0, 8));
  }
  return text.empty() && library.contains("path") ? text_of_fact(library["path"]) : text;
}

void add_process(const FactsJson& process, Values& values) {
  if (!process.is_object()) return;
  if (process.contains("build_id")) values["rackproof build"].insert(text_of_fact(process["build_id"]).substr(0, 8));
  if (process.contains("affinity")) values["cores"].insert(text_of_fact(process["affinity"]));
  if (!process.contains("libraries") || !process["libraries"].is_array()) return;
  for (const FactsJson& library : process["libraries"]) {
    if (values.size() >= most_facts) return;
    if (!library.is_object() || !library.contains("path") || !library["path"].is_string()) continue;
    values["library " + library_name(library["path"].get_ref<const std::string&>())].insert(library_version(library));
  }
}

void add_libraries(const RunHeader& header, Values& values) {
  const FactsJson libraries = parsed(header, "libraries");
  if (!libraries.is_array()) return;
  for (const FactsJson& process : libraries) add_process(process, values);
}

/// What is measured or drawn anew in each run, or only says where things are: of the run itself, and of its launcher
/// (Open MPI's and PMIx's jobs, folders and addresses, Slurm's jobs).
bool is_of_one_run(std::string_view subject) {
  constexpr std::array<std::string_view, 14> own{"configuration order",
                                                 "configuration peaks flop_per_s",
                                                 "configuration peaks memory_bandwidth_bytes_per_s",
                                                 "machine boot_id",
                                                 "machine hostname",
                                                 "machine memory huge_pages",
                                                 "environment OMPI_MCA_ess_",
                                                 "environment OMPI_MCA_orte_",
                                                 "environment OMPI_FILE_LOCATION",
                                                 "environment PMIX_",
                                                 "environment PMI_",
                                                 "environment SLURM_JOB",
                                                 "environment SLURM_STEP",
                                                 "environment SLURM_TASK"};
  return std::any_of(own.begin(), own.end(), [&](std::string_view one) { return subject.starts_with(one); });
}

/// The arguments without what only names files and labels, and without the program's path.
std::string command_of(const std::string& command) {
  std::string kept;
  bool skip = false;
  std::size_t position = 0;
  for (bool first = true; position < command.size(); first = false) {
    const std::size_t end = std::min(command.find(' ', position), command.size());
    const std::string_view word = std::string_view(command).substr(position, end - position);
    position = end + 1;
    if (std::exchange(skip, false) || first) continue;
    if (word == "--out" || word == "--label" || word == "--progress") {
      skip = true;
      continue;
    }
    if (word.starts_with("--out=") || word.starts_with("--label=") || word == "--force" || word.empty()) continue;
    kept += fmt::format("{}{}", kept.empty() ? "" : " ", word);
  }
  return kept;
}

/// How ranks lie on nodes: "0 x 4, 1 x 4" where they fill one after the other, "0, 1, 0, 1" where they go round.
std::string placement_of(const RunHeader& header) {
  constexpr std::size_t most = 64;
  std::string text;
  std::size_t parts = 0;
  for (std::size_t r = 0; r < header.ranks.size();) {
    const int node = header.ranks[r].node_index;
    std::size_t count = 1;
    while (r + count < header.ranks.size() && header.ranks[r + count].node_index == node) ++count;
    if (parts++ == most) return text + ", ...";
    text += fmt::format("{}{}", text.empty() ? "" : ", ", node);
    if (count > 1) text += fmt::format(" x {}", count);
    r += count;
  }
  return text;
}

void add_ranks(const RunHeader& header, Values& values) {
  std::map<int, int> per_node;
  std::map<std::string, std::size_t> devices;
  for (const RankHeader& rank : header.ranks) {
    ++per_node[rank.node_index];
    ++devices[rank.device_name];
    values["hosts"].insert(rank.hostname);
  }
  std::set<int> counts;
  for (const auto& [node, count] : per_node) counts.insert(count);
  values["ranks"].insert(fmt::format("{}", header.ranks.size()));
  values["nodes"].insert(fmt::format("{}", per_node.size()));
  values["ranks a node"].insert(fmt::format("{}", fmt::join(counts, ", ")));
  for (const auto& [name, count] : devices) values["device"].insert(name);
  values["nodes of the ranks in turn"].insert(placement_of(header));
}

std::string joined(const std::set<std::string>& all, std::string_view separator) {
  constexpr std::size_t most = 6;
  std::string text;
  std::size_t i = 0;
  for (const std::string& one : all) {
    if (i == most) return fmt::format("{}{}and {} more", text, separator, all.size() - most);
    text += fmt::format("{}{}", i++ == 0 ? "" : separator, one);
  }
  return text;
}

std::set<std::string> subjects_of(std::span<const Facts> side) {
  std::set<std::string> subjects;
  for (const Facts& facts : side) {
    for (const auto& [subject, value] : facts) subjects.insert(subject);
  }
  return subjects;
}

/// The values of one subject over the launches of a side, with how often each comes.
std::map<std::string, std::size_t> values_of(std::span<const Facts> side, const std::string& subject) {
  std::map<std::string, std::size_t> counts;
  for (const Facts& facts : side) {
    const auto found = facts.find(subject);
    ++counts[found == facts.end() ? "-" : found->second];
  }
  return counts;
}

std::set<std::string> names_of(const std::map<std::string, std::size_t>& counts) {
  std::set<std::string> names;
  for (const auto& [name, count] : counts) names.insert(name);
  return names;
}

}  // namespace

Facts facts_of(const RunHeader& header) {
  Values values;
  values["software"].insert(header.software + " " + header.software_version);
  if (header.device_fake) values["device_fake"].insert("1");
  add_ranks(header, values);
  add_libraries(header, values);
  flatten("configuration", parsed(header, "configuration"), values);
  flatten("environment", parsed(header, "environment"), values);
  flatten("label", parsed(header, "labels"), values);
  flatten("machine", parsed(header, "machines"), values);
  flatten("device", parsed(header, "devices"), values);
  flatten("binding", parsed(header, "binding"), values);
  if (const auto command = header.provenance.find("command"); command != header.provenance.end()) {
    values["command"].insert(command_of(command->second));
  }
  Facts facts;
  for (const auto& [subject, all] : values) {
    if (!is_of_one_run(subject)) facts[subject] = joined(all, ", ");
  }
  return facts;
}

std::vector<std::string> take_restless(std::span<const std::span<Facts>> sides) {
  constexpr std::size_t fewest = 3;
  std::set<std::string> subjects;
  for (const std::span<Facts> side : sides) subjects.merge(subjects_of(side));
  std::vector<std::string> restless;
  for (const std::string& subject : subjects) {
    bool all_new = true;
    bool judged = false;
    for (const std::span<Facts> side : sides) {
      all_new = all_new && values_of(side, subject).size() == side.size();
      judged = judged || side.size() >= fewest;
    }
    if (!all_new || !judged) continue;
    restless.push_back(subject);
    for (const std::span<Facts> side : sides) {
      for (Facts& facts : side) facts.erase(subject);
    }
  }
  return restless;
}

std::vector<ProvenanceDifference> provenance_differences(std::span<const Facts> base, std::span<const Facts> other) {
  std::set<std::string> subjects = subjects_of(base);
  subjects.merge(subjects_of(other));
  std::vector<ProvenanceDifference> differences;
  for (const std::string& subject : subjects) {
    const std::set<std::string> there = names_of(values_of(base, subject));
    const std::set<std::string> here = names_of(values_of(other, subject));
    if (there != here) differences.push_back({subject, joined(there, " | "), joined(here, " | ")});
  }
  return differences;
}

std::vector<std::string> differences_within(std::span<const Facts> side) {
  std::vector<std::string> lines;
  for (const std::string& subject : subjects_of(side)) {
    const std::map<std::string, std::size_t> counts = values_of(side, subject);
    if (counts.size() < 2) continue;
    std::set<std::string> parts;
    for (const auto& [value, count] : counts) {
      parts.insert(fmt::format("{} in {} launch{}", value, count, count == 1 ? "" : "es"));
    }
    lines.push_back(fmt::format("{}: {}", subject, joined(parts, "; ")));
  }
  return lines;
}

}  // namespace rackproof::results
