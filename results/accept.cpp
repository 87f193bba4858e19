#include "results/accept.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <utility>

#include "common/core/error.hpp"
#include "common/core/units.hpp"
#include "common/stats/digest_vote.hpp"
#include "common/stats/limit_test.hpp"
#include "common/stats/order_statistics.hpp"
#include "common/stats/pooled_limit_test.hpp"
#include "common/stats/sequential.hpp"
#include "results/accept_parts.hpp"
#include "results/case_summary.hpp"
#include "results/known_runs.hpp"
#include "results/links.hpp"
#include "results/odd_nodes.hpp"
#include "results/part_file.hpp"
#include "results/telemetry_report.hpp"

namespace rackproof::results {
namespace {

using stats::LimitJudgement;
using stats::LimitTest;
using stats::PooledLimitTest;
using stats::SequentialTest;
using Side = LimitJudgement::Side;

/// Two thirds of a node's devices, and at least two of them: then it is the node.
constexpr double share_of_a_node = 2.0 / 3.0;
constexpr std::size_t fewest_of_a_node = 2;
/// Of pairs inside of nodes, and of pairs between them: from here on each kind has its own spread.
constexpr std::ptrdiff_t fewest_pairs_apart = 50;

Evidence evidence_for(Evidence::Kind kind, Verdict verdict, std::size_t attempt, std::string case_name,
                      std::string text) {
  Evidence evidence;
  evidence.kind = kind;
  evidence.verdict = verdict;
  evidence.attempt = attempt;
  evidence.case_name = std::move(case_name);
  evidence.text = std::move(text);
  return evidence;
}

/// The rank that a message names: "rank 12 on node-3 (...): ...", "... [host node-3, rank 12]".
std::optional<int> named_rank(const std::string& message, const char* before, std::size_t ranks) {
  const std::size_t at = message.find(before);
  if (at == std::string::npos) return std::nullopt;
  std::size_t number = 0;
  std::size_t digits = 0;
  for (std::size_t i = at + std::string_view(before).size(); i < message.size() && digits < 7; ++i, ++digits) {
    if (message[i] < '0' || message[i] > '9') break;
    number = 10 * number + static_cast<std::size_t>(message[i] - '0');
  }
  if (digits == 0 || number >= ranks) return std::nullopt;
  return static_cast<int>(number);
}

// ---- limits ----

/// Calls visit(rank, times, partner) for every rank that has samples of a case.
template <typename Visit>
void for_each_rank(const ResultFile& file, std::size_t suite, std::size_t which, Visit&& visit) {
  const auto ranks = static_cast<int>(file.header().ranks.size());
  const int step = file.ranks_per_block();
  for (int first = 0; first < ranks; first += step) {
    const RankBlock block = file.block(suite, which, first, std::min(step, ranks - first));
    for (std::size_t row = 0; row < block.samples.size(); ++row) {
      const auto count = static_cast<std::size_t>(block.samples[row]);
      if (count == 0) continue;
      const auto times = std::span(block.time).subspan(row * static_cast<std::size_t>(block.columns), count);
      visit(first + static_cast<int>(row), times, block.partner.empty() ? -1 : block.partner[row]);
    }
  }
}

/// A judgement of a limit, and whether the run's sequential test made it, or stats::PooledLimitTest.
struct Judged {
  LimitJudgement judgement;
  bool early = false;
  bool pooled = false;  ///< with the spread of all parts
};

/// What is gathered for LimitReport.
struct Gathered {
  std::vector<double> times;     ///< medians, s
  std::vector<double> relative;  ///< median / limit, or its inverse: above 1 is beyond
  std::vector<double> samples;
  std::vector<double> detectable;
  std::vector<double> headroom;
  double false_alarm = 0.0;
  std::vector<double> figures;
};

/// One attempt against the limits.
class LimitJudge {
 public:
  LimitJudge(const ResultFile& file, std::size_t attempt, const LimitSet& set, PartBook& book,
             std::vector<LimitReport>& reports, std::vector<Gathered>& gathered)
      : file_(file),
        attempt_(attempt),
        set_(set),
        book_(book),
        reports_(reports),
        gathered_(gathered),
        plan_(sequential_plan_of(file.header())),
        measured_peaks_(has_measured_peaks(file.header())) {}

  void run() {
    const auto matched = match_limits(set_, file_.header(), quoted(file_.path()));
    for (std::size_t l = 0; l < matched.size(); ++l) {
      if (attempt_ == 0) reports_[l].cases = matched[l].size();
      if (set_.limits[l].scope == Limit::Scope::link) {
        judge_links(l, matched[l]);
      } else {
        for (const LimitedCase& one : matched[l]) judge_case(l, one);
      }
    }
  }

 private:
  [[nodiscard]] const CaseHeader& header_of(const LimitedCase& one) const {
    return file_.header().suites[one.suite].cases[one.which];
  }

  /// False where the case says nothing of its limit, which then is open.
  bool is_usable(std::size_t l, const LimitedCase& one) {
    const CaseOutcome& outcome = file_.outcome(one.suite, one.which);
    const Status status = outcome.status;
    if (status == Status::passed || status == Status::failed || status == Status::mistrusted) return true;
    std::string text = fmt::format("{}: limit '{}' was not judged", to_string(status), set_.limits[l].name);
    if (!outcome.message.empty()) text += ": " + outcome.message;
    note_open(l, PartBook::rack, header_of(one).name, std::move(text), Evidence::Kind::not_measured);
    return false;
  }

  void note_open(std::size_t l, std::size_t part, const std::string& case_name, std::string text, Evidence::Kind kind) {
    ++reports_[l].judged;
    ++reports_[l].open;
    book_.add(part, evidence_for(kind, Verdict::inconclusive, attempt_, case_name, std::move(text)));
  }

