#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "common/core/units.hpp"
#include "common/stats/multiple_testing.hpp"
#include "common/stats/order_statistics.hpp"
#include "results/accept_parts.hpp"
#include "results/known_runs.hpp"

namespace rackproof::results {
namespace {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
/// With three, one slow device and two fast ones look the same.
constexpr std::size_t fewest_peers = 4;
/// MAD to standard deviation, and the share of values that its degrees of freedom are, for normals (Rousseeuw and
/// Croux, Alternatives to the median absolute deviation, JASA 88, 1993).
constexpr double mad_to_deviation = 1.4826;
constexpr double mad_freedom = 0.367;
/// Where a device has to be eleven times as slow to be found, devices are not compared: nothing would be said of them.
constexpr double most_seen_from = 10.0;
/// Medians of times are not known better than this, however quiet it is.
constexpr double least_scale = 0.005;

/// P(T > z) of Student's t.
double student_tail(double z, double freedom) {
  const boost::math::students_t_distribution<double> t(std::max(freedom, 0.5));
  return boost::math::cdf(boost::math::complement(t, z));
}

double student_quantile(double p, double freedom) {
  const boost::math::students_t_distribution<double> t(std::max(freedom, 0.5));
  return boost::math::quantile(boost::math::complement(t, p));
}

/// The middle of some logarithms and how far they lie from it.
struct Spread {
  double middle = 0.0;
  double scale = least_scale;
  double freedom = 1.0;
};

/// n / (n - 0.8) makes the MAD of few values as large as it should be (Croux and Rousseeuw, Time-efficient algorithms
/// for two highly robust estimators of scale, COMPSTAT 1992).
Spread spread_of(const std::vector<double>& values) {
  Spread spread;
  spread.middle = stats::median(values);
  std::vector<double> distances;
  for (const double value : values) distances.push_back(std::abs(value - spread.middle));
  const auto n = static_cast<double>(values.size());
  spread.scale = std::max(least_scale, mad_to_deviation * stats::median(distances) * n / (n - 0.8));
  spread.freedom = mad_freedom * n;
  return spread;
}

/// One device in one case, against what is expected of it.
struct Deviation {
  std::size_t attempt = 0;
  std::size_t suite = 0;
  std::size_t which = 0;
  int rank = -1;  ///< -1: the case as a whole
  double seconds = 0.0;
  double expected = 0.0;  ///< s
  double z = 0.0;
  double p_value = 1.0;
  std::size_t peers = 0;
  [[nodiscard]] double excess() const { return seconds / expected - 1.0; }
};

/// "1.31 TFLOP/s", by the first figure of the case, or the time.
std::string shown(const CaseHeader& which, double seconds) {
  if (which.figures.empty() || !(which.figures.front().amount > 0.0)) return format_duration(seconds);
  const FigureHeader& figure = which.figures.front();
  return fmt::format("{} {} {}", figure.name, format_number(figure.value(seconds)), figure.unit);
}

Evidence evidence_of(const Deviation& deviation, Evidence::Kind kind, const CaseHeader& which, std::string text) {
  Evidence evidence;
  evidence.kind = kind;
  evidence.verdict = Verdict::fail;
  evidence.attempt = deviation.attempt;
  evidence.case_name = which.name;
  evidence.text = std::move(text);
  const bool has_figure = !which.figures.empty() && which.figures.front().amount > 0.0;
  const FigureHeader figure =
      has_figure ? which.figures.front() : FigureHeader{"time", "s", FigureHeader::Kind::time, 1.0};
  evidence.figure = figure.name;
  evidence.unit = figure.unit;
  evidence.measured = figure.value(deviation.seconds);
  evidence.expected = figure.value(deviation.expected);
  evidence.excess = deviation.excess();
  return evidence;
}

std::vector<bool> blamed(const std::vector<Deviation>& deviations, const AcceptOptions& options) {
  std::vector<double> p_values;
  p_values.reserve(deviations.size());
  for (const Deviation& one : deviations) p_values.push_back(one.p_value);
  const std::vector<double> adjusted = stats::benjamini_hochberg(p_values);
  std::vector<bool> result(deviations.size());
  for (std::size_t i = 0; i < deviations.size(); ++i) {
    result[i] = adjusted[i] <= options.false_discovery_rate && deviations[i].excess() > options.floor;
  }
  return result;
}

/// Ranks by the name of their device.
std::map<std::string, std::vector<int>> ranks_by_kind(const RunHeader& header) {
  std::map<std::string, std::vector<int>> kinds;
  for (std::size_t r = 0; r < header.ranks.size(); ++r) {
    kinds[header.ranks[r].device_name].push_back(static_cast<int>(r));
  }
  return kinds;
}

/// The deviations of one kind of device in one case; `least` gets what is not seen.
std::vector<Deviation> deviations_of(const CaseTimes& times, const std::vector<int>& ranks, std::size_t attempt,
                                     const AcceptOptions& options, std::vector<double>& least) {
  std::vector<int> measured;
  std::vector<double> logs;
  for (const int rank : ranks) {
    const double seconds = times.seconds[static_cast<std::size_t>(rank)];
    if (!(seconds > 0.0) || !std::isfinite(seconds)) continue;
    measured.push_back(rank);
    logs.push_back(std::log(seconds));
  }
  std::vector<Deviation> all;
  if (measured.size() < fewest_peers) return all;
  const Spread spread = spread_of(logs);
  const double rate = options.false_discovery_rate / static_cast<double>(measured.size());
  const double seen_from = std::expm1(spread.scale * student_quantile(rate, spread.freedom));
  if (!(seen_from <= most_seen_from)) return all;
  least.push_back(std::max(options.floor, seen_from));
  for (std::size_t i = 0; i < measured.size(); ++i) {
    const double z = (logs[i] - spread.middle) / spread.scale;
    all.push_back({attempt, times.suite, times.which, measured[i], std::exp(logs[i]), std::exp(spread.middle), z,
                   student_tail(z, spread.freedom), measured.size()});
  }
  return all;
}

// ---- whole nodes ----

/// How much slower than the median of its kind a device is, as a logarithm: the median over all cases, in which one
/// disturbed case does not count.
std::map<int, double> effects_of(const std::vector<CaseTimes>& times, const std::vector<int>& ranks) {
  std::map<int, std::vector<double>> all;
  for (const CaseTimes& one : times) {
    std::vector<std::pair<int, double>> logs;
    std::vector<double> values;
    for (const int rank : ranks) {
      const double seconds = one.seconds[static_cast<std::size_t>(rank)];
      if (!(seconds > 0.0) || !std::isfinite(seconds)) continue;
      logs.emplace_back(rank, std::log(seconds));
      values.push_back(logs.back().second);
    }
    if (values.size() < fewest_peers) continue;
    const double middle = stats::median(values);
    for (const auto& [rank, log] : logs) all[rank].push_back(log - middle);
  }
  std::map<int, double> effects;
  for (auto& [rank, values] : all) effects[rank] = stats::median(values);
  return effects;
}

/// A node against all others.
struct NodeDeviation {
  int node = 0;
  double difference = 0.0;  ///< of logarithms: mean of its devices' effects less that of the others'
  double t = 0.0;
  double p_value = 1.0;
  std::size_t devices = 0;
  std::size_t others = 0;
  std::size_t slow = 0;  ///< of its devices: by more than half of the difference
  double least = 0.0;    ///< what would just be blamed, as a logarithm, at the rate over the number of nodes
};

/// Student's t of the devices of one node against those of all others, whose deviation is estimated without it: what is
/// wrong with the node does not hide it, and where devices differ as independent normals t has others - 1 degrees of
/// freedom, however few they are. (Two devices of four nodes: by medians and MAD there would be three.)
NodeDeviation deviation_of_node(int node, const std::vector<double>& own, const std::vector<double>& others,
                                double rate) {
  const auto mean = [](const std::vector<double>& values) {
    double sum = 0.0;
    for (const double value : values) sum += value;
    return sum / static_cast<double>(values.size());
  };
  const double middle = mean(others);
  double squares = 0.0;
  for (const double value : others) squares += (value - middle) * (value - middle);
  const double freedom = static_cast<double>(others.size()) - 1.0;
  const double scale = std::max(least_scale, std::sqrt(squares / freedom)) *
                       std::sqrt(1.0 / static_cast<double>(own.size()) + 1.0 / static_cast<double>(others.size()));
  NodeDeviation result;
  result.node = node;
  result.difference = mean(own) - middle;
  result.t = result.difference / scale;
  result.p_value = student_tail(result.t, freedom);
  result.devices = own.size();
  result.others = others.size();
  result.slow = static_cast<std::size_t>(
      std::count_if(own.begin(), own.end(), [&](double value) { return value - middle > 0.5 * result.difference; }));
  result.least = scale * student_quantile(rate, freedom);
  return result;
}

/// Nodes of several devices, each slower by little: together they say more than each alone. `least` gets what is not
/// seen.
void judge_nodes_by_peers(const ResultFile& file, std::size_t attempt, const std::vector<CaseTimes>& times,
                          const std::vector<int>& ranks, const AcceptOptions& options, PartBook& book, double& least) {
  constexpr double most_of_a_node = 2.0 / 3.0;
  const std::map<int, double> effects = effects_of(times, ranks);
  std::map<int, std::vector<double>> by_node;
  for (const auto& [rank, effect] : effects) {
    by_node[file.header().ranks[static_cast<std::size_t>(rank)].node_index].push_back(effect);
  }
  std::vector<NodeDeviation> deviations;
  std::vector<double> p_values;
  for (const auto& [node, own] : by_node) {
    std::vector<double> others;
    for (const auto& [other, values] : by_node) {
      if (other != node) others.insert(others.end(), values.begin(), values.end());
    }
    if (own.size() < 2 || others.size() < fewest_peers || by_node.size() < 3) continue;
    const double rate = options.false_discovery_rate / static_cast<double>(by_node.size());
    deviations.push_back(deviation_of_node(node, own, others, rate));
    p_values.push_back(deviations.back().p_value);
  }
  const std::vector<double> adjusted = stats::benjamini_hochberg(p_values);
  std::vector<double> bounds;
  for (std::size_t i = 0; i < deviations.size(); ++i) {
    const NodeDeviation& one = deviations[i];
    bounds.push_back(std::max(options.floor, std::expm1(one.least)));
    const double excess = std::expm1(one.difference);
    const bool most = static_cast<double>(one.slow) >= most_of_a_node * static_cast<double>(one.devices);
    if (adjusted[i] > options.false_discovery_rate || !(excess > options.floor) || !most) continue;
    Evidence evidence;
    evidence.kind = Evidence::Kind::peers;
    evidence.verdict = Verdict::fail;
    evidence.attempt = attempt;
    evidence.excess = excess;
    evidence.text =
        fmt::format("its {} devices take {:.1f} % longer than the {} of the other nodes, typically (t {:.1f})",
                    one.devices, 100.0 * excess, one.others, one.t);
    book.add(book.node(attempt, one.node), std::move(evidence));
  }
  if (!bounds.empty()) least = stats::median(bounds);
}

std::string why_not_compared(const std::vector<CaseTimes>& times, const std::vector<int>& ranks) {
  if (ranks.size() < fewest_peers) return fmt::format("{} of this kind; {} are needed", ranks.size(), fewest_peers);
  const bool any = std::any_of(times.begin(), times.end(), [&](const CaseTimes& one) {
    const auto measured = std::count_if(ranks.begin(), ranks.end(), [&](int rank) {
      return std::isfinite(one.seconds[static_cast<std::size_t>(rank)]);
    });
    return static_cast<std::size_t>(measured) >= fewest_peers;
  });
  return any ? "their times differ so much that none can be told to be slow"
             : "no case that every device does alone was measured";
}

}  // namespace

std::vector<CaseTimes> case_times(const ResultFile& file, const KnownRuns* known) {
  std::vector<CaseTimes> all;
  const RunHeader& header = file.header();
  for (std::size_t s = 0; s < header.suites.size(); ++s) {
    for (std::size_t c = 0; c < header.suites[s].cases.size(); ++c) {
      const CaseHeader& which = header.suites[s].cases[c];
      const Status status = file.outcome(s, c).status;
      const bool measured = status == Status::passed || status == Status::failed || status == Status::mistrusted;
      if (which.collective || (header.suites[s].pairs && is_pair_case(which)) || !measured) continue;
      all.push_back({s, c, medians_by(known, file, s, c).rank_time});
    }
  }
  return all;
}

std::vector<PeerReport> judge_by_peers(const ResultFile& file, std::size_t attempt, const std::vector<CaseTimes>& times,
                                       const AcceptOptions& options, PartBook& book) {
  const RunHeader& header = file.header();
  std::vector<PeerReport> reports;
  std::vector<Deviation> deviations;
  // GPUs keep their own time; processors have that of their machine, whatever nodes it poses as.
  const std::string crowded_with_gpus = crowded_node(header);
  const std::string crowded_without = crowded_machine(header);
  for (const auto& [name, ranks] : ranks_by_kind(header)) {
    const std::string& crowded =
        is_processor(header.ranks[static_cast<std::size_t>(ranks.front())]) ? crowded_without : crowded_with_gpus;
    PeerReport report{attempt, name, ranks.size(), 0, unknown, unknown, crowded};
    std::vector<double> least;
    if (crowded.empty()) {
      for (const CaseTimes& one : times) {
        const std::vector<Deviation> some = deviations_of(one, ranks, attempt, options, least);
        deviations.insert(deviations.end(), some.begin(), some.end());
      }
      judge_nodes_by_peers(file, attempt, times, ranks, options, book, report.least_node);
    }
    report.cases = least.size();
    report.least = stats::median(least);
    if (crowded.empty() && least.empty()) report.reason = why_not_compared(times, ranks);
    reports.push_back(std::move(report));
  }
  const std::vector<bool> is_blamed = blamed(deviations, options);
  for (std::size_t i = 0; i < deviations.size(); ++i) {
    const Deviation& one = deviations[i];
    const std::size_t part = book.device(attempt, one.rank);
    if (!is_blamed[i]) {
      book.mark_passed(part, attempt);
      continue;
    }
    const CaseHeader& which = header.suites[one.suite].cases[one.which];
    book.add(part,
             evidence_of(one, Evidence::Kind::peers, which,
                         fmt::format("{}, takes {:.1f} % longer than the median of {} devices ({}); robust z {:.1f}",
                                     shown(which, one.seconds), 100.0 * one.excess(), one.peers,
                                     shown(which, one.expected), one.z)));
  }
  return reports;
}

// ---- baseline ----

namespace {

/// Logs of medians in good launches.
struct Known {
  std::map<std::string, std::vector<double>> of_device;  ///< by identity, one a launch
  std::vector<double> of_kind;                           ///< of all devices of the kind, one a launch and device
  Spread launches{};                                     ///< of the launches of a device, once all are known
  Spread kind{};                                         ///< of `of_kind`
};

using CaseKey = std::pair<std::string, std::string>;  ///< case, kind of device; of the job: an empty kind

/// How far single launches lie from the middle of a device's own, over all devices of a kind in a case: the pooled
/// standard deviation and its degrees of freedom.
Spread between_launches(const Known& known) {
  double squares = 0.0;
  double freedom = 0.0;
  for (const auto& [identity, logs] : known.of_device) {
    if (logs.size() < 2) continue;
    double mean = 0.0;
    for (const double one : logs) mean += one / static_cast<double>(logs.size());
    for (const double one : logs) squares += (one - mean) * (one - mean);
    freedom += static_cast<double>(logs.size() - 1);
  }
  Spread spread;
  spread.freedom = freedom;
  spread.scale = freedom > 0.0 ? std::max(least_scale, std::sqrt(squares / freedom)) : 0.0;
  return spread;
}

class Baseline {
 public:
  Baseline(std::span<const ResultFile> files, const KnownRuns* known_runs) {
    for (const ResultFile& file : files) add(file, known_runs);
    for (auto& [key, known] : cases_) {
      known.launches = between_launches(known);
      known.kind = spread_of(known.of_kind);
    }
  }

