#include "suites/allreduce/groups.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "common/core/error.hpp"
#include "common/core/units.hpp"

namespace rackproof::allreduce {
namespace {

constexpr std::string_view every = "every-";
constexpr std::string_view neighbours = "tp";

int number(std::string_view text, std::string_view what) {
  return static_cast<int>(parse_integer(text, what, 1, 1 << 20));
}

/// color(rank) for all ranks, and what follows from it.
template <typename Color>
Groups split(std::string name, const mpi::Topology& topology, Color color) {
  Groups made;
  made.name = std::move(name);
  std::map<int, int> sizes;
  for (int rank = 0; rank < topology.size(); ++rank) {
    made.colors.push_back(color(rank));
    ++sizes[made.colors.back()];
  }
  made.count = static_cast<int>(sizes.size());
  const auto by_size = [](const auto& a, const auto& b) { return a.second < b.second; };
  const auto [least, most] = std::minmax_element(sizes.begin(), sizes.end(), by_size);
  made.ranks = most->second;
  if (least->second != most->second) {
    made.skip_reason = fmt::format("the groups '{}' would have {} to {} ranks; they must be of one size", made.name,
                                   least->second, most->second);
  }
  return made;
}

}  // namespace

Groups make_groups(std::string_view text, const mpi::Topology& topology) {
  const auto place = [&](int rank) -> const mpi::RankPlace& { return topology.ranks[static_cast<std::size_t>(rank)]; };
  if (text == "world") return split("world", topology, [](int) { return 0; });
  if (text == "node") return split("node", topology, [&](int rank) { return place(rank).node_index; });
  if (text == "across") return split("across", topology, [&](int rank) { return place(rank).local_rank; });
  if (text.starts_with(neighbours)) {
    const int size = number(text.substr(neighbours.size()), "--groups tpN");
    Groups made = split(fmt::format("{}{}", neighbours, size), topology, [size](int rank) { return rank / size; });
    if (topology.size() % size != 0) {
      made.skip_reason =
          fmt::format("'{}' needs a multiple of {} ranks, and there are {}", made.name, size, topology.size());
    }
    return made;
  }
  if (text.starts_with(every)) {
    const int step = number(text.substr(every.size()), "--groups every-N");
    return split(fmt::format("{}{}", every, step), topology, [step](int rank) { return rank % step; });
  }
  throw usage_error(
      fmt::format("--groups: '{}' is none of world, node, across, every-N (such as every-8) and tpN (such as tp8)",
                  printable(text)));
}

}  // namespace rackproof::allreduce