  Judged judge(LimitTest& test, std::span<const double> times, const TimeLimit& limit, bool stopped_early,
               double effective = 0.0) const {
    Judged judged{test.judge(times, limit.seconds, limit.longer, effective), false};
    if (!stopped_early || !plan_) return judged;
    SequentialTest sequential(limit.seconds, limit.longer, *plan_);
    for (const double time : times) sequential.add(time);
    // With another limit than the run's it may be open: then the samples are judged as any others.
    if (sequential.side() == SequentialTest::Side::open) return judged;
    judged.early = true;
    judged.judgement.side = sequential.side() == SequentialTest::Side::within ? Side::within : Side::beyond;
    judged.judgement.false_alarm = plan_->producers_risk;
    const double share = limit.longer ? 1.0 - plan_->bad_share : plan_->bad_share;
    const double at_share = stats::quantile(times, share);
    judged.judgement.detectable =
        limit.longer ? judged.judgement.median / at_share - 1.0 : at_share / judged.judgement.median - 1.0;
    return judged;
  }

  void judge_case(std::size_t l, const LimitedCase& one) {
    if (!is_usable(l, one)) return;
    const Limit& limit = set_.limits[l];
    const bool early = file_.outcome(one.suite, one.which).stop_reason == StopReason::certain;
    const CaseHeader& which = header_of(one);
    if (which.collective && limit.scope == Limit::Scope::rack) {
      LimitTest test(1);
      const std::vector<double> times = file_.figure_time(one.suite, one.which);
      if (times.empty()) {
        note_open(l, PartBook::rack, which.name, "there are no samples", Evidence::Kind::not_measured);
        return;
      }
      take(l, one, PartBook::rack, judge(test, times, one.time, early), test);
      return;
    }
    if (which.collective) {
      judge_groups(l, one, early);
      return;
    }
    judge_alone(l, one, early);
  }

  /// Ranks that each do it alone: as devices, or what is typical of a node or of all.
  void judge_alone(std::size_t l, const LimitedCase& one, bool early) {
    const Limit::Scope scope = set_.limits[l].scope;
    const std::size_t ranks = file_.header().ranks.size();
    LimitTest test(static_cast<int>(ranks));
    std::map<std::size_t, std::vector<Judged>> of_part;
    std::set<std::size_t> missing;
    for (std::size_t r = 0; r < ranks; ++r) missing.insert(part_of(scope, static_cast<int>(r)));
    std::vector<std::optional<Judged>> of_rank(ranks);
    file_.for_each_times(one.suite, one.which, [&](const RankTimes& times) {  // in several threads
      for (std::size_t row = 0; row < times.samples.size(); ++row) {
        if (times.samples[row] == 0) continue;
        of_rank[static_cast<std::size_t>(times.first_rank) + row] = judge(test, times.of(row), one.time, early);
      }
    });
    for (std::size_t r = 0; r < ranks; ++r) {
      if (!of_rank[r]) continue;
      const std::size_t part = part_of(scope, static_cast<int>(r));
      missing.erase(part);
      if (scope == Limit::Scope::device) {
        take(l, one, part, *of_rank[r], test);
      } else {
        of_part[part].push_back(*of_rank[r]);
      }
    }
    for (const auto& [part, all] : of_part) take(l, one, part, typical_of(all, one.time), test);
    for (const std::size_t part : missing) {
      note_open(l, part, header_of(one).name, "there are no samples of it", Evidence::Kind::not_measured);
    }
  }

  [[nodiscard]] int node_of(int rank) const { return file_.header().ranks[static_cast<std::size_t>(rank)].node_index; }

  [[nodiscard]] std::size_t part_of(Limit::Scope scope, int rank) const {
    if (scope == Limit::Scope::rack) return PartBook::rack;
    if (scope == Limit::Scope::device) return book_.device(attempt_, rank);
    return book_.node(attempt_, node_of(rank));
  }

  /// The median over ranks of what each says; the side that most of them are on.
  static Judged typical_of(const std::vector<Judged>& all, const TimeLimit& limit) {
    const auto middle = [&](double LimitJudgement::*member) {
      std::vector<double> values;
      for (const Judged& one : all) values.push_back(one.judgement.*member);
      return stats::median(values);
    };
    Judged typical;
    LimitJudgement& judgement = typical.judgement;
    judgement.median = middle(&LimitJudgement::median);
    judgement.low = middle(&LimitJudgement::low);
    judgement.high = middle(&LimitJudgement::high);
    judgement.effective = middle(&LimitJudgement::effective);
    judgement.false_alarm = middle(&LimitJudgement::false_alarm);
    judgement.detectable = middle(&LimitJudgement::detectable);
    const auto count = [&](Side side) {
      return std::count_if(all.begin(), all.end(), [&](const Judged& one) { return one.judgement.side == side; });
    };
    const auto half = static_cast<std::ptrdiff_t>(all.size() / 2);
    if (count(Side::within) > half) judgement.side = Side::within;
    if (count(Side::beyond) > half) judgement.side = Side::beyond;
    typical.early = std::all_of(all.begin(), all.end(), [](const Judged& one) { return one.early; });
    (void)limit;
    return typical;
  }

  /// A collective in groups of a node: the slowest rank of each sample.
  void judge_groups(std::size_t l, const LimitedCase& one, bool early) {
    std::map<std::size_t, std::vector<double>> slowest;
    for_each_rank(file_, one.suite, one.which, [&](int rank, std::span<const double> times, int /*partner*/) {
      std::vector<double>& node = slowest[part_of(Limit::Scope::node, rank)];
      node.resize(std::max(node.size(), times.size()), 0.0);
      for (std::size_t i = 0; i < times.size(); ++i) node[i] = std::max(node[i], times[i]);
    });
    LimitTest test(static_cast<int>(std::max<std::size_t>(slowest.size(), 1)));
    for (const auto& [part, times] : slowest) take(l, one, part, judge(test, times, one.time, early), test);
  }

