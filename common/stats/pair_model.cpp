#include "common/stats/pair_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/chi_squared.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <limits>
#include <map>
#include <utility>

#include "common/core/error.hpp"
#include "common/stats/multiple_testing.hpp"
#include "common/stats/order_statistics.hpp"

namespace rackproof::stats {
namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
/// MAD to standard deviation, for normals.
constexpr double mad_scale = 1.4826;
/// Standard error of a median of normals, times sqrt(n).
constexpr double median_error = 1.2533;
/// Efficiency: degrees of freedom a value.
constexpr double mad_efficiency = 0.367;
constexpr double qn_efficiency = 0.82;
/// Suspicion costs a measurement, no accusation: where the noise is hardly known, it may be quick.
constexpr double least_suspicion_freedom = 2.0;
/// Medians of times are not known better than this, whatever a quiet or a simulated network says.
constexpr double least_noise = 0.005;
/// Degrees of freedom of what disturbs a measurement now and then, at most.
constexpr double disturbed_freedom = 2.0;
constexpr double slow_share = 2.0 / 3.0;
constexpr int most_sweeps = 100;
constexpr double still = 1e-6;

std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// P(T > z) of Student's t; 1 for a z that is no number.
double upper_tail(double z, double freedom) {
  if (std::isnan(z)) return 1.0;
  const boost::math::students_t_distribution<double> t(std::max(freedom, 0.5));
  return boost::math::cdf(boost::math::complement(t, z));
}

/// The z whose upper_tail() is p.
double tail_quantile(double p, double freedom) {
  const boost::math::students_t_distribution<double> t(std::max(freedom, 0.5));
  return boost::math::quantile(boost::math::complement(t, p));
}

/// The scale of n values, about that of a normal: 2.2219 d_n times the k-th smallest of their n (n - 1) / 2 distances,
/// k = h (h - 1) / 2, h = n / 2 + 1, d_n for small n (Rousseeuw and Croux, 1993). Takes memory for all distances.
double qn_scale(std::span<const double> values) {
  const std::size_t n = values.size();
  if (n < 2) return 0.0;
  std::vector<double> distances;
  distances.reserve(n * (n - 1) / 2);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < i; ++j) distances.push_back(std::abs(values[i] - values[j]));
  }
  const std::size_t h = n / 2 + 1;
  const auto place = distances.begin() + static_cast<std::ptrdiff_t>(h * (h - 1) / 2 - 1);
  std::nth_element(distances.begin(), place, distances.end());
  const auto size = static_cast<double>(n);
  return 2.2219 * *place * size / (size + (n % 2 == 1 ? 1.4 : 3.8));
}

/// -2 sum ln p is chi-squared with 2 k degrees of freedom (Fisher, Statistical Methods for Research Workers, 1932).
double joined(std::span<const double> p_values) {
  double sum = 0.0;
  for (const double p : p_values) sum -= 2.0 * std::log(std::max(p, 1e-300));
  const boost::math::chi_squared_distribution<double> chi(2.0 * static_cast<double>(p_values.size()));
  return boost::math::cdf(boost::math::complement(chi, sum));
}

struct Observation {
  std::size_t input;  ///< its position there
  int a;
  int b;
  int kind;  ///< of the pair: 0 between nodes, 1 inside one
  double log_time;
  double residual = 0.0;
};

/// What is fitted.
struct Fit {
  std::vector<double> base{0.0, 0.0};  ///< by kind
  std::vector<double> effect;          ///< by endpoint; NaN: not measured
  double noise = 0.0;
  double freedom = 0.0;  ///< of the noise

  [[nodiscard]] double expected(const Observation& one) const {
    return base[at(one.kind)] + effect[at(one.a)] + effect[at(one.b)];
  }
};

double median_of_residuals(const std::vector<Observation>& all, const std::vector<std::size_t>& which) {
  std::vector<double> values;
  values.reserve(which.size());
  for (const std::size_t i : which) values.push_back(all[i].residual);
  return median(values);
}

