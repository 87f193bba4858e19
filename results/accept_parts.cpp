#include "results/accept_parts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "common/core/error.hpp"

namespace rackproof::results {
namespace {

/// Of which verdicts the first that is there counts.
constexpr std::array<Verdict, 5> by_weight{Verdict::fail, Verdict::intermittent, Verdict::inconclusive, Verdict::pass,
                                           Verdict::not_judged};

std::size_t weight_of(Verdict verdict) {
  return static_cast<std::size_t>(std::find(by_weight.begin(), by_weight.end(), verdict) - by_weight.begin());
}

/// Whether a text of each rank is there, and no other rank of the file has the same.
template <typename Text>
bool tells_apart(std::span<const ResultFile> files, Text&& text) {
  return std::all_of(files.begin(), files.end(), [&](const ResultFile& file) {
    std::set<std::string> known;
    const auto& ranks = file.header().ranks;
    return std::all_of(ranks.begin(), ranks.end(),
                       [&](const RankHeader& rank) { return !text(rank).empty() && known.insert(text(rank)).second; });
  });
}

bool is_weightier(const Evidence& one, const Evidence& other) {
  const auto rank = [](const Evidence& evidence) { return weight_of(evidence.verdict); };
  return rank(one) != rank(other) ? rank(one) < rank(other) : one.excess > other.excess;
}

Verdict over_attempts(const std::vector<Verdict>& attempts) {
  const auto has = [&](Verdict wanted) {
    return std::find(attempts.begin(), attempts.end(), wanted) != attempts.end();
  };
  if (has(Verdict::fail) && has(Verdict::pass)) return Verdict::intermittent;
  Verdict verdict = Verdict::not_judged;
  for (const Verdict one : attempts) verdict = worse_of(verdict, one);
  return verdict;
}

std::string place_text(const RankHeader& rank, std::size_t number) {
  return fmt::format("node {}, local rank {}, rank {}", rank.node_index, rank.local_rank, number);
}

/// "node-3 cuda:4".
std::string name_of_device(const RankHeader& rank) { return fmt::format("{} {}", rank.hostname, rank.device_id); }

}  // namespace

Verdict worse_of(Verdict one, Verdict other) { return weight_of(one) <= weight_of(other) ? one : other; }

Verdict PartBook::Tally::verdict() const {
  if (failed > 0) return Verdict::fail;
  if (open > 0) return Verdict::inconclusive;
  return passed > 0 ? Verdict::pass : Verdict::not_judged;
}

PartBook::PartBook(std::span<const ResultFile> attempts, std::size_t most_evidence)
    : attempts_(attempts.size()), most_evidence_(std::max<std::size_t>(most_evidence, 1)) {
  if (tells_apart(attempts, [](const RankHeader& rank) -> const std::string& { return rank.uuid; })) {
    identity_ = Identity::uuid;
  } else if (tells_apart(attempts, [](const RankHeader& rank) -> const std::string& { return rank.serial; })) {
    identity_ = Identity::serial;
  }
  Part whole;
  whole.kind = Part::Kind::rack;
  whole.name = "rack";
  (void)new_entry(std::move(whole));
  for (std::size_t a = 0; a < attempts.size(); ++a) add_ranks(a, attempts[a]);
  compare_racks(attempts);
  if (one_rack_) hold_absent_open();
}

std::size_t PartBook::new_entry(Part part) {
  entries_.push_back({std::move(part), {}, std::vector<Tally>(attempts_), std::vector<std::size_t>(attempts_, rack)});
  return entries_.size() - 1;
}

std::string PartBook::key_of(const RankHeader& rank) const {
  switch (identity_) {
    case Identity::uuid:
      return rank.uuid;
    case Identity::serial:
      return rank.serial;
    case Identity::place:
      break;
  }
  // A host name has no NUL.
  return rank.hostname + '\0' + rank.device_id;
}

void PartBook::add_ranks(std::size_t attempt, const ResultFile& file) {
  device_of_.emplace_back();
  node_of_.emplace_back();
  entries_[rack].attempts[attempt].seen = true;
  const auto& ranks = file.header().ranks;
  std::map<std::string, std::set<int>> nodes_of_host;
  for (const RankHeader& rank : ranks) nodes_of_host[rank.hostname].insert(rank.node_index);
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    const RankHeader& rank = ranks[r];
    const std::string host = nodes_of_host[rank.hostname].size() == 1
                                 ? rank.hostname
                                 : fmt::format("{} (node {})", rank.hostname, rank.node_index);
    const auto [node, is_new_node] = node_by_host_.try_emplace(host, entries_.size());
    if (is_new_node) {
      Part part;
      part.kind = Part::Kind::node;
      part.name = part.hostname = host;
      (void)new_entry(std::move(part));
    }
    entries_[node->second].attempts[attempt].seen = true;
    entries_[node->second].part.node_index = rank.node_index;
    node_of_.back()[rank.node_index] = node->second;

    const auto [device, is_new] = device_by_key_.try_emplace(key_of(rank), entries_.size());
    if (is_new) (void)new_entry({});
    Entry& entry = entries_[device->second];
    const std::string name = name_of_device(rank);
    if (!is_new && entry.part.name != name) {
      notices_.push_back(fmt::format("{} was at {} and is at {} in attempt {}",
                                     rank.serial.empty() ? rank.uuid : "serial " + rank.serial, entry.part.name, name,
                                     attempt + 1));
    }
    if (!is_new && !entry.part.serial.empty() && !rank.serial.empty() && entry.part.serial != rank.serial) {
      notices_.push_back(fmt::format("at {} there is serial {} in attempt {}, before it was serial {}", name,
                                     rank.serial, attempt + 1, entry.part.serial));
    }
    entry.attempts[attempt].seen = true;
    entry.nodes[attempt] = node->second;
    Part& part = entry.part;
    part.kind = Part::Kind::device;
    part.name = name;
    part.hostname = rank.hostname;
    part.device_id = rank.device_id;
    part.device_name = rank.device_name;
    part.serial = rank.serial;
    part.uuid = rank.uuid;
    part.node_index = rank.node_index;
    part.local_rank = rank.local_rank;
    part.rank = static_cast<int>(r);
    part.place = place_text(rank, r);
    device_of_.back().push_back(device->second);
  }
}

