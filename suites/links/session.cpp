#include "suites/links/session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "common/core/error.hpp"
#include "suites/links/payload.hpp"

namespace rackproof::links {
namespace {

constexpr std::uint64_t most_buffer_bytes = std::uint64_t{256} << 20U;
/// A page and a line between small messages: no prefetcher fetches the next one.
constexpr std::uint64_t least_stride = 4096 + line;

std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// The median of the rank that was done later.
double seconds_of(const Observation& seen, int rank, int partner) {
  return std::max(seen.seconds[at(rank)], seen.seconds[at(partner)]);
}

/// Did both receive what was sent? How long a link takes that delivers something else says nothing.
bool is_right(const Observation& seen, int rank, int partner) {
  return seen.failed.empty() || (!seen.failed[at(rank)] && !seen.failed[at(partner)]);
}

}  // namespace

Endpoints choose_endpoints(std::string_view scope, const mpi::Topology& topology) {
  if (scope != "auto" && scope != "nodes" && scope != "ranks") {
    throw usage_error(fmt::format("--links-between: '{}' is none of auto, nodes, ranks", printable(scope)));
  }
  const bool nodes = scope == "nodes" || (scope == "auto" && topology.nodes >= stats::fewest_endpoints);
  Endpoints endpoints;
  std::set<int> met;
  for (int rank = 0; rank < topology.size(); ++rank) {
    const int node = topology.ranks[at(rank)].node_index;
    if (nodes && !met.insert(node).second) continue;
    endpoints.rank.push_back(rank);
    if (!nodes) endpoints.node_of.push_back(node);
  }
  return endpoints;
}

int passes_of(int endpoints) {
  constexpr int enough_meetings = 24;
  const int pairs = std::max(1, endpoints * (endpoints - 1) / 2);
  return std::max(1, (enough_meetings + pairs - 1) / pairs);
}

LinksSession::Series& LinksSession::series_of(const Case& which) {
  return series_[{which.work.message_size, which.parameters.text("direction")}];
}

stats::PairOptions LinksSession::options() const {
  stats::PairOptions options;
  options.node_of = endpoints_.node_of;
  options.link_floor = link_floor_;
  return options;
}

const stats::PairVerdict& LinksSession::verdict_of(Series& series) const {
  if (!series.verdict) {
    series.verdict = stats::judge_pairs(series.times, endpoints_.size(), options());
  }
  return *series.verdict;
}

void LinksSession::observe(const Case& which, const Observation& seen) {
  if (!which.pairs) return;
  Series& series = series_of(which);
  const std::string& stage = which.parameters.text("stage");
  if (stage == "apart") {
    if (!series.apart) return;
    const auto wrong = [&](Ends ends) {
      return !is_right(seen, endpoints_.rank[at(ends.first)], endpoints_.rank[at(ends.second)]);
    };
    // Then nothing was learned: the next case tries the same again.
    if (wrong(series.apart->target) || (series.apart->control && wrong(*series.apart->control))) return;
    const double control = series.apart->control ? excess(series, *series.apart->control, seen) : 0.0;
    const double more = excess(series, series.apart->target, seen) - control;
    series.apart->search.report(more > 0.5 * series.apart->slowdown);
    return;
  }
  for (int a = 0; a < endpoints_.size(); ++a) {
    const int rank = endpoints_.rank[at(a)];
    const int partner = seen.partner[at(rank)];
    if (partner <= rank || !is_right(seen, rank, partner)) continue;
    const auto b = std::lower_bound(endpoints_.rank.begin(), endpoints_.rank.end(), partner) - endpoints_.rank.begin();
    series.times.push_back({a, static_cast<int>(b), seconds_of(seen, rank, partner), 0.0, stage == "again"});
  }
  series.verdict.reset();
}

/// How much longer than the rest of the tournament lets expect, as a logarithm.
double LinksSession::excess(const Series& series, Ends ends, const Observation& seen) const {
  const double seconds = seconds_of(seen, endpoints_.rank[at(ends.first)], endpoints_.rank[at(ends.second)]);
  return stats::log_excess(*series.verdict, series.times, options(), ends.first, ends.second, seconds);
}

/// The target is the slowest that is blamed; the others are a round beside it, those that are blamed too first; the
/// control is a pair of that round that nothing is said against, and is always there.
void LinksSession::plan_apart(Series& series) const {
  if (series.apart_planned) return;
  series.apart_planned = true;
  using Kind = stats::SlowPart::Kind;
  const stats::PairVerdict& verdict = verdict_of(series);
  std::vector<Ends> wanted;
  std::set<int> taken;
  std::set<int> accused;
  for (const stats::SlowPart& part : verdict.blamed) {
    for (const int i : part.evidence) {
      const stats::PairTime& time = series.times[at(i)];
      accused.insert(time.a);
      accused.insert(time.b);
      if (part.kind == Kind::endpoint) break;
    }
  }
  for (const stats::SlowPart& part : verdict.blamed) {
    // Of a part with several pairs, the slowest planned one whose ends are free.
    for (const int i : part.evidence) {
      const stats::PairTime& time = series.times[at(i)];
      if (time.again || taken.contains(time.a) || taken.contains(time.b)) continue;
      wanted.emplace_back(time.a, time.b);
      taken.insert({time.a, time.b});
      break;
    }
  }
  if (wanted.empty()) return;
  const std::vector<Ends> round = pairs_of(round_with(endpoints_.size(), wanted, seed_));
  const auto is_wanted = [&](Ends ends) {
    return std::any_of(wanted.begin(), wanted.end(), [&](Ends one) {
      return std::minmax(one.first, one.second) == std::minmax(ends.first, ends.second);
    });
  };
  std::vector<Ends> rest;
  std::copy_if(round.begin(), round.end(), std::back_inserter(rest), [&](Ends ends) { return !is_wanted(ends); });
  // A planned meeting tells what to expect of the control.
  const auto control = std::find_if(rest.begin(), rest.end(), [&](Ends ends) {
    return !accused.contains(ends.first) && !accused.contains(ends.second) &&
           std::any_of(series.times.begin(), series.times.end(), [&](const stats::PairTime& time) {
             return !time.again && std::minmax(time.a, time.b) == std::minmax(ends.first, ends.second);
           });
  });
  std::optional<Ends> chosen;
  if (control != rest.end()) {
    chosen = *control;
    rest.erase(control);
  }
  std::vector<Ends> others(wanted.begin() + 1, wanted.end());
  others.insert(others.end(), rest.begin(), rest.end());
  const double slowdown = std::log1p(verdict.blamed.front().slowdown);
  const auto count = static_cast<int>(others.size());
  series.apart = Apart{wanted.front(), chosen, std::move(others), slowdown, CompanionSearch(count)};
}

std::string LinksSession::reason_to_skip(const Case& which) {
  if (!which.pairs) return {};
  const std::string& stage = which.parameters.text("stage");
  if (stage == "round") return {};
  Series& series = series_of(which);
  const stats::PairVerdict& verdict = verdict_of(series);
  if (!verdict.decided) return "there was nothing to judge: " + verdict.reason;
  if (stage == "again") {
    if (!stats::pairs_to_repeat(verdict, series.times).empty()) return {};
    const bool none = verdict.blamed.empty() && verdict.cleared.empty();
    return none ? "no pair was suspicious" : "every suspicious pair was measured again often enough";
  }
  plan_apart(series);
  if (!series.apart) return "no link and no endpoint stood out";
  if (!series.apart->search.next()) return "it is known with which others the slowest part is slow";
  return {};
}

Pairing LinksSession::pairing_of(const Case& which) {
  const std::string& stage = which.parameters.text("stage");
  const auto number = static_cast<std::uint64_t>(which.parameters.integer("number"));
  const int n = endpoints_.size();
  if (stage == "round") {
    const std::vector<Pairing> rounds = planned_rounds(n, seed_);
    return rounds.at(number % rounds.size());
  }
  Series& series = series_of(which);
  if (stage == "again") {
    const auto wanted = stats::pairs_to_repeat(verdict_of(series), series.times);
    return round_with(n, wanted, seed_ + 1 + number);
  }
  plan_apart(series);
  if (!series.apart) throw Error(ExitCode::internal, "links", 0, "", which.name + " has nothing to drive apart");
  std::vector<Ends> wanted{series.apart->target};
  if (series.apart->control) wanted.push_back(*series.apart->control);
  for (const int other : series.apart->search.next().value_or(CandidateSet{})) {
    wanted.push_back(series.apart->others[at(other)]);
  }
  return only(n, wanted);
}

std::vector<int> LinksSession::partners(const Case& which, int ranks) {
  const Pairing pairing = pairing_of(which);
  std::vector<int> partner(at(ranks), -1);
  for (std::size_t i = 0; i < pairing.size(); ++i) {
    if (pairing[i] >= 0) partner[at(endpoints_.rank[i])] = endpoints_.rank[at(pairing[i])];
  }
  return partner;
}

const Buffers& LinksSession::buffers(std::uint64_t message, const Context& context) {
  Device& device = context.device;
  if (!limits_) limits_ = agree_on_buffer_limits(context);
  if (buffers_.message == message) return buffers_;
  buffers_ = Buffers{};
  Buffers made;
  made.message = message;
  made.stride = std::max((message + line - 1) / line * line, least_stride);
  const std::uint64_t most = std::min(most_buffer_bytes, limits_->memory / 8);
  // Between two uses of a slot, twice the last-level cache passes, inputs and outputs together.
  const std::uint64_t wanted = context.options.cold_buffers ? limits_->cache / made.stride + 1 : 1;
  made.slots = std::max<std::uint64_t>(context.options.cold_buffers ? 2 : 1, std::min(wanted, most / made.stride));
  made.input = device.allocate(made.slots * made.stride + shift_range);
  made.output = device.allocate(made.slots * made.stride);
  const std::vector<std::byte> text = text_of(context.collective.rank(), context.options.seed);
  const std::vector<std::byte> nothing(period, std::byte{0xff});
  for (std::uint64_t begin = 0; begin < made.input->bytes(); begin += period) {
    device.copy_to_device(made.input->as<std::byte>() + begin, text.data(),
                          std::min(period, made.input->bytes() - begin));
  }
  for (std::uint64_t begin = 0; begin < made.output->bytes(); begin += period) {
    device.copy_to_device(made.output->as<std::byte>() + begin, nothing.data(),
                          std::min(period, made.output->bytes() - begin));
  }
  device.synchronize();
  buffers_ = std::move(made);
  return buffers_;
}

}  // namespace rackproof::links