/// Median polish over the planned measurements.
class Sweeps {
 public:
  Sweeps(std::vector<Observation>& observations, int endpoints) : all_(observations), of_endpoint_(at(endpoints)) {
    for (std::size_t i = 0; i < all_.size(); ++i) {
      of_kind_[at(all_[i].kind)].push_back(i);
      of_endpoint_[at(all_[i].a)].push_back(i);
      of_endpoint_[at(all_[i].b)].push_back(i);
      all_[i].residual = all_[i].log_time;
    }
    fit_.effect.assign(at(endpoints), not_a_number);
    for (std::size_t e = 0; e < of_endpoint_.size(); ++e) {
      if (!of_endpoint_[e].empty()) fit_.effect[e] = 0.0;
    }
  }

  Fit run() {
    for (int sweep = 0; sweep < most_sweeps; ++sweep) {
      double moved = 0.0;
      for (std::size_t kind = 0; kind < of_kind_.size(); ++kind) moved = std::max(moved, sweep_kind(kind));
      for (std::size_t e = 0; e < of_endpoint_.size(); ++e) moved = std::max(moved, sweep_endpoint(e));
      if (moved < still) break;
    }
    centre();
    scale();
    return fit_;
  }

  [[nodiscard]] std::size_t measured() const {
    return static_cast<std::size_t>(
        std::count_if(of_endpoint_.begin(), of_endpoint_.end(), [](const auto& own) { return !own.empty(); }));
  }
  [[nodiscard]] const std::vector<std::size_t>& of_endpoint(std::size_t e) const { return of_endpoint_[e]; }

 private:
  double sweep(const std::vector<std::size_t>& which, double& into) {
    if (which.empty()) return 0.0;
    const double shift = median_of_residuals(all_, which);
    for (const std::size_t i : which) all_[i].residual -= shift;
    into += shift;
    return std::abs(shift);
  }
  double sweep_kind(std::size_t kind) { return sweep(of_kind_[kind], fit_.base[kind]); }
  double sweep_endpoint(std::size_t e) { return sweep(of_endpoint_[e], fit_.effect[e]); }

  /// The median of the effects becomes 0; what all have in common belongs to the base.
  void centre() {
    const double middle = median(fit_.effect);
    for (double& effect : fit_.effect) effect -= middle;
    for (double& base : fit_.base) base += 2.0 * middle;
  }

  /// Of as many residuals as there are fitted numbers, a fit by medians makes 0: those say nothing about the noise.
  void scale() {
    std::vector<double> sizes;
    for (const Observation& one : all_) sizes.push_back(std::abs(one.residual));
    std::sort(sizes.begin(), sizes.end());
    const std::size_t fitted = std::min(
        sizes.size() - 1, measured() + (of_kind_[0].empty() || of_kind_[1].empty() ? std::size_t{0} : std::size_t{1}));
    const std::size_t free = sizes.size() - fitted;
    fit_.noise = mad_scale * sizes[fitted + (free - 1) / 2];
    fit_.freedom = mad_efficiency * static_cast<double>(free);
  }

  std::vector<Observation>& all_;
  std::vector<std::vector<std::size_t>> of_kind_{2};
  std::vector<std::vector<std::size_t>> of_endpoint_;
  Fit fit_;
};

/// The measurements of one unordered pair.
struct Link {
  int a;
  int b;
  std::vector<std::size_t> planned;  ///< positions among the planned observations
  std::vector<std::size_t> again;    ///< ... and among those made again
};

class Judge {
 public:
  Judge(std::span<const PairTime> pairs, int endpoints, const PairOptions& options)
      : input_(pairs), endpoints_(endpoints), options_(options) {
    check();
    for (std::size_t i = 0; i < pairs.size(); ++i) add(i);
  }

