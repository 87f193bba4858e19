// Launches against a baseline: ratios with their intervals.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "common/core/units.hpp"
#include "results/html.hpp"
#include "results/report/charts.hpp"
#include "results/report/sections.hpp"

namespace rackproof::results {
namespace {

constexpr std::size_t most_forest_rows = 60;
constexpr std::size_t most_table_rows = 400;
constexpr std::size_t most_differences = 60;

Ink ink_of(Call call) {
  switch (call) {
    case Call::faster:
      return Ink::good;
    case Call::slower:
    case Call::missing:
    case Call::failed:
    case Call::different:
      return Ink::bad;
    case Call::same:
      return Ink::series_0;
    case Call::inconclusive:
    case Call::skipped:
      return Ink::muted;
  }
  return Ink::muted;
}

const char* kind_of_call(Call call) {
  switch (ink_of(call)) {
    case Ink::good:
      return "good";
    case Ink::bad:
      return "bad";
    default:
      return call == Call::inconclusive ? "warn" : "none";
  }
}

bool has_ratio(const ComparedCase& one) { return one.verdict.ratio > 0.0 && std::isfinite(one.verdict.ratio); }

/// Percent that a time is longer.
double longer(double ratio) { return 100.0 * (ratio - 1.0); }

/// The cases to draw: with a ratio, those that differ most where there are too many, the slowest first.
std::vector<const ComparedCase*> forest_rows(const Contrast& contrast) {
  std::vector<const ComparedCase*> rows;
  for (const ComparedCase& one : contrast.cases) {
    if (has_ratio(one)) rows.push_back(&one);
  }
  const auto distance = [](const ComparedCase* one) { return std::abs(std::log(one->verdict.ratio)); };
  if (rows.size() > most_forest_rows) {
    std::stable_sort(rows.begin(), rows.end(), [&](const auto* a, const auto* b) { return distance(a) > distance(b); });
    rows.resize(most_forest_rows);
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto* a, const auto* b) { return a->verdict.ratio > b->verdict.ratio; });
  return rows;
}

bool has_interval(const ComparedCase& one) { return one.verdict.low > 0.0 && std::isfinite(one.verdict.high); }

/// Percent; what lies outside is drawn at the end.
struct ForestRange {
  double low;
  double high;

  [[nodiscard]] double within(double value) const { return std::clamp(value, low, high); }
};

/// Wide enough for all ratios and intervals that are not absurd.
ForestRange range_of_rows(const std::vector<const ComparedCase*>& rows) {
  constexpr ForestRange widest{-80.0, 150.0};
  ForestRange range{-2.0, 2.0};
  for (const ComparedCase* one : rows) {
    const bool known = has_interval(*one);
    range.low = std::min(range.low, widest.within(longer(known ? one->verdict.low : one->verdict.ratio)));
    range.high = std::max(range.high, widest.within(longer(known ? one->verdict.high : one->verdict.ratio)));
  }
  const double pad = 0.04 * (range.high - range.low);
  return {range.low - pad, range.high + pad};
}

std::string draw_forest(const std::vector<const ComparedCase*>& rows, ChartSheet& charts) {
  constexpr int width = 1000;
  constexpr int row_pixels = 18;
  const int height = static_cast<int>(rows.size()) * row_pixels + 62;
  const ForestRange range = range_of_rows(rows);
  std::vector<std::vector<double>> margins;
  std::vector<std::vector<double>> points;
  std::vector<std::string> names;
  std::string labels;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const ComparedCase& one = *rows[i];
    const double y = static_cast<double>(i) + 0.5;
    names.push_back(shortened(one.name, 44));
    labels += fmt::format("{}{} {}", i == 0 ? "" : ", ", charts.label(names.back()), y);
    margins.push_back(
        {range.within(longer(1.0 / (1.0 + one.margin))), range.within(longer(1.0 + one.margin)), y - 0.5, y + 0.5});
    // Too few launches have no interval: the mark stands alone.
    const bool known = has_interval(one);
    const double ratio = range.within(longer(one.verdict.ratio));
    points.push_back({ratio, y, known ? range.within(longer(one.verdict.low)) : ratio,
                      known ? range.within(longer(one.verdict.high)) : ratio,
                      static_cast<double>(colour_number(ink_of(one.call)))});
  }
  std::string script = set_margins(width, height, {label_pixels(names), 24, 6, 46});
  script += linear_axis('x', range.low, range.high, 10);
  script += fmt::format("set yrange [{}:0]\nset ytics ({}) scale 0\nunset grid\nset grid xtics\n", rows.size(), labels);
  script += fmt::format("set arrow from 0, graph 0 to 0, graph 1 nohead linewidth 1 linecolor {} back\n",
                        gnuplot_colour(Ink::muted));
  script += "set xlabel 'time: % longer than the baseline'\n";
  script += data_block("margins", margins) + data_block("points", points);
  script += fmt::format(
      "plot $margins using (($1+$2)/2):(($3+$4)/2):1:2:3:4 with boxxyerror fill solid noborder fillcolor {}, $points "
      "using "
      "1:2:3:4:5 with xerrorbars pointtype 7 pointsize 0.6 linewidth 1.6 linecolor rgb variable\n",
      gnuplot_colour(Ink::grid));
  return charts.add(width, height, "Ratio of times with 95 % intervals, by case", script);
}