void PartBook::compare_racks(std::span<const ResultFile> attempts) {
  for (std::size_t a = 1; a < attempts_; ++a) {
    const std::set<std::size_t> first(device_of_[0].begin(), device_of_[0].end());
    const std::set<std::size_t> now(device_of_[a].begin(), device_of_[a].end());
    std::vector<std::size_t> common;
    std::set_intersection(first.begin(), first.end(), now.begin(), now.end(), std::back_inserter(common));
    if (common.size() == first.size() && common.size() == now.size()) continue;
    const std::string file = attempts[a].path().string();
    if (common.empty()) {
      one_rack_ = false;
      notices_.push_back(
          fmt::format("attempt {} ({}) has no device of attempt 1: these are runs of different racks", a + 1, file));
      continue;
    }
    notices_.push_back(fmt::format("attempt {} ({}) lacks {} of the {} devices of attempt 1 and has {} others", a + 1,
                                   file, first.size() - common.size(), first.size(), now.size() - common.size()));
  }
}

/// What some attempt has not measured has not passed.
void PartBook::hold_absent_open() {
  for (Entry& entry : entries_) {
    if (entry.part.kind != Part::Kind::device) continue;
    const auto there = attempts_ - static_cast<std::size_t>(std::count(entry.nodes.begin(), entry.nodes.end(), rack));
    for (std::size_t a = 0; a < attempts_; ++a) {
      if (entry.nodes[a] != rack) continue;
      Evidence evidence;
      evidence.kind = Evidence::Kind::not_measured;
      evidence.verdict = Verdict::inconclusive;
      evidence.attempt = a;
      evidence.text = fmt::format("it is not there; it is in {} of the {} attempts", there, attempts_);
      ++entry.attempts[a].open;
      entry.attempts[a].evidence.push_back(std::move(evidence));
    }
  }
}

std::size_t PartBook::link(std::size_t one, std::size_t other) {
  const std::pair<std::size_t, std::size_t> ends = std::minmax(one, other);
  const auto [found, is_new] = link_by_ends_.try_emplace(ends, entries_.size());
  if (is_new) {
    Part part;
    part.kind = Part::Kind::link;
    (void)new_entry(std::move(part));
    entries_.back().ends = ends;
  }
  return found->second;
}

void PartBook::mark_passed(std::size_t part, std::size_t attempt) {
  Tally& tally = entries_.at(part).attempts.at(attempt);
  tally.seen = true;
  ++tally.passed;
}