  /// All meetings of a pair, of one size and direction, are one sample: of the slower of its two ranks in each.
  void judge_links(std::size_t l, const std::vector<LimitedCase>& cases) {
    struct Pair {
      std::vector<std::vector<double>> meetings;
      double effective = 0.0;  // meetings are apart: their levels may differ without their samples being alike
      bool early = true;
    };
    struct Series {
      const LimitedCase* first = nullptr;
      std::map<std::pair<int, int>, Pair> pairs;
    };
    std::map<std::pair<std::int64_t, std::string>, Series> all;
    bool any = false;
    for (const LimitedCase& one : cases) {
      const Status status = file_.outcome(one.suite, one.which).status;
      if (status != Status::passed && status != Status::failed && status != Status::mistrusted) continue;
      any = true;
      const CaseHeader& which = header_of(one);
      Series& series = all[{which.message_size, which.parameters.text(schema::direction)}];
      if (series.first == nullptr) series.first = &one;
      const bool early = file_.outcome(one.suite, one.which).stop_reason == StopReason::certain;
      std::map<int, std::vector<double>> waiting;
      for_each_rank(file_, one.suite, one.which, [&](int rank, std::span<const double> times, int partner) {
        if (partner < 0) return;
        if (partner > rank) {
          waiting[rank].assign(times.begin(), times.end());
          return;
        }
        const std::vector<double>& other = waiting[partner];
        const bool own_is_slower = other.empty() || stats::median(times) >= stats::median(other);
        Pair& pair = series.pairs[{partner, rank}];
        const auto& slower = own_is_slower ? std::vector<double>(times.begin(), times.end()) : other;
        pair.effective += stats::effective_sample_size(slower);
        pair.meetings.push_back(slower);
        pair.early = pair.early && early;
      });
    }
    if (!any && !cases.empty()) {
      (void)is_usable(l, cases.front());
      return;
    }
    for (const auto& [key, series] : all) {
      const auto parts = static_cast<int>(series.pairs.size());
      LimitTest test(parts);
      // Inside of a node and between nodes, messages go other ways; few pairs cannot tell their spread alone.
      const auto is_inside = [&](const auto& pair) { return node_of(pair.first.first) == node_of(pair.first.second); };
      const auto inside = std::count_if(series.pairs.begin(), series.pairs.end(), is_inside);
      const bool apart = std::min<std::ptrdiff_t>(inside, parts - inside) >= fewest_pairs_apart;
      std::array<PooledLimitTest, 2> pools{PooledLimitTest(parts), PooledLimitTest(parts)};
      const auto pool_of = [&](const auto& pair) -> PooledLimitTest& {
        return pools.at(apart && is_inside(pair) ? 1 : 0);
      };
      const bool any_few = std::any_of(series.pairs.begin(), series.pairs.end(),
                                       [&](const auto& pair) { return !test.can_fail(pair.second.effective); });
      for (const auto& pair : series.pairs) {
        if (any_few) pool_of(pair).add(pair.second.meetings);
      }
      for (PooledLimitTest& pool : pools) pool.finish();
      for (const auto& one : series.pairs) {
        const auto& [ends, pair] = one;
        std::vector<double> times;
        for (const std::vector<double>& meeting : pair.meetings)
          times.insert(times.end(), meeting.begin(), meeting.end());
        const std::size_t part = book_.link(book_.device(attempt_, ends.first), book_.device(attempt_, ends.second));
        const TimeLimit& limit = series.first->time;
        Judged judged = judge(test, times, limit, pair.early, pair.effective);
        // Too few samples to be found beyond the limit by themselves, as a tournament takes them.
        if (!judged.early && judged.judgement.false_alarm == 0.0) {
          judged = {pool_of(one).judge(times, limit.seconds, limit.longer), false, true};
        }
        take(l, *series.first, part, judged, test);
      }
    }
  }

  void take(std::size_t l, const LimitedCase& one, std::size_t part, const Judged& judged, const LimitTest& test) {
    const LimitJudgement& judgement = judged.judgement;
    LimitReport& report = reports_[l];
    Gathered& gathered = gathered_[l];
    ++report.judged;
    if (judged.early) ++report.settled_early;
    const double relative = one.time.longer ? judgement.median / one.time.seconds : one.time.seconds / judgement.median;
    gathered.figures.push_back(one.figure.value(judgement.median));
    gathered.relative.push_back(relative);
    gathered.samples.push_back(judgement.effective);
    gathered.detectable.push_back(judgement.detectable);
    gathered.headroom.push_back(1.0 / relative - 1.0);
    gathered.false_alarm = std::max(gathered.false_alarm, test.family_false_alarm(judgement.false_alarm));

    const bool mistrusted = file_.outcome(one.suite, one.which).status == Status::mistrusted;
    const std::string record = above_peak(header_of(one), one.figure, judgement.median);
    if (judgement.side == Side::within && !mistrusted && record.empty()) {
      book_.mark_passed(part, attempt_);
      return;
    }
    Evidence evidence = evidence_for(Evidence::Kind::limit, Verdict::fail, attempt_, header_of(one).name, "");
    evidence.figure = one.figure.name;
    evidence.unit = one.figure.unit;
    evidence.measured = one.figure.value(judgement.median);
    evidence.expected = set_.limits[l].value;
    evidence.excess = relative - 1.0;
    evidence.text = words(l, one, judged);
    if (judgement.side == Side::beyond) {
      ++report.failed;
    } else {
      ++report.open;
      evidence.verdict = Verdict::inconclusive;
      evidence.text += mistrusted ? "; its result was not checked" : record.empty() ? why_open(judgement) : record;
    }
    book_.add(part, std::move(evidence));
  }

