#include "results/head_lines.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "common/core/file_system.hpp"

namespace rackproof::results {
namespace {

/// "16 x NVIDIA H100, 1 x NVIDIA A100": texts with their counts, most frequent first; at most `limit` of them.
std::string counted(const std::vector<std::string>& texts, std::size_t limit) {
  std::map<std::string, std::size_t> counts;
  for (const std::string& text : texts) ++counts[text.empty() ? "unknown" : text];
  std::vector<std::pair<std::string, std::size_t>> order(counts.begin(), counts.end());
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string out;
  for (std::size_t i = 0; i < order.size() && i < limit; ++i) {
    out += fmt::format("{}{} x {}", i == 0 ? "" : ", ", order[i].second, order[i].first);
  }
  if (order.size() > limit) out += fmt::format(" and {} other kinds", order.size() - limit);
  return out;
}

std::string machine_line(const std::vector<RankHeader>& ranks) {
  std::vector<std::string> hosts;
  for (const RankHeader& rank : ranks) {
    if (std::find(hosts.begin(), hosts.end(), rank.hostname) == hosts.end()) hosts.push_back(rank.hostname);
  }
  constexpr std::size_t limit = 4;
  std::string names = fmt::format(
      "{}", fmt::join(hosts.begin(), hosts.begin() + static_cast<std::ptrdiff_t>(std::min(limit, hosts.size())), ", "));
  if (hosts.size() > limit) names += ", ...";
  return fmt::format("{} node{} ({}), {} rank{}", hosts.size(), hosts.size() == 1 ? "" : "s", names, ranks.size(),
                     ranks.size() == 1 ? "" : "s");
}

/// The labels, "key=value, ...": JSON, or TOML's plain `key = "value"` lines, which are shown as they are.
std::string labels_line(const std::string& text) {
  const nlohmann::ordered_json json = nlohmann::ordered_json::parse(text, nullptr, false);
  std::string out;
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) {
      out += fmt::format("{}{}={}", out.empty() ? "" : ", ", key,
                         value.is_string() ? value.get<std::string>() : value.dump());
    }
    return out;
  }
  for (const char c : text) out += c == '\n' ? ' ' : c;
  return out;
}

/// Those of the libraries in the process that decide a figure, by the beginning of their file names.
struct NamedLibrary {
  std::string_view file;
  std::string_view name;
};
constexpr std::array<NamedLibrary, 10> named_libraries{{{"libmpi.", "MPI"},
                                                        {"libmpich.", "MPICH"},
                                                        {"libdnnl.", "oneDNN"},
                                                        {"libopenblas", "OpenBLAS"},
                                                        {"libblis", "BLIS"},
                                                        {"libcublasLt.", "cuBLASLt"},
                                                        {"libcudart.", "CUDA runtime"},
                                                        {"libnccl.", "NCCL"},
                                                        {"libgomp.", "libgomp"},
                                                        {"libhdf5", "HDF5"}}};

/// "Open MPI v4.1.4, package: ..." -> "Open MPI v4.1.4"; "2.6.3" -> "NAME 2.6.3".
std::string short_version(std::string_view name, std::string_view version) {
  if (version.empty()) return std::string(name);
  const std::size_t digit = version.find_first_of("0123456789");
  if (digit == std::string_view::npos) return fmt::format("{} {}", name, version);
  const std::string_view through_number = version.substr(0, version.find_first_of(" ,;\t\n", digit));
  const bool has_name = std::isalpha(static_cast<unsigned char>(version.front())) != 0 && digit > 1;
  return has_name ? std::string(through_number) : fmt::format("{} {}", name, through_number);
}

/// One entry a node: {"libraries": [{"path", "version", ...}], ...}; or such a list itself. Empty where not understood.
std::vector<std::string> library_names(const nlohmann::json& process) {
  std::vector<std::string> names;
  const nlohmann::json& list = process.is_object() && process.contains("libraries") ? process["libraries"] : process;
  if (!list.is_array()) return names;
  for (const NamedLibrary& named : named_libraries) {
    for (const nlohmann::json& library : list) {
      if (!library.is_object() || !library.contains("path") || !library["path"].is_string()) continue;
      const auto& path = library["path"].get_ref<const std::string&>();
      const std::string_view file = std::string_view(path).substr(path.rfind('/') + 1);
      if (!file.starts_with(named.file)) continue;
      const bool versioned = library.contains("version") && library["version"].is_string();
      names.push_back(short_version(named.name, versioned ? library["version"].get<std::string>() : ""));
      break;
    }
  }
  return names;
}

std::string libraries_line(const std::string& text) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_array() || json.empty()) return {};
  const bool by_node = json.front().is_object() && json.front().contains("libraries");
  const std::vector<std::string> names = library_names(by_node ? json.front() : json);
  std::string out = fmt::format("{}", fmt::join(names, ", "));
  if (by_node &&
      std::any_of(json.begin(), json.end(), [&](const nlohmann::json& node) { return library_names(node) != names; })) {
    out += " on the first node; NOT the same on all nodes";
  }
  return out;
}

