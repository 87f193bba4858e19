#include "results/odd_nodes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "common/core/error.hpp"

namespace rackproof::results {
namespace {

/// What a node has of one library.
struct Build {
  std::string version;
  std::string build_id;
  [[nodiscard]] const std::string& identity() const { return build_id.empty() ? version : build_id; }
};

std::string text_at(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// "/usr/lib/libopenblasp-r0.3.21.so" -> "libopenblasp", "libz.so.1.2.13" -> "libz".
std::string name_of_library(const std::string& path) {
  std::string name = path.substr(path.rfind('/') + 1);
  if (const std::size_t suffix = name.find(".so"); suffix != std::string::npos) name.resize(suffix);
  const std::size_t dash = name.rfind('-');
  if (dash == std::string::npos || dash == 0) return name;
  const std::string_view tail = std::string_view(name).substr(dash + 1);
  const bool is_version =
      !tail.empty() && tail.find_first_not_of("r0123456789.") == std::string_view::npos && tail.find('.') != tail.npos;
  if (is_version) name.resize(dash);
  return name;
}

/// By library, then by node.
using Libraries = std::map<std::string, std::map<int, Build>>;

Libraries libraries_of(const RunHeader& header) {
  Libraries all;
  const auto text = header.provenance.find("libraries");
  if (text == header.provenance.end()) return all;
  const nlohmann::json nodes = nlohmann::json::parse(text->second, nullptr, false);
  if (!nodes.is_array()) return all;
  for (std::size_t node = 0; node < nodes.size(); ++node) {
    if (!nodes[node].is_object() || !nodes[node].contains("libraries")) continue;
    const nlohmann::json& list = nodes[node]["libraries"];
    if (!list.is_array()) continue;
    for (const nlohmann::json& one : list) {
      if (!one.is_object()) continue;
      const Build build{text_at(one, "version"), text_at(one, "build_id")};
      if (build.identity().empty()) continue;
      // Of several of one name in a process, the first.
      all[name_of_library(text_at(one, "path"))].try_emplace(static_cast<int>(node), build);
    }
  }
  return all;
}

std::string words_of_build(const Build& build) {
  constexpr std::size_t digits = 8;
  if (build.build_id.empty()) return printable(build.version);
  const std::string id = "build " + printable(build.build_id.substr(0, digits));
  return build.version.empty() ? id : fmt::format("{} ({})", printable(build.version), id);
}

/// The build of more than half of the nodes; null: there is none.
const Build* usual_build(const std::map<int, Build>& nodes, std::size_t& count) {
  std::map<std::string, std::size_t> votes;
  for (const auto& [node, build] : nodes) ++votes[build.identity()];
  for (const auto& [node, build] : nodes) {
    count = votes[build.identity()];
    if (2 * count > nodes.size()) return &build;
  }
  return nullptr;
}

/// Null for a node that no rank is on.
const RankHeader* rank_on(const RunHeader& header, int node) {
  const auto rank =
      std::find_if(header.ranks.begin(), header.ranks.end(), [&](const RankHeader& r) { return r.node_index == node; });
  return rank == header.ranks.end() ? nullptr : &*rank;
}

}  // namespace

std::vector<OddNode> odd_nodes(const RunHeader& header, std::vector<std::string>* undecided) {
  std::map<int, std::vector<std::string>> differences;
  for (const auto& [name, nodes] : libraries_of(header)) {
    std::size_t count = 0;
    const Build* const usual = usual_build(nodes, count);
    if (usual == nullptr) {
      if (undecided != nullptr) {
        undecided->push_back(
            fmt::format("the nodes have different builds of {}, and no half of them the same", printable(name)));
      }
      continue;
    }
    for (const auto& [node, build] : nodes) {
      if (build.identity() == usual->identity()) continue;
      differences[node].push_back(fmt::format("{} {}, where {} of {} nodes have {}", printable(name),
                                              words_of_build(build), count, nodes.size(), words_of_build(*usual)));
    }
  }
  std::vector<OddNode> odd;
  for (const auto& [node, texts] : differences) {
    const RankHeader* const rank = rank_on(header, node);
    if (rank == nullptr) continue;
    std::string text = texts.front();
    if (texts.size() > 1) text += fmt::format("; and {} more", texts.size() - 1);
    odd.push_back({node, rank->hostname, std::move(text)});
  }
  return odd;
}

}  // namespace rackproof::results