  /// "tflops 612 TFLOP/s, at least 657 wanted: 6.8 % short (95 %: 610 to 615; 45 samples; limit 'bf16')".
  [[nodiscard]] std::string words(std::size_t l, const LimitedCase& one, const Judged& judged) const {
    const LimitJudgement& judgement = judged.judgement;
    const Limit& limit = set_.limits[l];
    const double measured = one.figure.value(judgement.median);
    const double off = 100.0 * (measured / limit.value - 1.0);
    const bool least = limit.bound == Limit::Bound::least;
    double low = one.figure.value(judgement.low);
    double high = one.figure.value(judgement.high);
    if (low > high) std::swap(low, high);
    const std::string interval =
        std::isnan(low) ? "" : fmt::format("95 %: {} to {}, ", format_number(low), format_number(high));
    const auto samples = static_cast<long>(std::floor(judgement.effective));
    return fmt::format("{} {} {}, {} {} {} wanted: {:.1f} % {} ({}{} effective sample{}{}; limit '{}')",
                       one.figure.name, format_number(measured), one.figure.unit, least ? "at least" : "at most",
                       format_number(limit.value), one.figure.unit, std::abs(off), off < 0.0 ? "below" : "above",
                       interval, samples, samples == 1 ? "" : "s", judged.pooled ? " with the spread of all pairs" : "",
                       limit.name);
  }

  /// Of a figure that no device reaches, and that is therefore no evidence of a good one; empty otherwise. A peak that
  /// was measured may be too low, which says nothing against a figure that is no share of it.
  [[nodiscard]] std::string above_peak(const CaseHeader& which, const FigureHeader& judged, double seconds) const {
    for (const FigureHeader& figure : which.figures) {
      if (figure.unit != "%" || !(figure.value(seconds) > impossible_share)) continue;
      if (measured_peaks_ && figure.name != judged.name) continue;
      return fmt::format("; {} is {} %: more than the peak is an error, of the measurement or of the peak", figure.name,
                         format_number(figure.value(seconds)));
    }
    return {};
  }

  static std::string why_open(const LimitJudgement& judgement) {
    if (std::isnan(judgement.low)) return "; too few samples to tell";
    return "; too near to tell";
  }

  const ResultFile& file_;
  std::size_t attempt_;
  const LimitSet& set_;
  PartBook& book_;
  std::vector<LimitReport>& reports_;
  std::vector<Gathered>& gathered_;
  std::optional<stats::SequentialPlan> plan_;
  bool measured_peaks_;
};

void conclude_limits(const std::vector<Gathered>& gathered, std::vector<LimitReport>& reports) {
  for (std::size_t l = 0; l < reports.size(); ++l) {
    LimitReport& report = reports[l];
    const Gathered& all = gathered[l];
    report.verdict = report.failed > 0   ? Verdict::fail
                     : report.open > 0   ? Verdict::inconclusive
                     : report.judged > 0 ? Verdict::pass
                                         : Verdict::not_judged;
    report.typical = stats::median(all.figures);
    report.samples = stats::median(all.samples);
    report.headroom = stats::median(all.headroom);
    report.detectable = stats::median(all.detectable);
    report.false_alarm = all.false_alarm;
    const auto worst = std::max_element(all.relative.begin(), all.relative.end());
    const auto best = std::min_element(all.relative.begin(), all.relative.end());
    if (best != all.relative.end()) report.best = all.figures[static_cast<std::size_t>(best - all.relative.begin())];
    if (worst != all.relative.end()) report.worst = all.figures[static_cast<std::size_t>(worst - all.relative.begin())];
  }
}

/// What is better than the specification says may be an error of the measurement: a peak is not surpassed.
void note_records(const LimitSet& set, const std::vector<LimitReport>& reports, std::vector<std::string>& notices) {
  constexpr double typical_margin = 1.03;
  constexpr double best_margin = 1.1;
  for (const LimitReport& report : reports) {
    const Limit& limit = set.limits[report.limit];
    const auto surpasses = [&](double figure, double margin) {
      return limit.bound == Limit::Bound::least ? figure > limit.spec * margin : figure * margin < limit.spec;
    };
    const bool typically = surpasses(report.typical, typical_margin);
    if (!typically && !surpasses(report.best, best_margin)) continue;
    notices.push_back(fmt::format(
        "limit '{}': {} is {} {}, {} than the {} it is derived from; a figure beyond a peak is an error, not a record",
        limit.name, typically ? "what is typical" : "the best", format_number(typically ? report.typical : report.best),
        limit.unit, limit.bound == Limit::Bound::least ? "more" : "less", format_number(limit.spec)));
  }
}

// ---- what was wrong ----

/// Results that were wrong and cases that broke off, of one attempt.
class FaultJudge {
 public:
  FaultJudge(const ResultFile& file, std::size_t attempt, PartBook& book)
      : file_(file), attempt_(attempt), book_(book), ranks_(file.header().ranks.size()) {}

  void run() {
    std::size_t not_run = 0;
    std::size_t mistrusted = 0;
    const RunHeader& header = file_.header();
    for (std::size_t s = 0; s < header.suites.size(); ++s) {
      for (std::size_t c = 0; c < header.suites[s].cases.size(); ++c) {
        switch (file_.outcome(s, c).status) {
          case Status::failed:
            wrong_result(s, c);
            break;
          case Status::error:
            broke_off(s, c);
            break;
          case Status::not_run:
            ++not_run;
            break;
          case Status::mistrusted:
            ++mistrusted;
            jumped_clock(s, c);
            break;
          case Status::passed:
            passed_in_spite(s, c);
            break;
          case Status::skipped:
            break;
        }
      }
    }
    if (not_run > 0) {
      hold_open(fmt::format("{} case{} not run{}", not_run, not_run == 1 ? " was" : "s were",
                            file_.placements() > 1
                                ? " on these hosts: the run was interrupted, and was elsewhere before or after"
                                : ": the run broke off, or goes on"));
    }
    if (mistrusted > 0)
      hold_open(fmt::format("the results of {} case{} not checked", mistrusted, mistrusted == 1 ? " were" : "s were"));
  }

