#include "results/show.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <regex>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "common/core/error.hpp"
#include "common/core/units.hpp"
#include "common/stats/order_statistics.hpp"
#include "results/case_summary.hpp"
#include "results/head_lines.hpp"
#include "results/links.hpp"
#include "results/part_file.hpp"
#include "results/quantile_table.hpp"
#include "results/reader.hpp"
#include "results/side_by_side.hpp"
#include "results/table.hpp"
#include "results/telemetry_report.hpp"

namespace rackproof::results {
namespace {

/// A case is marked as late where more than this share of the samples of some rank started late.
constexpr double late_share = 0.05;

// ---- numbers ----

/// "-0.4 +1.2": the interval's ends against the median, in percent.
std::string format_interval(const Middle& middle) {
  if (!std::isfinite(middle.low) || !std::isfinite(middle.high) || !(middle.median > 0.0)) return "-";
  const double below = 100.0 * (1.0 - middle.low / middle.median);
  const double above = 100.0 * (middle.high / middle.median - 1.0);
  const auto digits = [](double value) { return value < 99.95 ? 1 : 0; };
  return fmt::format("-{:.{}f} +{:.{}f}", below, digits(below), above, digits(above));
}

std::string format_figure(const FigureHeader& figure, double time) {
  return time > 0.0 ? format_number(figure.value(time)) : "-";
}

// ---- a suite ----

/// Marks beside the number of samples, and what they mean; a legend is printed for those in use.
struct Mark {
  char sign;
  const char* meaning;
};
constexpr std::array<Mark, 6> marks{
    {{'~', "sampling ended on its budget, before the median was known as well as wanted"},
     {'^', "more than 5 % of the samples of some rank started late"},
     {'=', "started by a barrier, because the global clock was too uncertain"},
     {'*', "reading the clock took more than 5 % of the time"},
     {'!', "above 100 % of the peak: it was measured too low, or the data stayed in the cache"},
     {'#', "sampling ended as soon as it was certain on which side of its limits it is"}}};

class Page {
 public:
  Page(const ResultFile& file, const ShowOptions& options) : file_(file), options_(options) {}

  /// The tables of the cases (positions) of one suite. Ranks that meet in pairs are shown a series a row, with what
  /// follows from all of its meetings, unless single cases or ranks are asked for.
  std::string suite(std::size_t suite, const std::vector<std::size_t>& cases) {
    const bool by_series = file_.header().suites[suite].pairs && !options_.ranks && options_.case_regex.empty();
    if (!by_series) return case_tables(suite, cases);
    const std::vector<LinkSeries> series = link_series(file_, suite);
    const std::string verdicts = link_verdicts(file_, series);
    const std::string table = link_table(file_, series);
    return case_tables(suite, outside(suite, cases, series)) + (table.empty() ? "" : "\n" + table) +
           (verdicts.empty() ? "" : "\n" + verdicts);
  }

  /// Those of `cases` that belong to no series, or that something is to be said about.
  std::vector<std::size_t> outside(std::size_t suite, const std::vector<std::size_t>& cases,
                                   const std::vector<LinkSeries>& series) const {
    const auto is_measured_series = [&](const CaseHeader& which) {
      return std::any_of(series.begin(), series.end(), [&](const LinkSeries& one) {
        return one.message_size == which.message_size && !one.times.empty();
      });
    };
    std::vector<std::size_t> others;
    for (const std::size_t c : cases) {
      const CaseHeader& which = file_.header().suites[suite].cases[c];
      const Status status = file_.outcome(suite, c).status;
      const bool quiet = status == Status::passed || status == Status::skipped || status == Status::not_run;
      if (!is_pair_case(which) || !quiet || (status == Status::skipped && !is_measured_series(which)))
        others.push_back(c);
    }
    return others;
  }

  std::string case_tables(std::size_t suite, const std::vector<std::size_t>& cases) {
    const SuiteHeader& header = file_.header().suites[suite];
    // Cases share a table if the figures of one are among those of the other, so that no table is wide and full of
    // holes.
    std::vector<Group> groups;
    for (const std::size_t which : cases) {
      const std::vector<FigureHeader>& figures = header.cases[which].figures;
      auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& g) {
        return includes(g.figures, figures) || includes(figures, g.figures);
      });
      if (group == groups.end()) group = groups.insert(groups.end(), Group{});
      if (group->figures.size() < figures.size()) group->figures = figures;
      group->cases.push_back(which);
    }
    std::string text;
    for (const Group& group : groups) {
      text += "\n" + (options_.ranks ? rank_table(suite, group) : case_table(suite, group));
    }
    return text;
  }

