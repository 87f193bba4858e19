#include "results/links.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "common/core/error.hpp"
#include "common/core/units.hpp"
#include "common/stats/order_statistics.hpp"
#include "results/table.hpp"

namespace rackproof::results {
namespace {

using stats::PairTime;
using stats::SlowPart;
using Ends = std::pair<int, int>;

/// B. What smaller messages take between nodes that are one machine is the time until their receiver may run, if it has
/// to share its hardware thread.
constexpr std::int64_t shortest_beside_others = 64 * 1024;

std::size_t at(int i) { return static_cast<std::size_t>(i); }

const std::string* text_of(const CaseHeader& which, const char* parameter) {
  const ParameterValue* const value = which.parameters.find(parameter);
  return value == nullptr ? nullptr : std::get_if<std::string>(value);
}

/// What one rank saw of a case.
struct RankTime {
  double seconds;
  double spread;
  int partner;
  bool right;  ///< what it received, within the tolerance
};

/// Half of the 95 % interval of the median is 1.96 standard errors, where there are samples enough for one.
double relative_error(const stats::MedianEstimate& estimate) {
  const auto& interval = estimate.interval;
  return interval && estimate.median > 0.0 ? (interval->high - interval->low) / (2.0 * 1.96 * estimate.median) : 0.0;
}

std::vector<RankTime> rank_times(const ResultFile& file, std::size_t suite, std::size_t which) {
  const auto ranks = static_cast<int>(file.header().ranks.size());
  std::vector<RankTime> all(at(ranks), RankTime{std::numeric_limits<double>::quiet_NaN(), 0.0, -1, false});
  file.for_each_times(suite, which, [&](const RankTimes& times) {
    stats::MedianEstimator estimator;
    for (std::size_t row = 0; row < times.samples.size(); ++row) {
      const stats::MedianEstimate estimate = estimator(times.of(row));
      RankTime& rank = all[at(times.first_rank) + row];
      rank.seconds = estimate.median;
      rank.spread = relative_error(estimate);
    }
  });
  const int step = file.ranks_per_block();
  for (int first = 0; first < ranks; first += step) {
    const RankBlock block = file.checks(suite, which, first, std::min(step, ranks - first));
    for (std::size_t row = 0; row < block.samples.size(); ++row) {
      RankTime& rank = all[at(first) + row];
      rank.partner = block.samples[row] == 0 ? -1 : block.partner[row];
      rank.right = block.verify_error[row] <= 1.0;
    }
  }
  return all;
}

bool same_pair(Ends one, Ends other) {
  return std::minmax(one.first, one.second) == std::minmax(other.first, other.second);
}

void count_wrong(LinkSeries& series, int a, int b) {
  auto known = std::find_if(series.wrong_data.begin(), series.wrong_data.end(), [&](const LinkSeries::WrongData& one) {
    return same_pair({one.a, one.b}, {a, b});
  });
  if (known == series.wrong_data.end()) known = series.wrong_data.insert(known, {a, b, 0, 0});
  ++known->wrong;
}

/// To be called when all cases are read.
void count_meetings(LinkSeries& series) {
  for (LinkSeries::WrongData& one : series.wrong_data) {
    const auto among = [&](const std::vector<PairTime>& times) {
      return static_cast<int>(std::count_if(times.begin(), times.end(), [&](const PairTime& time) {
        return same_pair({time.a, time.b}, {one.a, one.b});
      }));
    };
    one.meetings = one.wrong + among(series.times);
    for (const LinkSeries::Apart& apart : series.apart) one.meetings += among(apart.times);
  }
}

/// Pairs whose ranks name each other. How long a link takes that delivers something else says nothing: such pairs are
/// counted instead.
std::vector<PairTime> pair_times(const std::vector<RankTime>& ranks, bool again, LinkSeries& series) {
  std::vector<PairTime> pairs;
  for (int a = 0; a < static_cast<int>(ranks.size()); ++a) {
    const int b = ranks[at(a)].partner;
    if (b <= a || ranks[at(b)].partner != a) continue;
    if (!ranks[at(a)].right || !ranks[at(b)].right) {
      count_wrong(series, a, b);
      continue;
    }
    const RankTime& later = ranks[at(a)].seconds >= ranks[at(b)].seconds ? ranks[at(a)] : ranks[at(b)];
    pairs.push_back({a, b, later.seconds, later.spread, again});
  }
  return pairs;
}

// ---- words ----

/// How ranks and nodes are called.
class Names {
 public:
  Names(const ResultFile& file, const LinkSeries& series) : ranks_(file.ranks_of(series.suite, series.first)) {
    std::map<int, int> endpoints;  // by node
    std::set<int> measured;
    for (const PairTime& time : series.times) measured.insert({time.a, time.b});
    for (const LinkSeries::WrongData& one : series.wrong_data) measured.insert({one.a, one.b});
    for (const int rank : measured) ++endpoints[ranks_[at(rank)].node_index];
    one_a_node_ = std::all_of(endpoints.begin(), endpoints.end(), [](const auto& node) { return node.second == 1; });
  }