  PairVerdict run() {
    verdict_.expected.assign(input_.size(), not_a_number);
    verdict_.effect.assign(at(endpoints_), not_a_number);
    if (planned_.empty()) {
      verdict_.reason = "no pair was measured";
      return std::move(verdict_);
    }
    Sweeps sweeps(planned_, endpoints_);
    fit_ = sweeps.run();
    fit_.noise = std::max({fit_.noise, typical_spread(), least_noise});
    publish_fit();
    if (sweeps.measured() < at(fewest_endpoints) || planned_.size() <= sweeps.measured()) {
      const bool few_pairs = sweeps.measured() >= at(fewest_endpoints);
      verdict_.reason =
          few_pairs ? fmt::format("too few pairs to tell a slow link from a slow endpoint: {} of {} endpoints",
                                  planned_.size(), sweeps.measured())
                    : fmt::format("too few endpoints to tell a slow link from a slow endpoint: {}, and it takes {}",
                                  sweeps.measured(), fewest_endpoints);
      return std::move(verdict_);
    }
    verdict_.decided = true;
    judge_endpoints(sweeps);
    judge_links();
    if (!options_.node_of.empty()) {
      join_endpoints();
      join_links();
    }
    for (auto* const list : {&verdict_.blamed, &verdict_.suspects, &verdict_.cleared}) {
      std::stable_sort(list->begin(), list->end(),
                       [](const SlowPart& one, const SlowPart& other) { return one.slowdown > other.slowdown; });
    }
    return std::move(verdict_);
  }

 private:
  void check() const {
    if (!options_.node_of.empty() && options_.node_of.size() != at(endpoints_)) {
      throw Error(ExitCode::internal, "pairs", 0, "", "node_of has another length than there are endpoints");
    }
    for (const PairTime& pair : input_) {
      if (pair.a < 0 || pair.b < 0 || pair.a >= endpoints_ || pair.b >= endpoints_ || pair.a == pair.b) {
        throw Error(ExitCode::internal, "pairs", 0, "",
                    fmt::format("no pair {}, {} of {} endpoints", pair.a, pair.b, endpoints_));
      }
    }
  }

  [[nodiscard]] int node_of(int endpoint) const { return options_.node_of[at(endpoint)]; }

  void add(std::size_t i) {
    const PairTime& pair = input_[i];
    if (!std::isfinite(pair.seconds) || !(pair.seconds > 0.0)) return;
    const int kind = !options_.node_of.empty() && node_of(pair.a) == node_of(pair.b) ? 1 : 0;
    auto& list = pair.again ? again_ : planned_;
    const auto [low, high] = std::minmax(pair.a, pair.b);
    Link& link = links_.try_emplace({low, high}, Link{low, high, {}, {}}).first->second;
    (pair.again ? link.again : link.planned).push_back(list.size());
    list.push_back({i, pair.a, pair.b, kind, std::log(pair.seconds)});
  }

  [[nodiscard]] double typical_spread() const {
    std::vector<double> spreads;
    for (const Observation& one : planned_) spreads.push_back(input_[one.input].spread);
    const double typical = median(spreads);
    return std::isfinite(typical) ? typical : 0.0;
  }

  void publish_fit() {
    for (Observation& one : again_) one.residual = one.log_time - fit_.expected(one);
    for (const auto* const list : {&planned_, &again_}) {
      for (const Observation& one : *list) verdict_.expected[one.input] = std::exp(fit_.expected(one));
    }
    for (std::size_t e = 0; e < fit_.effect.size(); ++e) verdict_.effect[e] = std::expm1(fit_.effect[e]);
    verdict_.noise = fit_.noise;
  }

  void sort_evidence(SlowPart& part) const {
    std::sort(part.evidence.begin(), part.evidence.end(), [&](int one, int other) {
      const auto ratio = [&](int i) { return input_[at(i)].seconds / verdict_.expected[at(i)]; };
      return ratio(one) > ratio(other);
    });
  }