  /// Nothing where the baseline does not know the case, or too little of it. `same`: the very device was there.
  [[nodiscard]] std::optional<Deviation> compare(const CaseKey& key, const std::string& identity,
                                                 double seconds) const {
    const auto found = cases_.find(key);
    if (found == cases_.end() || !(seconds > 0.0) || !std::isfinite(seconds)) return std::nullopt;
    const Known& known = found->second;
    const double log = std::log(seconds);
    const auto own = known.of_device.find(identity);
    if (own != known.of_device.end()) {
      const Spread& spread = known.launches;
      if (spread.freedom < 1.0) return std::nullopt;
      const auto launches = static_cast<double>(own->second.size());
      return deviation(log, stats::median(own->second), spread.scale * std::sqrt(1.0 + 1.0 / launches), spread.freedom,
                       seconds, own->second.size());
    }
    // A sister rack: another device of the kind is expected where those lie.
    if (known.of_kind.size() < fewest_peers) return std::nullopt;
    const Spread& spread = known.kind;
    const auto count = static_cast<double>(known.of_kind.size());
    return deviation(log, spread.middle, spread.scale * std::sqrt(1.0 + 1.0 / count), spread.freedom, seconds,
                     known.of_kind.size());
  }
  [[nodiscard]] bool knows(const CaseKey& key) const { return cases_.count(key) > 0; }