  /// One line a mark that was used.
  [[nodiscard]] std::string legend() const {
    std::string text;
    for (const Mark& mark : marks) {
      if (used_.contains(mark.sign)) text += fmt::format("{} {}\n", mark.sign, mark.meaning);
    }
    return text.empty() ? text : "\n" + text;
  }

 private:
  /// Cases of one table, and the columns that they need.
  struct Group {
    std::vector<FigureHeader> figures;
    std::vector<std::size_t> cases;
  };

  static bool includes(const std::vector<FigureHeader>& all, const std::vector<FigureHeader>& some) {
    return std::all_of(some.begin(), some.end(), [&](const FigureHeader& figure) {
      return std::any_of(all.begin(), all.end(), [&](const FigureHeader& other) { return other.name == figure.name; });
    });
  }

  std::string marks_of(const CaseHeader& one, const CaseOutcome& outcome, const CaseSummary& summary) {
    std::string text;
    if (outcome.stop_reason == StopReason::budget) text += marks[0].sign;
    if (outcome.stop_reason == StopReason::certain) text += marks[5].sign;
    if (summary.late > late_share) text += marks[1].sign;
    if ((summary.flags & schema::flag_barrier) != 0) text += marks[2].sign;
    if ((summary.flags & schema::flag_short) != 0) text += marks[3].sign;
    if (std::any_of(one.figures.begin(), one.figures.end(), [&](const FigureHeader& figure) {
          return figure.unit == "%" && figure.value(summary.time.median) > impossible_share;
        })) {
      text += marks[4].sign;
    }
    used_.insert(text.begin(), text.end());
    return text;
  }

  static void add_message(Table& table, const CaseOutcome& outcome) {
    if (!outcome.message.empty()) table.add_note(outcome.message);
  }

  std::string case_table(std::size_t suite, const Group& group) {
    const SuiteHeader& header = file_.header().suites[suite];
    const std::vector<FigureHeader>& figures = group.figures;
    const bool some_independent = std::any_of(group.cases.begin(), group.cases.end(),
                                              [&](std::size_t which) { return !header.cases[which].collective; });
    const bool with_slowest = file_.header().ranks.size() > 1 && some_independent && !figures.empty();

    std::vector<std::pair<std::size_t, std::optional<CaseSummary>>> summaries;
    std::size_t mark_width = 0;
    for (const std::size_t which : group.cases) {
      summaries.emplace_back(which, std::nullopt);
      const CaseOutcome& outcome = file_.outcome(suite, which);
      if (!is_measured(outcome)) continue;
      summaries.back().second = summarise(file_, suite, which);
      const CaseSummary& summary = *summaries.back().second;
      mark_width = std::max(mark_width, marks_of(header.cases[which], outcome, summary).size());
    }
    // Too wide a page loses figures from its right; the file still has them.
    for (std::size_t shown = figures.size();; --shown) {
      std::vector<Table::Column> columns{{"case", "", Table::Align::left},
                                         {"status", "", Table::Align::left},
                                         {"samples" + std::string(mark_width, ' '), "", Table::Align::right},
                                         {"time", "median", Table::Align::right},
                                         {"95 %", "% of it", Table::Align::right}};
      for (std::size_t f = 0; f < shown; ++f) columns.push_back({figures[f].name, figures[f].unit});
      if (with_slowest) columns.push_back({"slowest", "at rank", Table::Align::right});
      Table table(columns);
      for (const auto& [which, summary] : summaries) {
        const CaseHeader& one = header.cases[which];
        const CaseOutcome& outcome = file_.outcome(suite, which);
        std::vector<std::string> cells{one.name, std::string(to_string(outcome.status))};
        if (summary && summary->most > 0) {
          std::string samples = summary->fewest == summary->most ? fmt::format("{}", summary->most)
                                                                 : fmt::format("{}-{}", summary->fewest, summary->most);
          samples += fmt::format("{:<{}}", marks_of(one, outcome, *summary), mark_width);
          cells.push_back(samples);
          cells.push_back(format_duration(summary->time.median));
          cells.push_back(format_interval(summary->time));
          for (std::size_t f = 0; f < shown; ++f) cells.push_back(figure_of(one, *summary, figures[f].name));
          if (with_slowest && !one.collective && !one.figures.empty()) {
            const double slowest = summary->ranks[summary->slowest].time.median;
            cells.push_back(fmt::format("{} @{}", format_figure(one.figures.front(), slowest), summary->slowest));
          }
        }
        table.add_row(std::move(cells));
        add_message(table, outcome);
      }
      if (table.width() > page_width && shown > 1) continue;
      std::string text = table.render(page_width);
      if (shown < figures.size()) text += "(more figures in the file)\n";
      return text;
    }
  }