 private:
  void hold_open(std::string text) {
    book_.add(PartBook::rack,
              evidence_for(Evidence::Kind::not_measured, Verdict::inconclusive, attempt_, "", std::move(text)));
  }
  [[nodiscard]] const CaseHeader& header_of(std::size_t s, std::size_t c) const {
    return file_.header().suites[s].cases[c];
  }

  void blame(int rank, Evidence::Kind kind, Verdict verdict, const std::string& case_name, std::string text) {
    book_.add(book_.device(attempt_, rank), evidence_for(kind, verdict, attempt_, case_name, std::move(text)));
  }

  void broke_off(std::size_t s, std::size_t c) {
    const std::string& message = file_.outcome(s, c).message;
    const std::string text = "broke off: " + message;
    if (const auto rank = named_rank(message, "rank ", ranks_)) {
      blame(*rank, Evidence::Kind::error, Verdict::fail, header_of(s, c).name, text);
    } else {
      book_.add(PartBook::rack,
                evidence_for(Evidence::Kind::error, Verdict::fail, attempt_, header_of(s, c).name, text));
    }
  }

  /// Nothing is wrong with the device; what was timed by that clock says nothing.
  void jumped_clock(std::size_t s, std::size_t c) {
    const std::string& message = file_.outcome(s, c).message;
    if (const auto rank = named_rank(message, "the clock of rank ", ranks_)) {
      blame(*rank, Evidence::Kind::not_measured, Verdict::inconclusive, header_of(s, c).name, message);
    }
  }

  void wrong_result(std::size_t s, std::size_t c) {
    const CaseHeader& which = header_of(s, c);
    // Links that deliver wrong data are named by the series of links.
    if (file_.header().suites[s].pairs && is_pair_case(which)) return;
    std::vector<double> errors;
    std::vector<std::uint64_t> digests;
    const int step = file_.ranks_per_block();
    for (int first = 0; first < static_cast<int>(ranks_); first += step) {
      const RankBlock block = file_.block(s, c, first, std::min(step, static_cast<int>(ranks_) - first));
      errors.insert(errors.end(), block.verify_error.begin(), block.verify_error.end());
      digests.insert(digests.end(), block.digest.begin(), block.digest.end());
    }
    const std::string& message = file_.outcome(s, c).message;
    const std::vector<int> wrong = wrong_ranks(errors);
    if (which.collective) {
      wrong_collective(which, wrong, message);
    } else if (!wrong.empty()) {
      for (const int rank : wrong) {
        const double error = errors[static_cast<std::size_t>(rank)];
        blame(rank, Evidence::Kind::verification, Verdict::fail, which.name,
              std::isfinite(error) ? fmt::format("wrong result: {} times the tolerance", format_number(error))
                                   : std::string("wrong result: no number"));
      }
    } else if (!other_bits(which, digests)) {
      book_.add(PartBook::rack,
                evidence_for(Evidence::Kind::verification, Verdict::fail, attempt_, which.name, "failed: " + message));
    }
  }

  /// The file says that a case passed, and of some rank that its error is beyond the tolerance.
  void passed_in_spite(std::size_t s, std::size_t c) {
    const std::vector<double> errors = file_.verify_errors(s, c);
    std::vector<int> wrong;
    for (std::size_t r = 0; r < errors.size(); ++r) {
      if (errors[r] > 1.0) wrong.push_back(static_cast<int>(r));
    }
    if (wrong.empty()) return;
    const CaseHeader& which = header_of(s, c);
    const std::string text = "though the file says that it passed";
    if (which.collective || file_.header().suites[s].pairs) {
      wrong_collective(which, wrong, text);
      return;
    }
    for (const int rank : wrong) {
      blame(rank, Evidence::Kind::verification, Verdict::fail, which.name,
            fmt::format("wrong result: {} times the tolerance, {}",
                        format_number(errors[static_cast<std::size_t>(rank)]), text));
    }
  }

  /// Ranks whose error is above 1 or infinite; where others have a number, also those that have none.
  static std::vector<int> wrong_ranks(const std::vector<double>& errors) {
    const bool any_number = std::any_of(errors.begin(), errors.end(), [](double e) { return !std::isnan(e); });
    std::vector<int> wrong;
    for (std::size_t r = 0; r < errors.size(); ++r) {
      if (any_number && !(errors[r] <= 1.0)) wrong.push_back(static_cast<int>(r));
    }
    return wrong;
  }

  /// Who received something wrong has not done it; the check may tell who has.
  void wrong_collective(const CaseHeader& which, const std::vector<int>& wrong, const std::string& message) {
    const std::string text = fmt::format("wrong on {} of {} ranks: {}", wrong.size(), ranks_, message);
    if (const auto culprit = named_rank(message, "as if rank ", ranks_)) {
      blame(*culprit, Evidence::Kind::verification, Verdict::fail, which.name, text);
      return;
    }
    if (!wrong.empty() && 2 * wrong.size() <= ranks_) {
      for (const int rank : wrong) blame(rank, Evidence::Kind::verification, Verdict::fail, which.name, text);
      return;
    }
    book_.add(PartBook::rack, evidence_for(Evidence::Kind::verification, Verdict::fail, attempt_, which.name, text));
  }