  // ---- endpoints ----

  /// Of the largest machines, of the first 4096 endpoints.
  [[nodiscard]] double scale_of_effects() const {
    std::vector<double> effects;
    std::copy_if(fit_.effect.begin(), fit_.effect.end(), std::back_inserter(effects),
                 [&](double effect) { return !std::isnan(effect) && effects.size() < 4096; });
    return qn_scale(effects);
  }

  void judge_endpoints(const Sweeps& sweeps) {
    const double between = scale_of_effects();
    const double effects_freedom = qn_efficiency * static_cast<double>(sweeps.measured() - 1);
    std::vector<double> p_values;
    std::vector<int> numbers;
    double least = 0.0;
    const double rate = options_.false_discovery_rate / static_cast<double>(sweeps.measured());
    for (int e = 0; e < endpoints_; ++e) {
      const double partners = static_cast<double>(sweeps.of_endpoint(at(e)).size());
      if (partners == 0.0) continue;
      const double within = median_error * fit_.noise / std::sqrt(partners);
      const double freedom = between > within ? effects_freedom : fit_.freedom;
      p_values.push_back(upper_tail(fit_.effect[at(e)] / std::max(between, within), freedom));
      numbers.push_back(e);
      least = std::max(least, std::max(between, within) * tail_quantile(rate, freedom));
    }
    verdict_.least_endpoint = std::max(options_.endpoint_floor, std::expm1(least));
    const std::vector<double> adjusted = benjamini_hochberg(p_values);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const double effect = fit_.effect[at(numbers[i])];
      if (adjusted[i] > options_.false_discovery_rate || effect <= std::log1p(options_.endpoint_floor)) continue;
      SlowPart part;
      part.kind = SlowPart::Kind::endpoint;
      part.a = numbers[i];
      part.slowdown = std::expm1(effect);
      part.confidence = 1.0 - adjusted[i];
      for (const std::size_t index : sweeps.of_endpoint(at(part.a))) {
        const Observation& one = planned_[index];
        ++part.pairs;
        // Beside what its partner adds.
        if (one.residual + effect <= 0.5 * effect) continue;
        ++part.slow_pairs;
        part.evidence.push_back(static_cast<int>(one.input));
      }
      if (part.slow_pairs < slow_share * part.pairs) continue;
      sort_evidence(part);
      verdict_.blamed.push_back(std::move(part));
    }
  }

  // ---- links ----

  void judge_links() {
    std::vector<const Link*> measured;
    std::vector<double> residuals;
    std::vector<double> p_values;
    for (const auto& [ends, link] : links_) {
      if (link.planned.empty()) continue;
      measured.push_back(&link);
      residuals.push_back(median_of_residuals(planned_, link.planned));
      p_values.push_back(upper_tail(residuals.back() / fit_.noise, std::max(fit_.freedom, least_suspicion_freedom)));
    }
    const std::vector<double> adjusted = benjamini_hochberg(p_values);
    if (!measured.empty()) {
      const double rate = options_.suspicion_rate / static_cast<double>(measured.size());
      const double z = tail_quantile(rate, std::max(fit_.freedom, least_suspicion_freedom));
      verdict_.least_link = std::max(options_.link_floor, std::expm1(fit_.noise * z));
    }
    std::vector<const Link*> chosen;
    for (std::size_t i = 0; i < measured.size(); ++i) {
      if (adjusted[i] > options_.suspicion_rate || residuals[i] <= std::log1p(options_.link_floor)) continue;
      if (measured[i]->again.size() < static_cast<std::size_t>(repetitions_needed)) {
        verdict_.suspects.push_back(part_of(*measured[i], residuals[i], 1.0 - adjusted[i]));
      } else {
        chosen.push_back(measured[i]);
      }
    }
    judge_repeated(chosen);
  }

  void judge_repeated(const std::vector<const Link*>& chosen) {
    std::vector<double> p_values;
    for (const Link* const link : chosen) p_values.push_back(p_of_repetitions(*link));
    const std::vector<double> adjusted = benjamini_hochberg(p_values);
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      const double residual = median_of_residuals(again_, chosen[i]->again);
      SlowPart part = part_of(*chosen[i], residual, 1.0 - adjusted[i]);
      if (residual <= std::log1p(options_.link_floor)) {
        verdict_.cleared.push_back(std::move(part));
      } else if (adjusted[i] <= options_.false_discovery_rate) {
        verdict_.blamed.push_back(std::move(part));
      } else {
        verdict_.suspects.push_back(std::move(part));
      }
    }
  }

  [[nodiscard]] double p_of_repetitions(const Link& link) const {
    std::vector<double> p_values;
    for (const std::size_t i : link.again) {
      const double residual = again_[i].residual;
      p_values.push_back(std::max(upper_tail(residual / fit_.noise, std::min(fit_.freedom, disturbed_freedom)),
                                  share_as_slow(link, residual)));
    }
    return joined(p_values);
  }

  /// Of the planned measurements of other pairs.
  [[nodiscard]] double share_as_slow(const Link& link, double residual) const {
    const auto own = [&](const Observation& one) { return std::minmax(one.a, one.b) == std::minmax(link.a, link.b); };
    const auto count = std::count_if(planned_.begin(), planned_.end(),
                                     [&](const Observation& one) { return one.residual >= residual && !own(one); });
    return static_cast<double>(count) / static_cast<double>(planned_.size());
  }

  [[nodiscard]] SlowPart part_of(const Link& link, double residual, double confidence) const {
    SlowPart part;
    part.kind = SlowPart::Kind::link;
    part.a = link.a;
    part.b = link.b;
    part.slowdown = std::expm1(residual);
    part.confidence = confidence;
    const auto count = [&](const Observation& one) {
      ++part.pairs;
      if (one.residual > std::log1p(options_.link_floor)) ++part.slow_pairs;
      part.evidence.push_back(static_cast<int>(one.input));
    };
    for (const std::size_t i : link.planned) count(planned_[i]);
    for (const std::size_t i : link.again) count(again_[i]);
    sort_evidence(part);
    return part;
  }

  // ---- nodes of several endpoints ----

  static void merge(SlowPart& into, std::vector<double>& slowdowns, const SlowPart& part) {
    slowdowns.push_back(part.slowdown);
    into.confidence = std::max(into.confidence, part.confidence);
    into.pairs += part.pairs;
    into.slow_pairs += part.slow_pairs;
    into.evidence.insert(into.evidence.end(), part.evidence.begin(), part.evidence.end());
  }

  /// Replaces those parts of `blamed` for which key() is one of `whole` by one part each. Key: numbers of nodes.
  template <typename Key>
  void replace(const std::map<std::pair<int, int>, SlowPart::Kind>& whole, Key key) {
    for (const auto& [nodes, kind] : whole) {
      SlowPart joint;
      joint.kind = kind;
      joint.a = nodes.first;
      joint.b = nodes.second;
      std::vector<double> slowdowns;
      std::erase_if(verdict_.blamed, [&, &wanted = nodes](const SlowPart& part) {
        if (key(part) != wanted) return false;
        merge(joint, slowdowns, part);
        return true;
      });
      joint.slowdown = median(slowdowns);
      sort_evidence(joint);
      verdict_.blamed.push_back(std::move(joint));
    }
  }

  /// A node all of whose endpoints are slow is slow itself.
  void join_endpoints() {
    const auto key = [this](const SlowPart& part) {
      return part.kind == SlowPart::Kind::endpoint ? std::pair{node_of(part.a), -1} : std::pair{-1, -1};
    };
    std::map<int, int> endpoints;
    for (int e = 0; e < endpoints_; ++e) endpoints[node_of(e)] += std::isnan(fit_.effect[at(e)]) ? 0 : 1;
    std::map<std::pair<int, int>, int> blamed;
    for (const SlowPart& part : verdict_.blamed) ++blamed[key(part)];
    std::map<std::pair<int, int>, SlowPart::Kind> whole;
    for (const auto& [nodes, count] : blamed) {
      if (nodes.first >= 0 && count >= 2 && count == endpoints[nodes.first]) whole[nodes] = SlowPart::Kind::node;
    }
    replace(whole, key);
  }

  /// Two nodes at least half of whose pairs are slow have a slow link.
  void join_links() {
    const auto nodes_of = [this](int a, int b) {
      return std::pair{std::min(node_of(a), node_of(b)), std::max(node_of(a), node_of(b))};
    };
    const auto key = [&](const SlowPart& part) {
      return part.kind == SlowPart::Kind::link ? nodes_of(part.a, part.b) : std::pair{-1, -1};
    };
    std::map<std::pair<int, int>, int> pairs;
    for (const auto& [ends, link] : links_) ++pairs[nodes_of(link.a, link.b)];
    std::map<std::pair<int, int>, int> blamed;
    for (const SlowPart& part : verdict_.blamed) ++blamed[key(part)];
    std::map<std::pair<int, int>, SlowPart::Kind> whole;
    for (const auto& [nodes, count] : blamed) {
      if (nodes.first >= 0 && nodes.first != nodes.second && count >= 2 && 2 * count >= pairs[nodes]) {
        whole[nodes] = SlowPart::Kind::link_of_nodes;
      }
    }
    replace(whole, key);
  }

  std::span<const PairTime> input_;
  int endpoints_;
  const PairOptions& options_;
  std::vector<Observation> planned_;
  std::vector<Observation> again_;
  std::map<std::pair<int, int>, Link> links_;
  Fit fit_;
  PairVerdict verdict_;
};

}  // namespace