  /// Of a case whose ranks work on their own: the median over ranks of each rank's figure. Empty where the case has
  /// no such figure.
  static std::string figure_of(const CaseHeader& one, const CaseSummary& summary, std::string_view name) {
    const auto figure = std::find_if(one.figures.begin(), one.figures.end(),
                                     [&](const FigureHeader& candidate) { return candidate.name == name; });
    if (figure == one.figures.end()) return {};
    if (one.collective) return format_figure(*figure, summary.time.median);
    std::vector<double> values;
    for (const RankSummary& rank : summary.ranks) {
      if (rank.time.median > 0.0) values.push_back(figure->value(rank.time.median));
    }
    return values.empty() ? "-" : format_number(stats::median(values));
  }

  std::string rank_table(std::size_t suite, const Group& group) {
    const SuiteHeader& header = file_.header().suites[suite];
    // A figure of a collective belongs to the job, not to a rank; and there is room for one.
    const bool with_figure = std::any_of(group.cases.begin(), group.cases.end(), [&](std::size_t which) {
      return !header.cases[which].collective && !header.cases[which].figures.empty();
    });
    std::vector<std::pair<std::size_t, std::optional<CaseSummary>>> summaries;
    bool with_late = false;
    for (const std::size_t which : group.cases) {
      summaries.emplace_back(which, std::nullopt);
      if (!is_measured(file_.outcome(suite, which))) continue;
      summaries.back().second = summarise(file_, suite, which);
      with_late = with_late || summaries.back().second->late > 0.0;
    }
    std::vector<Table::Column> columns{
        {"case", "", Table::Align::left},        {"status", "", Table::Align::left},
        {"rank", "", Table::Align::right},       {"host", "", Table::Align::left},
        {"device", "", Table::Align::left},      {"samples", "", Table::Align::right},
        {"time", "median", Table::Align::right}, {"95 %", "% of it", Table::Align::right}};
    if (with_figure) columns.push_back({group.figures.front().name, group.figures.front().unit, Table::Align::right});
    if (with_late) columns.push_back({"late", "%", Table::Align::right});
    columns.push_back({"error", "of 1", Table::Align::right});
    columns.push_back({"digest", "", Table::Align::left});
    Table table(columns);
    for (const auto& [which, summary] : summaries) {
      const CaseHeader& one = header.cases[which];
      const CaseOutcome& outcome = file_.outcome(suite, which);
      const std::string status(to_string(outcome.status));
      if (!summary) table.add_row({one.name, status});
      const std::vector<RankHeader>& ranks = file_.ranks_of(suite, which);
      for (std::size_t r = 0; summary && r < ranks.size(); ++r) {
        const RankSummary& rank = summary->ranks[r];
        std::vector<std::string> cells{one.name,
                                       status,
                                       fmt::format("{}", r),
                                       ranks[r].hostname,
                                       ranks[r].device_id,
                                       fmt::format("{}", rank.samples),
                                       format_duration(rank.time.median),
                                       format_interval(rank.time)};
        if (with_figure) {
          const bool has =
              !one.collective && !one.figures.empty() && one.figures.front().name == group.figures.front().name;
          cells.push_back(has ? format_figure(one.figures.front(), rank.time.median) : "");
        }
        if (with_late) cells.push_back(fmt::format("{:.0f}", 100.0 * rank.late));
        cells.push_back(format_number(rank.verify_error));
        // Enough to see who differs; the file has all of it.
        cells.push_back(rank.digest == 0 ? "-" : fmt::format("{:08x}", rank.digest >> 32U));
        table.add_row(std::move(cells));
      }
      add_message(table, outcome);
      if (!outcome.implementation.empty()) table.add_note(outcome.implementation);
    }
    return table.render(page_width);
  }

