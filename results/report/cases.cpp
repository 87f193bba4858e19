// The tables of cases.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "common/core/units.hpp"
#include "common/stats/order_statistics.hpp"
#include "results/html.hpp"
#include "results/links.hpp"
#include "results/report/sections.hpp"

namespace rackproof::results {
namespace {

constexpr std::size_t most_rows = 400;   ///< of a table
constexpr std::size_t most_figures = 4;  ///< of a case
/// Up to so many ranks, all samples of a case are read for its interval.
constexpr std::size_t most_ranks_for_interval = 64;

/// Cases that share a table: the figures of one are among those of the other, so that no table is full of holes.
struct CaseGroup {
  std::string suite;
  std::vector<FigureHeader> figures;
  std::vector<const ReportCase*> cases;
};

const FigureHeader* figure_named(const std::vector<FigureHeader>& figures, std::string_view name) {
  const auto found =
      std::find_if(figures.begin(), figures.end(), [&](const auto& figure) { return figure.name == name; });
  return found == figures.end() ? nullptr : &*found;
}

bool has_all_figures(const std::vector<FigureHeader>& all, const std::vector<FigureHeader>& some) {
  return std::all_of(some.begin(), some.end(),
                     [&](const FigureHeader& figure) { return figure_named(all, figure.name) != nullptr; });
}

bool is_listed(const ReportData& data, const ReportCase& one) {
  // Meetings of pairs are shown as a matrix; those about which something is to be said are listed.
  const Status status = data.status(one);
  const bool quiet = status == Status::passed || status == Status::skipped || status == Status::not_run;
  return !quiet || !is_pair_case(data.header(one));
}

std::vector<CaseGroup> case_groups(const ReportData& data) {
  std::vector<CaseGroup> groups;
  for (const ReportCase& one : data.cases) {
    if (!is_listed(data, one)) continue;
    const std::vector<FigureHeader>& figures = data.header(one).figures;
    auto group = std::find_if(groups.begin(), groups.end(), [&](const CaseGroup& g) {
      return g.suite == one.suite && (has_all_figures(g.figures, figures) || has_all_figures(figures, g.figures));
    });
    if (group == groups.end()) group = groups.insert(groups.end(), CaseGroup{one.suite, figures, {}});
    if (group->figures.size() < figures.size()) group->figures = figures;
    group->cases.push_back(&one);
  }
  return groups;
}

/// "-0.4 +1.2": in percent of the middle.
std::string deviations(double low, double middle, double high) {
  if (!std::isfinite(low) || !std::isfinite(high) || !(middle > 0.0)) return "-";
  const auto digits = [](double value) { return value < 99.95 ? 1 : 0; };
  const double below = 100.0 * (1.0 - low / middle);
  const double above = 100.0 * (high / middle - 1.0);
  return fmt::format("-{:.{}f} +{:.{}f}", below, digits(below), above, digits(above));
}

/// Of one run: the 95 % interval of the median. Of several: from the least to the largest of their medians.
HtmlTable::Cell uncertainty(const ReportData& data, const ReportCase& one) {
  double low = std::nan("");
  double high = std::nan("");
  double middle = data.time(one);
  if (data.runs.size() > 1) {
    for (std::size_t r = 0; r < data.runs.size(); ++r) {
      const double time = one.at[r] ? data.runs[r].of(*one.at[r]).time : std::nan("");
      low = std::fmin(low, time);
      high = std::fmax(high, time);
    }
  } else if (one.at[0] && data.last().run().ranks.size() <= most_ranks_for_interval) {
    const Middle time = summarise(data.last().file(), one.at[0]->suite, one.at[0]->which).time;
    low = time.low;
    high = time.high;
  } else if (one.at[0] && data.header(one).collective) {
    const std::vector<double> times = data.last().file().figure_time(one.at[0]->suite, one.at[0]->which);
    if (const auto interval = stats::median_interval(times, 0.95, stats::effective_sample_size(times))) {
      low = interval->low;
      high = interval->high;
    }
  }
  return HtmlTable::Cell::number(deviations(low, middle, high), (high - low) / middle);
}

std::string status_badge(Status status) {
  const char* kind = status == Status::passed                              ? "good"
                     : status == Status::failed || status == Status::error ? "bad"
                     : status == Status::mistrusted                        ? "warn"
                                                                           : "none";
  return fmt::format("<span class=\"badge {}\">{}</span>", kind, html_text(to_string(status)));
}

bool ended_on_budget(const ReportData& data, const ReportCase& one) {
  for (std::size_t r = 0; r < data.runs.size(); ++r) {
    if (one.at[r] && data.runs[r].outcome(*one.at[r]).stop_reason == StopReason::budget) return true;
  }
  return false;
}

HtmlTable::Cell samples_cell(const ReportData& data, const ReportCase& one) {
  double all = 0.0;
  for (std::size_t r = 0; r < data.runs.size(); ++r) {
    if (!one.at[r]) continue;
    const auto& samples = data.runs[r].of(*one.at[r]).samples;
    if (!samples.empty()) all += *std::max_element(samples.begin(), samples.end());
  }
  return HtmlTable::Cell::number(all > 0.0 ? fmt::format("{:.0f}{}", all, ended_on_budget(data, one) ? "~" : "") : "-",
                                 all);
}

/// "+4.1 % @12": by how much the slowest rank lags behind the typical one.
HtmlTable::Cell slowest_cell(const ReportData& data, const ReportCase& one) {
  if (!data.is_of_ranks(one)) return {};
  const std::vector<double> times = data.rank_times(one);
  std::size_t slowest = times.size();
  for (std::size_t r = 0; r < times.size(); ++r) {
    if (std::isfinite(times[r]) && (slowest == times.size() || times[r] > times[slowest])) slowest = r;
  }
  if (slowest == times.size()) return {};
  const double excess = times[slowest] / stats::median(times) - 1.0;
  return HtmlTable::Cell::number(fmt::format("{:+.1f} @{}", 100.0 * excess, slowest), excess);
}

std::string remark(const ReportData& data, const ReportCase& one) {
  for (std::size_t r = data.runs.size(); r-- > 0;) {
    if (!one.at[r]) return fmt::format("not in {}", data.runs[r].name);
    const CaseOutcome& outcome = data.runs[r].outcome(*one.at[r]);
    const std::string& skipped = data.runs[r].header(*one.at[r]).skip_reason;
    if (!outcome.message.empty()) return outcome.message;
    if (!skipped.empty()) return skipped;
  }
  return {};
}

std::string table_of(const ReportData& data, const CaseGroup& group) {
  const std::size_t figures = std::min(group.figures.size(), most_figures);
  const bool with_slowest =
      data.last().run().ranks.size() > 1 && std::any_of(group.cases.begin(), group.cases.end(),
                                                        [&](const ReportCase* one) { return data.is_of_ranks(*one); });
  const bool several = data.runs.size() > 1;
  std::vector<HtmlTable::Column> columns{{"case", "", false},
                                         {"status", "", false},
                                         {"samples"},
                                         {"median time"},
                                         {several ? "launches" : "95 %", "% of it"}};
  for (std::size_t f = 0; f < figures; ++f) columns.push_back({group.figures[f].name, group.figures[f].unit});
  if (with_slowest) columns.push_back({"slowest", "% @rank"});
  const bool with_remark = std::any_of(group.cases.begin(), group.cases.end(),
                                       [&](const ReportCase* one) { return !remark(data, *one).empty(); });
  if (with_remark) columns.push_back({"remark", "", false});

  // What is not in order comes first, where there is not room for all.
  std::vector<const ReportCase*> shown = group.cases;
  if (shown.size() > most_rows) {
    std::stable_partition(shown.begin(), shown.end(),
                          [&](const ReportCase* one) { return data.status(*one) != Status::passed; });
    shown.resize(most_rows);
  }
  HtmlTable table(fmt::format("{}: {} case{}", group.suite, group.cases.size(), group.cases.size() == 1 ? "" : "s"),
                  columns);
  for (const ReportCase* one : shown) {
    const Status status = data.status(*one);
    const double time = data.time(*one);
    std::vector<HtmlTable::Cell> cells{HtmlTable::Cell::text(one->name),
                                       {status_badge(status), {}},
                                       samples_cell(data, *one),
                                       HtmlTable::Cell::number(format_duration(time), time),
                                       uncertainty(data, *one)};
    for (std::size_t f = 0; f < figures; ++f) {
      const FigureHeader* const figure = figure_named(data.header(*one).figures, group.figures[f].name);
      const double value = figure != nullptr && time > 0.0 ? figure->value(time) : std::nan("");
      cells.push_back(HtmlTable::Cell::number(figure == nullptr ? "" : format_number(value), value));
    }
    if (with_slowest) cells.push_back(slowest_cell(data, *one));
    if (with_remark) cells.push_back(HtmlTable::Cell::text(remark(data, *one)));
    table.add_row(std::move(cells), status == Status::failed || status == Status::error ? "bad" : "");
  }
  std::string out = table.render();
  if (std::any_of(shown.begin(), shown.end(), [&](const ReportCase* one) { return ended_on_budget(data, *one); })) {
    out += "<p class=\"note\">~ sampling ended on its budget, before the median was known as well as wanted</p>\n";
  }
  if (shown.size() < group.cases.size()) {
    out += fmt::format("<p class=\"note\">{} more are in the file; what is not PASSED comes first.</p>\n",
                       group.cases.size() - shown.size());
  }
  return out;
}

}  // namespace

std::string case_section(const ReportData& data) {
  std::string out;
  for (const CaseGroup& group : case_groups(data)) out += table_of(data, group);
  return out;
}

}  // namespace rackproof::results