std::vector<std::pair<int, int>> pairs_to_repeat(const PairVerdict& verdict, std::span<const PairTime> pairs) {
  struct Candidate {
    std::ptrdiff_t repetitions;
    std::pair<int, int> ends;
  };
  std::vector<Candidate> candidates;
  for (const SlowPart& part : verdict.suspects) {
    const auto repetitions = std::count_if(part.evidence.begin(), part.evidence.end(),
                                           [&](int i) { return pairs[static_cast<std::size_t>(i)].again; });
    if (repetitions < repetitions_needed) candidates.push_back({repetitions, {part.a, part.b}});
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& one, const Candidate& other) { return one.repetitions > other.repetitions; });
  std::vector<std::pair<int, int>> ends;
  for (const Candidate& candidate : candidates) ends.push_back(candidate.ends);
  return ends;
}

double log_excess(const PairVerdict& verdict, std::span<const PairTime> pairs, const PairOptions& options, int a, int b,
                  double seconds) {
  const auto planned = std::find_if(pairs.begin(), pairs.end(), [a, b](const PairTime& time) {
    return !time.again && std::minmax(time.a, time.b) == std::minmax(a, b);
  });
  if (planned == pairs.end()) return not_a_number;
  double expected = verdict.expected[static_cast<std::size_t>(planned - pairs.begin())];
  for (const int endpoint : {a, b}) {
    const bool blamed = std::any_of(verdict.blamed.begin(), verdict.blamed.end(), [&](const SlowPart& part) {
      return (part.kind == SlowPart::Kind::endpoint && part.a == endpoint) ||
             (part.kind == SlowPart::Kind::node && part.a == options.node_of[at(endpoint)]);
    });
    if (blamed) expected /= 1.0 + verdict.effect[at(endpoint)];
  }
  return std::log(seconds / expected);
}

PairVerdict judge_pairs(std::span<const PairTime> pairs, int endpoints, const PairOptions& options) {
  return Judge(pairs, endpoints, options).run();
}

}  // namespace rackproof::stats