  /// False where all digests agree.
  bool other_bits(const CaseHeader& which, const std::vector<std::uint64_t>& digests) {
    std::vector<std::string> kinds;
    for (const RankHeader& rank : file_.header().ranks) kinds.push_back(rank.device_name);
    const DigestVote vote = vote_on_digests(digests, kinds);
    for (const int rank : vote.deviating) {
      const std::uint64_t digest = digests[static_cast<std::size_t>(rank)];
      blame(
          rank, Evidence::Kind::digest, vote.decided ? Verdict::fail : Verdict::inconclusive, which.name,
          vote.decided
              ? fmt::format("other bits than its peers, within the tolerance (digest {:016x}): silent data corruption",
                            digest)
              : fmt::format("other bits than another device (digest {:016x}); no majority tells which is wrong",
                            digest));
    }
    if (!vote.decided) {
      book_.add(PartBook::rack, evidence_for(Evidence::Kind::digest, Verdict::fail, attempt_, which.name,
                                             "devices computed different bits, and no majority tells which is wrong"));
    }
    return !vote.deviating.empty();
  }

  const ResultFile& file_;
  std::size_t attempt_;
  PartBook& book_;
  std::size_t ranks_;
};

// ---- links ----

class PairJudge {
 public:
  PairJudge(const ResultFile& file, std::size_t attempt, PartBook& book, std::vector<std::string>& notices)
      : file_(file), attempt_(attempt), book_(book), notices_(notices) {}

  void run(const KnownRuns* known) {
    for (std::size_t s = 0; s < file_.header().suites.size(); ++s) {
      if (!file_.header().suites[s].pairs) continue;
      const std::vector<LinkSeries>* const there = known == nullptr ? nullptr : known->links(file_, s);
      const std::vector<LinkSeries> own = there == nullptr ? link_series(file_, s) : std::vector<LinkSeries>{};
      for (const LinkSeries& series : there == nullptr ? own : *there) judge(series);
    }
  }

 private:
  using Kind = stats::SlowPart::Kind;

  [[nodiscard]] std::size_t part_of(const stats::SlowPart& slow) const {
    switch (slow.kind) {
      case Kind::link:
        return book_.link(book_.device(attempt_, slow.a), book_.device(attempt_, slow.b));
      case Kind::endpoint:
        return book_.device(attempt_, slow.a);
      case Kind::node:
        return book_.node(attempt_, slow.a);
      case Kind::link_of_nodes:
        return book_.link(book_.node(attempt_, slow.a), book_.node(attempt_, slow.b));
    }
    return PartBook::rack;
  }

  void add(const stats::SlowPart& slow, const LinkSeries& series, Verdict verdict) {
    Evidence evidence =
        evidence_for(Evidence::Kind::link, verdict, attempt_, series_name(series), blame_text(file_, series, slow));
    if (verdict == Verdict::inconclusive) evidence.text = "not settled: " + evidence.text;
    evidence.excess = slow.slowdown;
    book_.add(part_of(slow), std::move(evidence));
  }

  void judge(const LinkSeries& series) {
    for (const LinkSeries::WrongData& wrong : series.wrong_data) {
      book_.add(book_.link(book_.device(attempt_, wrong.a), book_.device(attempt_, wrong.b)),
                evidence_for(Evidence::Kind::verification, Verdict::fail, attempt_, series_name(series),
                             fmt::format("delivered wrong data in {} of {} meetings", wrong.wrong, wrong.meetings)));
    }
    if (!series.verdict.decided) {
      if (!series.times.empty()) {
        notices_.push_back(fmt::format("attempt {}: links, {}, are not compared with each other: {}", attempt_ + 1,
                                       series_name(series), series.verdict.reason));
      }
      return;
    }
    for (const stats::SlowPart& slow : series.verdict.blamed) add(slow, series, Verdict::fail);
    for (const stats::SlowPart& slow : series.verdict.suspects) add(slow, series, Verdict::inconclusive);
    std::set<std::size_t> ends;
    std::set<std::pair<int, int>> met;
    for (const stats::PairTime& time : series.times) met.insert(std::minmax(time.a, time.b));
    for (const auto& [a, b] : met) {
      if (is_held_against(series, a, b)) continue;
      book_.mark_passed(book_.link(book_.device(attempt_, a), book_.device(attempt_, b)), attempt_);
      ends.insert({book_.device(attempt_, a), book_.device(attempt_, b)});
    }
    for (const std::size_t device : ends) book_.mark_passed(device, attempt_);
  }

  /// By the pair itself, or by one of its ends or nodes.
  [[nodiscard]] static bool is_held_against(const LinkSeries& series, int a, int b) {
    const auto node = [&](int rank) { return series.options.node_of[static_cast<std::size_t>(rank)]; };
    const auto concerns = [&](const stats::SlowPart& slow) {
      switch (slow.kind) {
        case Kind::link:
          return std::minmax(slow.a, slow.b) == std::minmax(a, b);
        case Kind::endpoint:
          return slow.a == a || slow.a == b;
        case Kind::node:
          return slow.a == node(a) || slow.a == node(b);
        case Kind::link_of_nodes:
          return std::minmax(slow.a, slow.b) == std::minmax(node(a), node(b));
      }
      return false;
    };
    return std::any_of(series.verdict.blamed.begin(), series.verdict.blamed.end(), concerns) ||
           std::any_of(series.verdict.suspects.begin(), series.verdict.suspects.end(), concerns);
  }