std::string side_text(const ComparedCase& one, const ComparedTimes& times) {
  if (times.times.empty()) return "-";
  if (one.figure.name.empty()) return format_duration(times.median);
  return fmt::format("{} {}", format_number(one.figure.value(times.median)), one.figure.unit);
}

std::string launches_needed(const stats::LaunchVerdict& verdict) {
  if (verdict.launches_needed == 0) return {};
  if (verdict.at_least) return fmt::format("≥ {}", verdict.launches_needed);
  return verdict.launches_needed > stats::most_launches ? fmt::format("> {}", stats::most_launches)
                                                        : fmt::format("{}", verdict.launches_needed);
}

std::string table_of_contrast(const Contrast& contrast, const Comparison& comparison) {
  std::vector<const ComparedCase*> rows;
  for (const ComparedCase& one : contrast.cases) rows.push_back(&one);
  if (rows.size() > most_table_rows) {
    std::stable_partition(rows.begin(), rows.end(), [](const ComparedCase* one) { return one->call != Call::same; });
    rows.resize(most_table_rows);
  }
  const auto any = [&](const auto& is) { return std::any_of(rows.begin(), rows.end(), is); };
  const bool margins = any([&](const auto* one) { return one->margin != rows.front()->margin; });
  const bool needed = any([](const auto* one) { return one->verdict.launches_needed != 0; });
  const bool remarks = any([](const auto* one) { return !one->note.empty(); });
  std::vector<HtmlTable::Column> columns{{"case", "", false}, {"call", "", false}, {comparison.base.name},
                                         {contrast.name},     {"longer by", "%"},  {"interval", "%"},
                                         {"p", "after Holm"}};
  if (margins) columns.push_back({"margin", "%"});
  if (needed) columns.push_back({"needs", "launches"});
  if (remarks) columns.push_back({"remark", "", false});
  HtmlTable table("Every case, launches against the baseline", columns);
  for (const ComparedCase* one : rows) {
    const stats::LaunchVerdict& verdict = one->verdict;
    const bool known = has_ratio(*one);
    const std::string interval =
        has_interval(*one) ? fmt::format("{:+.1f} {:+.1f}", longer(verdict.low), longer(verdict.high)) : "-";
    std::vector<HtmlTable::Cell> cells{
        HtmlTable::Cell::text(one->name),
        {fmt::format("<span class=\"badge {}\">{}{}</span>", kind_of_call(one->call), html_text(to_string(one->call)),
                     one->mistrusted ? "?" : ""),
         {}},
        HtmlTable::Cell::number(side_text(*one, one->base), one->base.median),
        HtmlTable::Cell::number(side_text(*one, one->other), one->other.median),
        HtmlTable::Cell::number(known ? fmt::format("{:+.1f}", longer(verdict.ratio)) : "-", verdict.ratio),
        HtmlTable::Cell::number(interval, verdict.high - verdict.low),
        HtmlTable::Cell::number(known ? fmt::format("{:.2g}", verdict.adjusted_p) : "-", verdict.adjusted_p)};
    if (margins) cells.push_back(HtmlTable::Cell::number(fmt::format("{:.1f}", 100.0 * one->margin), one->margin));
    if (needed) cells.push_back(HtmlTable::Cell::number(launches_needed(verdict), verdict.launches_needed));
    if (remarks) cells.push_back(HtmlTable::Cell::text(one->note));
    table.add_row(std::move(cells), ink_of(one->call) == Ink::bad ? "bad" : "");
  }
  std::string out = table.render();
  if (rows.size() < contrast.cases.size()) {
    out += fmt::format("<p class=\"note\">{} more are the same; 'rackproof compare' lists them.</p>\n",
                       contrast.cases.size() - rows.size());
  }
  return out;
}

