#include "results/placements.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "common/core/error.hpp"
#include "results/text_heap.hpp"

namespace rackproof::results {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t most_launches = 4096;

using Column = std::pair<const char*, std::string RankHeader::*>;
constexpr std::array<Column, 5> columns{{{schema::hostname, &RankHeader::hostname},
                                         {schema::device_id, &RankHeader::device_id},
                                         {schema::device_name, &RankHeader::device_name},
                                         {schema::serial, &RankHeader::serial},
                                         {schema::uuid, &RankHeader::uuid}}};

/// `own`: the file's, for what is the same in all launches.
std::vector<RankHeader> ranks_from_json(const ordered_json& json, std::vector<RankHeader> own) {
  for (const auto& [name, member] : columns) {
    const auto list = json.find(name);
    const bool sound = list != json.end() && list->is_array() && list->size() == own.size() &&
                       std::all_of(list->begin(), list->end(), [](const auto& one) { return one.is_string(); });
    if (!sound) throw damage(fmt::format("/provenance/{}: the ranks of a launch are not its ranks", resumed_key));
    for (std::size_t r = 0; r < own.size(); ++r) own[r].*member = printable((*list)[r].get<std::string>());
  }
  return own;
}

}  // namespace

Placements placements_of(const RunHeader& header) {
  Placements all{{header.ranks}, {0}};
  const auto text = header.provenance.find(resumed_key);
  if (text == header.provenance.end()) return all;
  const ordered_json launches = ordered_json::parse(text->second, nullptr, false);
  if (!launches.is_array() || launches.empty()) return all;
  if (launches.size() > most_launches) throw damage("it has too many launches");
  all.ranks.clear();
  all.of_launch.clear();
  for (const ordered_json& launch : launches) {
    const bool has_own = launch.is_object() && launch.contains("ranks") && launch["ranks"].is_object();
    const std::vector<RankHeader> ranks = has_own ? ranks_from_json(launch["ranks"], header.ranks) : header.ranks;
    auto known = std::find(all.ranks.begin(), all.ranks.end(), ranks);
    if (known == all.ranks.end()) known = all.ranks.insert(known, ranks);
    all.of_launch.push_back(static_cast<std::size_t>(known - all.ranks.begin()));
  }
  return all;
}

ordered_json ranks_to_json(const std::vector<RankHeader>& ranks) {
  ordered_json json = ordered_json::object();
  for (const auto& [name, member] : columns) {
    ordered_json& list = json[name] = ordered_json::array();
    for (const RankHeader& rank : ranks) list.push_back(rank.*member);
  }
  return json;
}

}  // namespace rackproof::results