void PartBook::add(std::size_t part, Evidence evidence) {
  Tally& tally = entries_.at(part).attempts.at(evidence.attempt);
  tally.seen = true;
  if (evidence.verdict == Verdict::fail) ++tally.failed;
  if (evidence.verdict == Verdict::inconclusive) ++tally.open;
  tally.evidence.push_back(std::move(evidence));
  if (tally.evidence.size() >= 2 * most_evidence_) keep_weightiest(tally);
}

void PartBook::keep_weightiest(Tally& tally) const {
  std::stable_sort(tally.evidence.begin(), tally.evidence.end(), is_weightier);
  if (tally.evidence.size() <= most_evidence_) return;
  tally.more += tally.evidence.size() - most_evidence_;
  tally.evidence.resize(most_evidence_);
}

bool PartBook::has_failed(std::size_t part, std::size_t attempt) const {
  return entries_.at(part).attempts.at(attempt).failed > 0;
}

void PartBook::name_link(Entry& entry) const {
  const Part& one = entries_[entry.ends.first].part;
  const Part& other = entries_[entry.ends.second].part;
  entry.part.name = fmt::format("{} <-> {}", one.name, other.name);
  const auto place = [](const Part& end) {
    if (end.kind == Part::Kind::node) return fmt::format("node {}", end.node_index);
    return end.serial.empty() ? end.place : fmt::format("serial {}, {}", end.serial, end.place);
  };
  entry.part.place = fmt::format("{} <-> {}", place(one), place(other));
}

Part PartBook::finished(Entry& entry) const {
  Part part = std::move(entry.part);
  for (Tally& tally : entry.attempts) {
    keep_weightiest(tally);
    part.attempts.push_back(tally.verdict());
    part.seen.push_back(tally.seen);
    part.more += tally.more;
    for (Evidence& evidence : tally.evidence) {
      if (evidence.verdict == Verdict::fail) part.excess = std::max(part.excess, evidence.excess);
      part.evidence.push_back(std::move(evidence));
    }
  }
  part.verdict = over_attempts(part.attempts);
  return part;
}

void PartBook::judge_nodes_by_devices(std::vector<Part>& parts) const {
  std::vector<Verdict> worst(parts.size(), Verdict::not_judged);
  for (std::size_t d = 0; d < parts.size(); ++d) {
    if (parts[d].kind != Part::Kind::device) continue;
    std::set<std::size_t> homes(entries_[d].nodes.begin(), entries_[d].nodes.end());
    homes.erase(rack);
    for (std::size_t a = 0; a < attempts_; ++a) {
      const std::size_t node = entries_[d].nodes[a] != rack ? entries_[d].nodes[a] : *homes.rbegin();
      Verdict& verdict = parts[node].attempts[a];
      verdict = worse_of(verdict, parts[d].attempts[a]);
    }
    // One that was moved counts where it was, in each attempt.
    if (homes.size() == 1) worst[*homes.begin()] = worse_of(worst[*homes.begin()], parts[d].verdict);
  }
  for (std::size_t n = 0; n < parts.size(); ++n) {
    if (parts[n].kind == Part::Kind::node) parts[n].verdict = worse_of(over_attempts(parts[n].attempts), worst[n]);
  }
}

void PartBook::conclude(Acceptance& acceptance) {
  const auto count = [](PartCounts& counts, Verdict verdict) { ++counts.of[static_cast<std::size_t>(verdict)]; };
  for (Entry& entry : entries_) {
    if (entry.part.kind == Part::Kind::link) name_link(entry);
  }
  std::vector<Part> parts;
  parts.reserve(entries_.size());
  for (Entry& entry : entries_) parts.push_back(finished(entry));
  judge_nodes_by_devices(parts);
  for (Part& part : parts) {
    acceptance.verdict = worse_of(acceptance.verdict, part.verdict);
    for (std::size_t a = 0; a < attempts_; ++a) {
      Verdict& verdict = acceptance.attempts.at(a).verdict;
      verdict = worse_of(verdict, part.attempts[a]);
    }
    switch (part.kind) {
      case Part::Kind::rack:
        break;
      case Part::Kind::node:
        count(acceptance.nodes, part.verdict);
        break;
      case Part::Kind::device:
        count(acceptance.devices, part.verdict);
        break;
      case Part::Kind::link:
        count(acceptance.links, part.verdict);
        if (part.verdict == Verdict::pass || part.verdict == Verdict::not_judged) continue;
        break;
    }
    acceptance.parts.push_back(std::move(part));
  }
  std::stable_sort(acceptance.parts.begin(), acceptance.parts.end(),
                   [](const Part& one, const Part& other) { return one.kind < other.kind; });
}

}  // namespace rackproof::results