  const ResultFile& file_;
  std::size_t attempt_;
  PartBook& book_;
  std::vector<std::string>& notices_;
};

// ---- what devices felt ----

/// Devices of which there is the same to tell: how many, and the first.
struct Told {
  std::size_t devices = 0;
  std::string first;
  void add(const RankHeader& header, const std::string& what) {
    if (devices++ == 0) first = fmt::format("{} {}: {}", header.hostname, header.device_id, what);
  }
};

void judge_telemetry(const ResultFile& file, std::size_t attempt, PartBook& book, std::vector<std::string>& notices) {
  Told held_back;
  Told errors;
  for (const TelemetryRemark& remark : telemetry_remarks(file)) {
    const auto rank = static_cast<int>(remark.rank);
    const RankHeader& header = file.header().ranks[remark.rank];
    const std::size_t device = book.device(attempt, rank);
    if (!remark.errors.empty()) {
      const Verdict verdict = remark.broken ? Verdict::fail : Verdict::not_judged;
      book.add(device, evidence_for(Evidence::Kind::telemetry, verdict, attempt, "",
                                    fmt::format("errors in the run, and state of its memory: {}", remark.errors)));
      if (!remark.broken) errors.add(header, remark.errors);
    }
    if (remark.held_back.empty()) continue;
    book.add(device, evidence_for(Evidence::Kind::telemetry, Verdict::not_judged, attempt, "",
                                  fmt::format("its clock was held back, of all readings: {}", remark.held_back)));
    held_back.add(header, remark.held_back);
  }
  const auto tell = [&](const Told& told, const char* one, const char* several) {
    if (told.devices == 0) return;
    notices.push_back(fmt::format("attempt {}: {}; the first is {}", attempt + 1,
                                  fmt::format(fmt::runtime(told.devices == 1 ? one : several), told.devices),
                                  told.first));
  };
  tell(held_back, "the clocks of {} device were held back", "the clocks of {} devices were held back");
  tell(errors, "{} device told of errors", "{} devices told of errors");
}

/// A node that runs something else than the others is at fault whatever its figures are: they are of another rack.
void judge_software(const ResultFile& file, std::size_t attempt, PartBook& book) {
  std::vector<std::string> undecided;
  for (const OddNode& odd : odd_nodes(file.header(), &undecided)) {
    book.add(book.node(attempt, odd.node_index),
             evidence_for(Evidence::Kind::software, Verdict::fail, attempt, "", "has " + odd.text));
  }
  for (std::string& text : undecided) {
    book.add(PartBook::rack,
             evidence_for(Evidence::Kind::software, Verdict::inconclusive, attempt, "", std::move(text)));
  }
}

// ---- nodes ----

/// Where most devices of a node failed, it is the node.
void blame_nodes(const ResultFile& file, std::size_t attempt, PartBook& book) {
  std::map<int, std::set<std::size_t>> devices;
  const auto& ranks = file.header().ranks;
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    devices[ranks[r].node_index].insert(book.device(attempt, static_cast<int>(r)));
  }
  if (devices.size() < 2) return;
  for (const auto& [index, of_node] : devices) {
    std::size_t failed = 0;
    for (const std::size_t device : of_node) failed += book.has_failed(device, attempt) ? 1 : 0;
    if (failed < fewest_of_a_node ||
        static_cast<double>(failed) < share_of_a_node * static_cast<double>(of_node.size())) {
      continue;
    }
    book.add(book.node(attempt, index),
             evidence_for(Evidence::Kind::peers, Verdict::fail, attempt, "",
                          fmt::format("{} of its {} devices failed", failed, of_node.size())));
  }
}

// ---- the whole ----

void refuse_fakes(std::span<const ResultFile> files, const AcceptOptions& options) {
  for (const ResultFile& file : files) {
    const std::string why = why_no_measurement(file.header());
    if (why.empty() || options.allow_fake) continue;
    throw usage_error(
        fmt::format("{} was made {}: no figure in it is a measurement (--allow-fake takes it all the same)",
                    quoted(file.path()), why));
  }
}

/// What the files themselves tell of whether the whole may be called good.
void judge_input(std::span<const ResultFile> attempts, bool has_criterion, PartBook& book, Acceptance& acceptance) {
  const auto hold_open = [&](std::size_t attempt, std::string text) {
    book.add(PartBook::rack,
             evidence_for(Evidence::Kind::not_measured, Verdict::inconclusive, attempt, "", std::move(text)));
  };
  for (std::size_t a = 0; a < attempts.size(); ++a) {
    const ResultFile& file = attempts[a];
    if (file.header().device_fake)
      acceptance.notices.push_back(fmt::format("attempt {}: a fake device: no figure is a measurement", a + 1));
    if (const auto planted = planted_faults(file.header()); !planted.empty()) {
      acceptance.notices.push_back(fmt::format("attempt {}: with planted faults: {}", a + 1, fmt::join(planted, ", ")));
    }
    if (file.unfinished()) hold_open(a, "the file is not finished: the run goes on or broke off");
    std::size_t skipped = 0;
    std::string first;
    for (std::size_t s = 0; s < file.header().suites.size(); ++s) {
      for (std::size_t c = 0; c < file.header().suites[s].cases.size(); ++c) {
        if (file.outcome(s, c).status != Status::skipped) continue;
        if (skipped++ == 0)
          first = fmt::format("{}: {}", file.header().suites[s].cases[c].name, file.outcome(s, c).message);
      }
    }
    if (skipped > 0) {
      acceptance.notices.push_back(fmt::format("attempt {}: {} case{} skipped and judge{} nothing; the first is {}",
                                               a + 1, skipped, skipped == 1 ? " was" : "s were",
                                               skipped == 1 ? "s" : "", first));
    }
  }
  if (!book.is_one_rack()) hold_open(0, "the attempts are of different racks");
  if (!has_criterion) {
    hold_open(0, "no limit and no baseline judged anything: that devices are alike does not say that they are good");
  }
}

/// False for a node that has its verdict from its devices.
bool has_own(const Part& part, Verdict verdict) {
  return part.kind != Part::Kind::node ||
         std::any_of(part.evidence.begin(), part.evidence.end(),
                     [&](const Evidence& evidence) { return evidence.verdict == verdict; });
}

}  // namespace

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::pass:
      return "PASS";
    case Verdict::fail:
      return "FAIL";
    case Verdict::intermittent:
      return "INTERMITTENT";
    case Verdict::inconclusive:
      return "INCONCLUSIVE";
    case Verdict::not_judged:
      break;
  }
  return "not judged";
}