  [[nodiscard]] std::string node(int index) const {
    const auto rank = std::find_if(ranks_.begin(), ranks_.end(), [&](const auto& r) { return r.node_index == index; });
    return rank == ranks_.end() ? fmt::format("{}", index) : rank->hostname;
  }
  /// "node-7", or "rank 12" where nodes have several.
  [[nodiscard]] std::string brief(int rank) const {
    return one_a_node_ ? ranks_[at(rank)].hostname : fmt::format("rank {}", rank);
  }
  [[nodiscard]] std::string pair(int a, int b) const { return fmt::format("{} <-> {}", brief(a), brief(b)); }
  /// "rank 12 (node-3, host:4, serial X)".
  [[nodiscard]] std::string full(int rank) const {
    const RankHeader& header = ranks_[at(rank)];
    const std::string serial = header.serial.empty() ? "" : ", serial " + header.serial;
    if (one_a_node_) return fmt::format("{} (rank {}, {}{})", header.hostname, rank, header.device_id, serial);
    return fmt::format("rank {} ({}, {}{})", rank, header.hostname, header.device_id, serial);
  }
  /// "node node-3 (rank 12, host:4)", or "rank 12 (node-3, host:4)".
  [[nodiscard]] std::string endpoint_with_place(int rank) const { return (one_a_node_ ? "node " : "") + full(rank); }
  [[nodiscard]] const char* endpoint() const { return one_a_node_ ? "node" : "rank"; }