 private:
  static Deviation deviation(double log, double middle, double scale, double freedom, double seconds,
                             std::size_t count) {
    Deviation one;
    one.seconds = seconds;
    one.expected = std::exp(middle);
    one.z = (log - middle) / scale;
    one.p_value = student_tail(one.z, freedom);
    one.peers = count;
    return one;
  }

  void add(const ResultFile& file, const KnownRuns* known_runs) {
    const RunHeader& header = file.header();
    for (const CaseTimes& times : case_times(file, known_runs)) {
      const CaseHeader& which = header.suites[times.suite].cases[times.which];
      if (file.outcome(times.suite, times.which).status == Status::failed) continue;
      for (std::size_t r = 0; r < header.ranks.size(); ++r) {
        keep({which.name, header.ranks[r].device_name}, identity_of(header.ranks[r]), times.seconds[r]);
      }
    }
    for (std::size_t s = 0; s < header.suites.size(); ++s) {
      for (std::size_t c = 0; c < header.suites[s].cases.size(); ++c) {
        const CaseHeader& which = header.suites[s].cases[c];
        if (!which.collective || file.outcome(s, c).status != Status::passed) continue;
        keep({which.name, {}}, "job", stats::median(file.figure_time(s, c)));
      }
    }
  }

  void keep(const CaseKey& key, const std::string& identity, double seconds) {
    if (!(seconds > 0.0) || !std::isfinite(seconds)) return;
    Known& known = cases_[key];
    known.of_device[identity].push_back(std::log(seconds));
    known.of_kind.push_back(std::log(seconds));
  }