ExitCode exit_code_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::pass:
      return ExitCode::pass;
    case Verdict::fail:
    case Verdict::intermittent:
      return ExitCode::fail;
    case Verdict::inconclusive:
    case Verdict::not_judged:
      break;
  }
  return ExitCode::inconclusive;
}

std::string_view to_string(Evidence::Kind kind) {
  switch (kind) {
    case Evidence::Kind::limit:
      return "limit";
    case Evidence::Kind::peers:
      return "peers";
    case Evidence::Kind::baseline:
      return "baseline";
    case Evidence::Kind::verification:
      return "verification";
    case Evidence::Kind::digest:
      return "digest";
    case Evidence::Kind::error:
      return "error";
    case Evidence::Kind::link:
      return "link";
    case Evidence::Kind::telemetry:
      return "telemetry";
    case Evidence::Kind::software:
      return "software";
    case Evidence::Kind::not_measured:
      break;
  }
  return "not measured";
}

std::size_t PartCounts::all() const {
  std::size_t sum = 0;
  for (const std::size_t count : of) sum += count;
  return sum;
}

std::vector<const Part*> Acceptance::at_fault() const {
  std::vector<const Part*> found;
  for (const Part& part : parts) {
    if (part.kind == Part::Kind::rack) continue;
    const bool is_bad = part.verdict == Verdict::fail || part.verdict == Verdict::intermittent;
    if (is_bad && has_own(part, Verdict::fail)) found.push_back(&part);
  }
  // What was wrong or broke off before what was slow.
  const auto is_wrong = [](const Part* part) {
    return std::any_of(part->evidence.begin(), part->evidence.end(), [](const Evidence& evidence) {
      return evidence.verdict == Verdict::fail &&
             (evidence.kind == Evidence::Kind::verification || evidence.kind == Evidence::Kind::digest ||
              evidence.kind == Evidence::Kind::error);
    });
  };
  std::stable_sort(found.begin(), found.end(), [&](const Part* one, const Part* other) {
    if (one->verdict != other->verdict) return one->verdict == Verdict::fail;
    if (is_wrong(one) != is_wrong(other)) return is_wrong(one);
    return one->excess > other->excess;
  });
  return found;
}

std::vector<const Part*> Acceptance::open() const {
  std::vector<const Part*> found;
  for (const Part& part : parts) {
    const bool is_open = part.kind != Part::Kind::rack && part.verdict == Verdict::inconclusive;
    if (is_open && has_own(part, Verdict::inconclusive)) found.push_back(&part);
  }
  return found;
}

Acceptance accept(std::span<const ResultFile> attempts, std::span<const ResultFile> baseline, const LimitSet* limits,
                  const AcceptOptions& options) {
  if (attempts.empty()) throw Error(ExitCode::internal, "accept", 0, "", "accept() without a file");
  refuse_fakes(attempts, options);
  refuse_fakes(baseline, options);
  refuse_same_runs(attempts, baseline);
  Acceptance acceptance;
  for (const ResultFile& file : attempts) {
    acceptance.attempts.push_back({file.path().string(), file.header().run_id, file.header().date});
  }
  for (const ResultFile& file : baseline) acceptance.baseline.push_back(file.path().string());
  PartBook book(attempts, options.most_evidence);
  acceptance.notices = book.notices();
  judge_missing_cases(attempts, book);

  const std::size_t count = limits == nullptr ? 0 : limits->limits.size();
  acceptance.limit_reports.resize(count);
  for (std::size_t l = 0; l < count; ++l) acceptance.limit_reports[l].limit = l;
  std::vector<Gathered> gathered(count);
  std::vector<std::vector<CaseTimes>> times;
  for (std::size_t a = 0; a < attempts.size(); ++a) {
    const ResultFile& file = attempts[a];
    if (limits != nullptr) LimitJudge(file, a, *limits, book, acceptance.limit_reports, gathered).run();
    times.push_back(case_times(file, options.known));
    for (PeerReport& report : judge_by_peers(file, a, times.back(), options, book)) {
      acceptance.peers.push_back(std::move(report));
    }
    FaultJudge(file, a, book).run();
    PairJudge(file, a, book, acceptance.notices).run(options.known);
    judge_telemetry(file, a, book, acceptance.notices);
    judge_software(file, a, book);
  }
  if (!baseline.empty()) {
    judge_by_baseline(attempts, baseline, times, options, book, acceptance.notices);
    judge_missing_of_baseline(attempts, baseline, book);
  }
  for (std::size_t a = 0; a < attempts.size(); ++a) blame_nodes(attempts[a], a, book);
  if (limits != nullptr) {
    acceptance.limits = limits->name;
    conclude_limits(gathered, acceptance.limit_reports);
    note_records(*limits, acceptance.limit_reports, acceptance.notices);
  }
  const bool any_limit = std::any_of(acceptance.limit_reports.begin(), acceptance.limit_reports.end(),
                                     [](const LimitReport& report) { return report.judged > 0; });
  judge_input(attempts, any_limit || !baseline.empty(), book, acceptance);
  book.conclude(acceptance);
  return acceptance;
}

}  // namespace rackproof::results
