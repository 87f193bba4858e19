#include "results/network_series.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string_view>
#include <utility>

namespace rackproof::results {
namespace {

constexpr std::string_view count_parameter = "count";
constexpr std::string_view ranks_parameter = "ranks";
constexpr std::string_view repetition_parameter = "repetition";

/// Everything that sets series apart.
std::string key_of(const std::string& suite, const CaseHeader& one) {
  std::string key = suite;
  for (const auto& [name, value] : one.parameters.entries()) {
    if (name == count_parameter || name == ranks_parameter || name == schema::message_size) continue;
    if (name == repetition_parameter) continue;  // the same case once more
    key += fmt::format(" {}={}", name, rackproof::to_string(value));
  }
  return key;
}

int ranks_of(const RunHeader& header, const CaseHeader& one) {
  const ParameterValue* value = one.parameters.find(ranks_parameter);
  if (value != nullptr && std::holds_alternative<std::int64_t>(*value)) {
    return static_cast<int>(std::clamp<std::int64_t>(std::get<std::int64_t>(*value), 0, schema::max_ranks));
  }
  return static_cast<int>(header.ranks.size());
}

/// A case says that it is another collective, or it is a sum over all ranks, all-reduce.
bool is_all_reduce(const std::string& suite, const CaseHeader& one) {
  for (const char* name : {"collective", "operation"}) {
    const ParameterValue* value = one.parameters.find(name);
    if (value == nullptr || !std::holds_alternative<std::string>(*value)) continue;
    const auto& text = std::get<std::string>(*value);
    return text == "all_reduce" || text == "allreduce" || text == "all-reduce";
  }
  return suite == "allreduce";
}

std::vector<std::string> components(const std::string& name) {
  std::vector<std::string> parts(1);
  for (const char c : name) {
    if (c == '/') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

/// "allreduce/f32/8B/in-place", "allreduce/f32/1KiB/in-place" -> "allreduce/f32/in-place".
std::string common_label(const std::vector<std::string>& names) {
  std::vector<std::string> shared = components(names.front());
  std::vector<bool> same(shared.size(), true);
  for (const std::string& name : names) {
    const std::vector<std::string> parts = components(name);
    for (std::size_t i = 0; i < shared.size(); ++i) same[i] = same[i] && i < parts.size() && parts[i] == shared[i];
  }
  std::string label;
  for (std::size_t i = 0; i < shared.size(); ++i) {
    if (same[i]) label += (label.empty() ? "" : "/") + shared[i];
  }
  return label;
}

/// Of all ranks; 0 for groups of ranks, because the file does not say where a group's ranks are.
int nodes_of(const RunHeader& header, const CaseHeader& one) {
  const ParameterValue* groups = one.parameters.find("groups");
  if (groups != nullptr && rackproof::to_string(*groups) != "world") return 0;
  std::set<int> nodes;
  for (const RankHeader& rank : header.ranks) nodes.insert(rank.node_index);
  return static_cast<int>(nodes.size());
}

struct Collected {
  NetworkSeries series;
  std::vector<std::string> names;
  std::map<std::int64_t, std::vector<double>> times;
};

NetworkSeries finished(Collected&& collected) {
  collected.series.label = common_label(collected.names);
  for (auto& [bytes, times] : collected.times) {
    collected.series.sizes.push_back({static_cast<double>(bytes), std::move(times)});
  }
  return std::move(collected.series);
}

/// Of a collective over ranks, measured to its end.
bool is_usable(const CaseHeader& one, Status status, int ranks) {
  const bool measured = status == Status::passed || status == Status::mistrusted;
  return measured && one.collective && one.message_size > 0 && ranks >= 2;
}

Collected& series_of(std::vector<Collected>& all, const std::string& key, int ranks) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const Collected& other) {
    return other.series.key == key && other.series.ranks == ranks;
  });
  if (found != all.end()) return *found;
  Collected& made = all.emplace_back();
  made.series.key = key;
  made.series.ranks = ranks;
  return made;
}

}  // namespace

std::vector<NetworkSeries> network_series(const ResultFile& file, std::size_t position, const std::regex& wanted) {
  const RunHeader& header = file.header();
  std::vector<Collected> all;
  for (std::size_t s = 0; s < header.suites.size(); ++s) {
    const SuiteHeader& suite = header.suites[s];
    for (std::size_t c = 0; c < suite.cases.size(); ++c) {
      const CaseHeader& one = suite.cases[c];
      const int ranks = ranks_of(header, one);
      if (!is_usable(one, file.outcome(s, c).status, ranks) || !std::regex_search(one.name, wanted)) continue;
      const std::vector<double> times = file.figure_time(s, c);
      if (times.empty()) continue;
      Collected& into = series_of(all, key_of(suite.name, one), ranks);
      into.series.file = position;
      into.series.nodes = nodes_of(header, one);
      into.series.all_reduce = is_all_reduce(suite.name, one);
      into.names.push_back(one.name);
      auto& samples = into.times[one.message_size];
      samples.insert(samples.end(), times.begin(), times.end());
    }
  }
  std::vector<NetworkSeries> result;
  for (Collected& collected : all) result.push_back(finished(std::move(collected)));
  return result;
}

}  // namespace rackproof::results