std::string differences_of(const Contrast& contrast) {
  if (contrast.differences.empty()) {
    return "<p>Both sides were made with the same things, as far as their files tell.</p>\n";
  }
  HtmlTable table("What differs between the sides",
                  {{"what", "", false}, {"baseline", "", false}, {"launches", "", false}});
  std::size_t shown = 0;
  for (const ProvenanceDifference& one : contrast.differences) {
    if (shown++ == most_differences) break;
    table.add_row(
        {HtmlTable::Cell::text(one.subject), HtmlTable::Cell::text(one.base), HtmlTable::Cell::text(one.other)});
  }
  std::string out = table.render();
  if (contrast.differences.size() > most_differences) {
    out += fmt::format("<p class=\"note\">and {} more.</p>\n", contrast.differences.size() - most_differences);
  }
  return out;
}

std::string summary_of(const Contrast& contrast) {
  std::string out = "<ul>";
  for (const ComparedSuite& suite : contrast.suites) {
    out +=
        fmt::format("<li><b>{}</b>: {} faster, {} slower, {} same, {} inconclusive, {} failing or missing",
                    html_text(suite.name), suite.faster, suite.slower, suite.same, suite.inconclusive, suite.failing);
    if (std::isfinite(suite.ratio)) {
      out += fmt::format("; over {} cases time {:+.1f} %", suite.cases, longer(suite.ratio));
      if (suite.low > 0.0 && std::isfinite(suite.high)) {
        out += fmt::format(" ({:+.1f} to {:+.1f})", longer(suite.low), longer(suite.high));
      }
    }
    out += "</li>";
  }
  return out + "</ul>\n";
}

}  // namespace

std::string comparison_section(const ReportJudgement& judgement, ChartSheet& charts) {
  if (!judgement.comparison) return {};
  const Comparison& comparison = *judgement.comparison;
  std::string out;
  for (const std::string& warning : comparison.warnings)
    out += "<p class=\"banner\">" + html_text(warning, 600) + "</p>\n";
  for (const Contrast& contrast : comparison.contrasts) {
    out += summary_of(contrast);
    const std::vector<const ComparedCase*> rows = forest_rows(contrast);
    if (!rows.empty()) {
      const std::string caption = fmt::format(
          "Ratio of times by Hodges and Lehmann, with {:.0f} % intervals over launches ({} against {}); the band is "
          "the "
          "margin within which a difference does not matter.{}",
          100.0 * comparison.confidence, comparison.others.front().files.size(), comparison.base.files.size(),
          rows.size() < contrast.cases.size() && rows.size() == most_forest_rows
              ? fmt::format(" The {} cases that differ most.", rows.size())
              : std::string{});
      out += figure("wide", html_text(caption, 1000), draw_forest(rows, charts),
                    legend({{Ink::good, "FASTER"},
                            {Ink::bad, "SLOWER"},
                            {Ink::series_0, "SAME"},
                            {Ink::muted, "INCONCLUSIVE"},
                            {Ink::grid, "margin"}}));
    }
    out += table_of_contrast(contrast, comparison) + differences_of(contrast);
  }
  return out;
}

}  // namespace rackproof::results