/// "job 4711 (40_2), partition gpu, node[0-3]": of SLURM_ variables; empty without a job.
std::string slurm_line(const std::string& text) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  const auto variable = [&json](const char* name) {
    const bool known = json.is_object() && json.contains(name) && json[name].is_string();
    return known ? json[name].get<std::string>() : std::string{};
  };
  const std::string job = variable("SLURM_JOB_ID");
  if (job.empty()) return {};
  std::string out = "job " + job;
  if (const std::string array = variable("SLURM_ARRAY_JOB_ID"); !array.empty()) {
    out += fmt::format(" ({}_{})", array, variable("SLURM_ARRAY_TASK_ID"));
  }
  if (const std::string partition = variable("SLURM_JOB_PARTITION"); !partition.empty()) {
    out += ", partition " + partition;
  }
  if (const std::string nodes = variable("SLURM_JOB_NODELIST"); !nodes.empty()) out += ", " + nodes;
  return out;
}

std::string text_of(const nlohmann::json& object, const char* name) {
  return object.contains(name) && object[name].is_string() ? object[name].get<std::string>() : std::string{};
}

/// "node0, node1, ...": of a list of host names.
std::string hosts_text(const nlohmann::json& hosts) {
  constexpr std::size_t limit = 4;
  std::vector<std::string> names;
  for (const nlohmann::json& host : hosts) {
    if (host.is_string() && names.size() < limit) names.push_back(host.get<std::string>());
  }
  return fmt::format("{}{}", fmt::join(names, ", "), hosts.size() > limit ? ", ..." : "");
}

/// Of a run that was interrupted: a line a launch.
std::vector<std::string> launch_lines(const ResultFile& file, const std::string& text) {
  const nlohmann::json launches = nlohmann::json::parse(text, nullptr, false);
  if (!launches.is_array()) return {};
  std::vector<std::size_t> cases(launches.size(), 0);
  for (std::size_t s = 0; s < file.header().suites.size(); ++s) {
    for (std::size_t c = 0; c < file.header().suites[s].cases.size(); ++c) {
      const CaseOutcome& outcome = file.outcome(s, c);
      const auto launch = static_cast<std::size_t>(std::max(outcome.launch, 0));
      if (is_finished(outcome.status) && launch < cases.size()) ++cases[launch];
    }
  }
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < launches.size(); ++i) {
    const nlohmann::json& launch = launches[i];
    if (!launch.is_object()) return {};
    std::string line =
        fmt::format("{} case{}, from {} on", cases[i], cases[i] == 1 ? "" : "s", text_of(launch, "began"));
    if (launch.contains("hosts")) line += ", " + hosts_text(launch["hosts"]);
    if (const std::string end = text_of(launch, "interrupted"); !end.empty()) line += ", interrupted " + end;
    if (launch.contains("broke_off") && launch["broke_off"].is_array() && !launch["broke_off"].empty()) {
      const nlohmann::json& broken = launch["broke_off"];
      line += fmt::format("; {} broke off and {} measured anew", broken.size(), broken.size() == 1 ? "was" : "were");
      if (broken[0].is_object())
        line += fmt::format(", {}: {}", text_of(broken[0], "case"), text_of(broken[0], "message"));
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> head_lines(const ResultFile& file) {
  const RunHeader& header = file.header();
  std::vector<std::pair<std::string, std::string>> lines;
  lines.emplace_back(
      "run", fmt::format("{}  {}  {} {}", header.run_id, header.date, header.software, header.software_version));
  lines.emplace_back("machine", machine_line(header.ranks));
  std::set<std::pair<std::string, std::string>> known;  // ranks may share a device
  std::vector<std::string> devices;
  for (const RankHeader& rank : header.ranks) {
    if (known.emplace(rank.hostname, rank.device_id).second) devices.push_back(rank.device_name);
  }
  lines.emplace_back("devices", counted(devices, 3));
  const auto provenance = [&](const char* key) {
    const auto found = header.provenance.find(key);
    return found != header.provenance.end() ? found->second : std::string{};
  };
  if (const std::string slurm = slurm_line(provenance("environment")); !slurm.empty())
    lines.emplace_back("slurm", slurm);
  if (const std::string libraries = libraries_line(provenance("libraries")); !libraries.empty()) {
    lines.emplace_back("libraries", libraries);
  }
  if (const std::string labels = labels_line(provenance("labels")); !labels.empty())
    lines.emplace_back("labels", labels);
  const std::vector<std::string> launches = launch_lines(file, provenance("resumed"));
  for (std::size_t i = 0; i < launches.size(); ++i) lines.emplace_back(fmt::format("launch {}", i + 1), launches[i]);
  if (const std::string why = why_no_measurement(header); !why.empty()) {
    lines.emplace_back("WARNING", fmt::format("made {}: no figure here is a measurement", why));
  }
  if (file.unfinished()) {
    std::string text = "the run goes on or broke off ('rackproof recover' makes a result file of it)";
    if (const std::string late = late_writes(file_system_of(file.path())); !late.empty()) text += "; " + late;
    lines.emplace_back("unfinished", text);
  } else if (header.recovered) {
    lines.emplace_back("recovered", "from a run that broke off");
  }
  return lines;
}

}  // namespace rackproof::results