 private:
  const std::vector<RankHeader>& ranks_;
  bool one_a_node_ = true;
};

std::string percent(double share) { return fmt::format("{:.0f} %", 100.0 * share); }

std::string confidence(double value) {
  // Never quite certain: the model may be wrong.
  return value > 0.999 ? "confidence above 0.999"
                       : fmt::format("confidence {:.3f}", std::floor(value * 1000.0) / 1000.0);
}

std::string subject(const SlowPart& part, const Names& names) {
  switch (part.kind) {
    case SlowPart::Kind::link:
      return fmt::format("link {} <-> {}", names.full(part.a), names.full(part.b));
    case SlowPart::Kind::endpoint:
      return names.endpoint_with_place(part.a);
    case SlowPart::Kind::node:
      return fmt::format("node {}", names.node(part.a));
    case SlowPart::Kind::link_of_nodes:
      return fmt::format("link {} <-> {}", names.node(part.a), names.node(part.b));
  }
  return {};
}

/// The slowest pairs that speak against the part, each once.
std::string worst_pairs(const SlowPart& part, const LinkSeries& series, const Names& names) {
  constexpr std::size_t limit = 3;
  std::vector<std::string> texts;
  std::set<Ends> known;
  for (const int i : part.evidence) {
    const PairTime& time = series.times[at(i)];
    if (texts.size() == limit || !known.emplace(time.a, time.b).second) continue;
    texts.push_back(fmt::format("{} {}", names.pair(time.a, time.b), format_duration(time.seconds)));
  }
  return fmt::format("{}", fmt::join(texts, ", "));
}

bool belongs(const PairTime& pair, const SlowPart& part, const LinkSeries& series) {
  const auto node = [&](int rank) { return series.options.node_of[at(rank)]; };
  switch (part.kind) {
    case SlowPart::Kind::link:
      return std::minmax(pair.a, pair.b) == std::minmax(part.a, part.b);
    case SlowPart::Kind::endpoint:
      return pair.a == part.a || pair.b == part.a;
    case SlowPart::Kind::node:
      return node(pair.a) == part.a || node(pair.b) == part.a;
    case SlowPart::Kind::link_of_nodes:
      return std::minmax(node(pair.a), node(pair.b)) == std::minmax(part.a, part.b);
  }
  return false;
}

/// Does the slowest part stay slow with fewer others? In the first case its pair met beside one other pair that nothing
/// is said against; each case after it drove some more.
std::string apart_words(const LinkSeries& series, const Names& names) {
  const SlowPart& part = series.verdict.blamed.front();
  if (series.apart.empty()) return {};
  const auto& alone = series.apart.front().times;
  const auto target =
      std::find_if(alone.begin(), alone.end(), [&](const PairTime& t) { return belongs(t, part, series); });
  if (target == alone.end()) return {};
  const auto excess = [&](const PairTime& time) {
    return stats::log_excess(series.verdict, series.times, series.options, time.a, time.b, time.seconds);
  };
  const auto same = [](const PairTime& one, const PairTime& other) { return one.a == other.a && one.b == other.b; };
  const auto control = std::find_if(alone.begin(), alone.end(), [&](const PairTime& t) { return !same(t, *target); });
  std::optional<std::vector<std::string>> fewest;
  for (const LinkSeries::Apart& one : series.apart) {
    double more = 0.0;
    std::vector<std::string> others;
    for (const PairTime& time : one.times) {
      if (same(time, *target)) {
        more += excess(time);
      } else if (control != alone.end() && same(time, *control)) {
        more -= excess(time);
      } else {
        others.push_back(names.pair(time.a, time.b));
      }
    }
    const bool slow = more > 0.5 * std::log1p(part.slowdown);
    if (slow && (!fewest || others.size() < fewest->size())) fewest = std::move(others);
  }
  const std::string pair = names.pair(target->a, target->b);
  if (!fewest) return fmt::format("; {} is not slow when few others are driven with it", pair);
  if (fewest->empty()) return fmt::format("; {} is slow alone too", pair);
  if (fewest->size() > 8) return fmt::format("; {} is slow only with others: with {} pairs", pair, fewest->size());
  return fmt::format("; {} is slow only with others: with {}", pair, fmt::join(*fewest, ", "));
}

std::string blame_line(const SlowPart& part, const LinkSeries& series, const Names& names) {
  const bool link = part.kind == SlowPart::Kind::link || part.kind == SlowPart::Kind::link_of_nodes;
  return fmt::format("{}: takes {} longer than the other {} let expect ({}); slow in {} of {} {}: {}",
                     subject(part, names), percent(part.slowdown), link ? "pairs" : "endpoints",
                     confidence(part.confidence), part.slow_pairs, part.pairs, link ? "meetings" : "pairs",
                     worst_pairs(part, series, names));
}

std::vector<std::string> wrong_lines(const LinkSeries& series, const Names& names) {
  std::vector<std::string> lines;
  for (const LinkSeries::WrongData& one : series.wrong_data) {
    lines.push_back(fmt::format("link {} <-> {}: delivered wrong data in {} of {} meetings", names.full(one.a),
                                names.full(one.b), one.wrong, one.meetings));
  }
  return lines;
}

/// That nothing is slow, and what would not have been seen.
std::string nothing_line(const LinkSeries& series, const Names& names) {
  constexpr double useless = 0.5;
  const stats::PairVerdict& verdict = series.verdict;
  const std::string noise = fmt::format("noise {:.1f} %", 100.0 * verdict.noise);
  const auto seen = [](double least) { return percent(std::ceil(100.0 * least - 1e-9) / 100.0); };
  if (verdict.least_link > useless) {
    return fmt::format("too noisy to judge: {}; a link would have to be {} to stand out", noise,
                       verdict.least_link > 10.0 ? "over 1000 % slow" : "about " + seen(verdict.least_link) + " slow");
  }
  if (verdict.least_endpoint > useless) {
    return fmt::format(
        "no link stands out ({}: what is less than about {} slow would not be seen); too few "
        "{}s, beside this noise, to judge one",
        noise, seen(verdict.least_link), names.endpoint());
  }
  return fmt::format(
      "no link and no {} stands out ({}: what is less than about {} slow, of a {} {}, would not be seen)",
      names.endpoint(), noise, seen(verdict.least_link), names.endpoint(), seen(verdict.least_endpoint));
}

std::vector<std::string> lines_of(const LinkSeries& series, const Names& names) {
  const stats::PairVerdict& verdict = series.verdict;
  std::vector<std::string> lines = wrong_lines(series, names);
  if (!verdict.decided) {
    lines.push_back("not judged: " + verdict.reason);
    return lines;
  }
  for (const SlowPart& part : verdict.blamed) {
    lines.push_back(blame_line(part, series, names));
    if (&part == &verdict.blamed.front()) lines.back() += apart_words(series, names);
  }
  constexpr std::size_t limit = 5;
  for (std::size_t i = 0; i < verdict.suspects.size() && i < limit; ++i) {
    const SlowPart& part = verdict.suspects[i];
    lines.push_back(fmt::format("not settled: {}: took {} longer in {} of {} meetings", subject(part, names),
                                percent(part.slowdown), part.slow_pairs, part.pairs));
  }
  if (verdict.suspects.size() > limit) lines.push_back(fmt::format("and {} more", verdict.suspects.size() - limit));
  if (verdict.blamed.empty() && verdict.suspects.empty() && series.wrong_data.empty()) {
    lines.push_back(nothing_line(series, names));
  }
  if (!verdict.cleared.empty()) {
    const std::size_t count = verdict.cleared.size();
    lines.push_back(
        fmt::format("{} pair{} slow once, but not when measured again", count, count == 1 ? " was" : "s were"));
  }
  return lines;
}

std::string name_of(const LinkSeries& series) {
  return fmt::format("{} {}", format_bytes(static_cast<double>(series.message_size)), series.direction);
}

/// As the run was told; it may only look closer than is usual, whatever its file says.
double link_floor_of(const RunHeader& header) {
  const double usual = stats::PairOptions{}.link_floor;
  const auto text = header.provenance.find("configuration");
  if (text == header.provenance.end()) return usual;
  static const nlohmann::json::json_pointer option(std::string("/suite_options/") + stats::link_floor_option);
  const nlohmann::json json = nlohmann::json::parse(text->second, nullptr, false);
  if (!json.is_object() || !json.contains(option) || !json[option].is_string()) return usual;
  try {
    return parse_percent(json[option].get<std::string>(), stats::link_floor_option, usual);
  } catch (const Error&) {
    return usual;
  }
}

/// The ranks of one machine, and the hardware threads that they share.
struct Crowd {
  std::vector<const RankHeader*> ranks;
  std::int64_t threads = 0;
};

std::string crowd_text(const Crowd& crowd) {
  std::set<int> nodes;
  for (const RankHeader* const rank : crowd.ranks) nodes.insert(rank->node_index);
  const std::string& first = crowd.ranks.front()->hostname;
  const std::string who = nodes.size() == 1 ? fmt::format("{} has", first)
                                            : fmt::format("{} nodes ({} to {}) are one machine, with", nodes.size(),
                                                          first, crowd.ranks.back()->hostname);
  return fmt::format("{} {} ranks on {} hardware thread{}, so that its scheduler decides who is slow", who,
                     crowd.ranks.size(), crowd.threads, crowd.threads == 1 ? "" : "s");
}

/// Names the first group of nodes that has more ranks than hardware threads.
template <typename NameOfGroup>
std::string crowded(const RunHeader& header, const NameOfGroup& name_of_group) {
  const auto text = header.provenance.find("machines");
  if (text == header.provenance.end()) return {};
  const nlohmann::json machines = nlohmann::json::parse(text->second, nullptr, false);
  if (!machines.is_array()) return {};
  static const nlohmann::json::json_pointer cpu_threads("/cpu/threads");
  std::map<std::string, Crowd> crowds;
  for (const RankHeader& rank : header.ranks) {
    if (rank.node_index < 0 || at(rank.node_index) >= machines.size()) continue;
    const nlohmann::json& machine = machines[at(rank.node_index)];
    if (!machine.is_object() || !machine.contains(cpu_threads) || !machine[cpu_threads].is_number_integer()) continue;
    Crowd& crowd = crowds[name_of_group(rank.node_index, machine)];
    crowd.ranks.push_back(&rank);
    crowd.threads = std::max(crowd.threads, machine[cpu_threads].get<std::int64_t>());
  }
  const Crowd* first = nullptr;
  for (const auto& [name, crowd] : crowds) {
    if (crowd.threads <= 0 || static_cast<std::int64_t>(crowd.ranks.size()) <= crowd.threads) continue;
    if (first == nullptr || crowd.ranks.front()->node_index < first->ranks.front()->node_index) first = &crowd;
  }
  return first == nullptr ? std::string() : crowd_text(*first);
}

}  // namespace

std::string crowded_node(const RunHeader& header) {
  return crowded(header, [](int node, const nlohmann::json&) { return fmt::format("{}", node); });
}

std::string crowded_machine(const RunHeader& header) {
  return crowded(header, [](int node, const nlohmann::json& machine) {
    const auto boot = machine.find("boot_id");
    return boot != machine.end() && boot->is_string() ? boot->get<std::string>() : fmt::format("{}", node);
  });
}

bool is_pair_case(const CaseHeader& which) {
  return text_of(which, schema::direction) != nullptr && text_of(which, schema::stage) != nullptr;
}

std::vector<LinkSeries> link_series(const ResultFile& file, std::size_t suite) {
  const RunHeader& header = file.header();
  std::vector<LinkSeries> all;
  for (std::size_t c = 0; c < header.suites[suite].cases.size(); ++c) {
    const CaseHeader& which = header.suites[suite].cases[c];
    if (!header.suites[suite].pairs || !is_pair_case(which)) continue;
    // Of a case that failed, those pairs count that are right.
    const Status status = file.outcome(suite, c).status;
    if (status != Status::passed && status != Status::failed) continue;
    const std::string& direction = *text_of(which, schema::direction);
    auto series = std::find_if(all.begin(), all.end(), [&](const LinkSeries& one) {
      return one.message_size == which.message_size && one.direction == direction;
    });
    if (series == all.end()) {
      series = all.emplace(all.end());
      series->suite = suite;
      series->first = c;
      series->message_size = which.message_size;
      series->direction = direction;
      series->figures = which.figures;
    }
    const std::string& stage = *text_of(which, schema::stage);
    std::vector<PairTime> times = pair_times(rank_times(file, suite, c), stage == schema::stage_again, *series);
    if (stage == schema::stage_apart) {
      series->apart.push_back({c, std::move(times)});
    } else {
      series->times.insert(series->times.end(), times.begin(), times.end());
    }
  }
  const std::string crowded_long = crowded_node(header);
  const std::string crowded_short = crowded_machine(header);
  const double link_floor = link_floor_of(header);
  for (LinkSeries& series : all) {
    count_meetings(series);
    for (const RankHeader& rank : header.ranks) series.options.node_of.push_back(rank.node_index);
    series.options.link_floor = link_floor;
    series.verdict = stats::judge_pairs(series.times, static_cast<int>(header.ranks.size()), series.options);
    const std::string& crowded = series.message_size < shortest_beside_others ? crowded_short : crowded_long;
    if (series.verdict.decided && !crowded.empty()) {
      series.verdict = {};
      series.verdict.reason = crowded;
    }
  }
  return all;
}

std::string blame_text(const ResultFile& file, const LinkSeries& series, const stats::SlowPart& part) {
  return blame_line(part, series, Names(file, series));
}

std::string series_name(const LinkSeries& series) { return name_of(series); }

std::string link_table(const ResultFile& file, const std::vector<LinkSeries>& all) {
  std::vector<FigureHeader> figures;
  for (const LinkSeries& series : all) {
    if (series.figures.size() > figures.size()) figures = series.figures;
  }
  std::vector<Table::Column> columns{{"pairs", "", Table::Align::left},
                                     {"meetings", "", Table::Align::right},
                                     {"time", "median", Table::Align::right}};
  for (const FigureHeader& figure : figures) columns.push_back({figure.name, figure.unit, Table::Align::right});
  columns.push_back({"noise", "%", Table::Align::right});
  columns.push_back({"slowest", "", Table::Align::right});
  columns.push_back({"between", "", Table::Align::left});
  Table table(columns);
  for (const LinkSeries& series : all) {
    if (series.times.empty()) continue;
    const Names names(file, series);
    std::vector<double> seconds;
    for (const PairTime& time : series.times) seconds.push_back(time.seconds);
    const double median = stats::median(seconds);
    std::vector<std::string> cells{name_of(series), fmt::format("{}", series.times.size()), format_duration(median)};
    for (const FigureHeader& wanted : figures) {
      const auto figure = std::find_if(series.figures.begin(), series.figures.end(),
                                       [&](const FigureHeader& own) { return own.name == wanted.name; });
      cells.push_back(figure == series.figures.end() ? "" : format_number(figure->value(median)));
    }
    cells.push_back(series.verdict.decided ? fmt::format("{:.1f}", 100.0 * series.verdict.noise) : "-");
    const auto slowest = std::max_element(series.times.begin(), series.times.end(),
                                          [](const PairTime& a, const PairTime& b) { return a.seconds < b.seconds; });
    cells.push_back(format_duration(slowest->seconds));
    cells.push_back(names.pair(slowest->a, slowest->b));
    table.add_row(std::move(cells));
  }
  return table.rows() == 0 ? "" : table.render();
}

std::string link_verdicts(const ResultFile& file, const std::vector<LinkSeries>& all) {
  std::string text;
  for (const LinkSeries& series : all) {
    const Names names(file, series);
    for (const std::string& line : lines_of(series, names)) {
      std::string indent;
      for (const std::string& part : wrap(fmt::format("{}: {}", name_of(series), line), page_width - 4)) {
        text += indent + part + "\n";
        indent = "    ";
      }
    }
  }
  return text;
}

}  // namespace rackproof::results