  std::map<CaseKey, Known> cases_;
};

/// What there is of one attempt, and how much of it the baseline cannot tell.
struct Compared {
  std::vector<Deviation> deviations;
  std::size_t unknown_cases = 0;
  std::size_t undecided = 0;
};

Compared compare_attempt(const ResultFile& file, std::size_t attempt, const std::vector<CaseTimes>& times,
                         const Baseline& baseline) {
  Compared result;
  const RunHeader& header = file.header();
  const auto take = [&](const CaseKey& key, const std::string& identity, double seconds, Deviation where) {
    if (!baseline.knows(key)) {
      ++result.unknown_cases;
      return;
    }
    std::optional<Deviation> one = baseline.compare(key, identity, seconds);
    if (!one) {
      ++result.undecided;
      return;
    }
    one->attempt = where.attempt;
    one->suite = where.suite;
    one->which = where.which;
    one->rank = where.rank;
    result.deviations.push_back(*one);
  };
  for (const CaseTimes& one : times) {
    const std::string& name = header.suites[one.suite].cases[one.which].name;
    for (std::size_t r = 0; r < header.ranks.size(); ++r) {
      if (std::isnan(one.seconds[r])) continue;
      Deviation where{attempt, one.suite, one.which, static_cast<int>(r)};
      take({name, header.ranks[r].device_name}, identity_of(header.ranks[r]), one.seconds[r], where);
    }
  }
  for (std::size_t s = 0; s < header.suites.size(); ++s) {
    for (std::size_t c = 0; c < header.suites[s].cases.size(); ++c) {
      const CaseHeader& which = header.suites[s].cases[c];
      if (!which.collective || file.outcome(s, c).status != Status::passed) continue;
      take({which.name, {}}, "job", stats::median(file.figure_time(s, c)), {attempt, s, c, -1});
    }
  }
  return result;
}

}  // namespace

void judge_by_baseline(std::span<const ResultFile> attempts, std::span<const ResultFile> baseline,
                       const std::vector<std::vector<CaseTimes>>& times, const AcceptOptions& options, PartBook& book,
                       std::vector<std::string>& notices) {
  const Baseline known(baseline, options.known);
  for (std::size_t a = 0; a < attempts.size(); ++a) {
    const Compared compared = compare_attempt(attempts[a], a, times[a], known);
    const std::vector<bool> is_blamed = blamed(compared.deviations, options);
    for (std::size_t i = 0; i < compared.deviations.size(); ++i) {
      const Deviation& one = compared.deviations[i];
      const std::size_t part = one.rank < 0 ? PartBook::rack : book.device(a, one.rank);
      if (!is_blamed[i]) {
        book.mark_passed(part, a);
        continue;
      }
      const CaseHeader& which = attempts[a].header().suites[one.suite].cases[one.which];
      book.add(part, evidence_of(one, Evidence::Kind::baseline, which,
                                 fmt::format("{}, takes {:.1f} % longer than in {} good measurement{} ({}); z {:.1f}",
                                             shown(which, one.seconds), 100.0 * one.excess(), one.peers,
                                             one.peers == 1 ? "" : "s", shown(which, one.expected), one.z)));
    }
    if (compared.unknown_cases > 0) {
      notices.push_back(
          fmt::format("attempt {}: the baseline does not have {} of what was measured of devices and of the job", a + 1,
                      compared.unknown_cases));
    }
    if (compared.undecided > 0) {
      notices.push_back(fmt::format(
          "attempt {}: {} comparisons with the baseline were left out: it needs 2 launches, or {} devices of the kind",
          a + 1, compared.undecided, fewest_peers));
    }
    if (compared.deviations.empty()) {
      Evidence open;
      open.kind = Evidence::Kind::not_measured;
      open.verdict = Verdict::inconclusive;
      open.attempt = a;
      open.text = "nothing of it could be compared with the baseline";
      book.add(PartBook::rack, std::move(open));
    }
  }
}

}  // namespace rackproof::results