  const ResultFile& file_;
  const ShowOptions& options_;
  std::set<char> used_;
};

// ---- the head of the page ----

std::string head(const ResultFile& file) {
  std::string text;
  for (const auto& [key, value] : head_lines(file)) {
    std::string label = fmt::format("{:<11}", key);
    for (const std::string& part : wrap(printable(value, 1000), page_width - label.size())) {
      text += label + part + "\n";
      label.assign(label.size(), ' ');
    }
  }
  return text;
}

// ---- the foot ----

std::string foot(const std::vector<std::pair<std::string, Status>>& shown) {
  std::string text = fmt::format("\n{} case{}", shown.size(), shown.size() == 1 ? "" : "s");
  static constexpr std::array<std::pair<Status, std::string_view>, 6> order{{{Status::passed, "passed"},
                                                                             {Status::mistrusted, "mistrusted"},
                                                                             {Status::failed, "failed"},
                                                                             {Status::error, "error"},
                                                                             {Status::skipped, "skipped"},
                                                                             {Status::not_run, "not run"}}};
  const char* separator = ": ";
  for (const auto& [status, name] : order) {
    const auto count = std::count_if(shown.begin(), shown.end(), [s = status](const auto& c) { return c.second == s; });
    if (count == 0) continue;
    text += fmt::format("{}{} {}", separator, count, name);
    separator = ", ";
  }
  text += "\n";
  constexpr std::size_t limit = 10;
  std::size_t bad = 0;
  for (const auto& [name, status] : shown) {
    if (status != Status::failed && status != Status::error) continue;
    if (++bad <= limit) text += fmt::format("{} {}\n", to_string(status), name);
  }
  if (bad > limit) text += fmt::format("and {} more\n", bad - limit);
  return text;
}

}  // namespace

std::string show(const std::filesystem::path& path, const ShowOptions& options) {
  std::regex wanted;
  try {
    wanted.assign(options.case_regex);
  } catch (const std::regex_error&) {
    throw usage_error(
        fmt::format("'{}' is no regular expression; write one such as '^gemm/bf16'", printable(options.case_regex)));
  }
  const ResultFile file(path);
  const RunHeader& header = file.header();
  Page page(file, options);
  std::string tables;
  std::vector<std::pair<std::string, Status>> shown;
  int by_device = 0;
  for (std::size_t s = 0; s < header.suites.size(); ++s) {
    std::vector<std::size_t> cases;
    for (std::size_t c = 0; c < header.suites[s].cases.size(); ++c) {
      const std::string& name = header.suites[s].cases[c].name;
      if (!std::regex_search(name, wanted)) continue;
      cases.push_back(c);
      shown.emplace_back(name, file.outcome(s, c).status);
      by_device += file.outcome(s, c).timer == Timer::device ? 1 : 0;
    }
    if (cases.empty()) continue;
    tables += options.quantiles ? "\n" + quantile_table(file, s, cases, page_width) : page.suite(s, cases);
    if (const std::string both = side_by_side(file, s, cases); !both.empty()) tables += "\n" + both;
  }
  if (shown.empty()) {
    throw usage_error(fmt::format("no case of {} matches '{}'; its first is '{}'", quoted(path),
                                  printable(options.case_regex), header.suites.front().cases.front().name));
  }
  const std::string timers =
      by_device == 0
          ? ""
          : fmt::format("\nTimes of {} case{} are by the devices' own clocks; the file has the host's beside them.\n",
                        by_device, by_device == 1 ? "" : "s");
  // Of the whole run, so not where single cases are asked for.
  constexpr std::size_t most_devices = 16;
  const std::string felt = options.case_regex.empty() && !options.quantiles
                               ? telemetry_report(file, options.ranks ? header.ranks.size() : most_devices)
                               : std::string{};
  return head(file) + tables + page.legend() + timers + (felt.empty() ? "" : "\n" + felt) + foot(shown);
}

}  // namespace rackproof::results
