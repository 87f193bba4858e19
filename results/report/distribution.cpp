// How the times of a case are distributed: empirical distribution functions.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/core/units.hpp"
#include "common/stats/order_statistics.hpp"
#include "results/html.hpp"
#include "results/report/charts.hpp"
#include "results/report/sections.hpp"

namespace rackproof::results {
namespace {

constexpr std::size_t most_charts = 60;        ///< on the page
constexpr std::size_t charts_in_sight = 12;    ///< the others unfold
constexpr std::size_t most_line_points = 120;  ///< of one line
constexpr std::size_t most_ranks_apart = 16;   ///< with more, a line is over ranks
constexpr std::size_t most_lines = 8;          ///< launches

/// One empirical distribution function.
struct EcdfLine {
  std::vector<double> times;  ///< s, sorted
  Ink ink = Ink::series_0;
  double width = 1.6;
};

struct EcdfChart {
  std::vector<EcdfLine> lines;  ///< later ones are drawn over earlier ones
  std::string what;             ///< whose times: "samples", ...
};

std::vector<double> sorted(std::vector<double> times) {
  std::erase_if(times, [](double t) { return !std::isfinite(t); });
  std::sort(times.begin(), times.end());
  return times;
}

std::vector<double> samples_of(const RankBlock& block, std::size_t row) {
  const auto begin = block.time.begin() + static_cast<std::ptrdiff_t>(row * static_cast<std::size_t>(block.columns));
  return {begin, begin + block.samples[row]};
}

/// Of one run, the ranks one by one, the slowest last.
EcdfChart chart_of_ranks(const ReportRun& run, CasePlace place) {
  EcdfChart chart{{}, "samples of each rank"};
  const auto ranks = static_cast<int>(run.run().ranks.size());
  const RankBlock block = run.file().block(place.suite, place.which, 0, ranks);
  double largest = 0.0;
  std::size_t slowest = 0;
  for (std::size_t row = 0; row < block.samples.size(); ++row) {
    chart.lines.push_back({sorted(samples_of(block, row)), ranks == 1 ? Ink::series_0 : Ink::muted, 1.0});
    const double median = stats::median(chart.lines.back().times);
    if (median > largest) {
      largest = median;
      slowest = row;
    }
  }
  if (ranks == 1) return chart;
  chart.lines[slowest].ink = Ink::series_1;
  chart.lines[slowest].width = 1.6;
  std::swap(chart.lines[slowest], chart.lines.back());
  return chart;
}

std::vector<double> times_of_run(const ReportRun& run, CasePlace place, bool collective, std::string& what) {
  if (collective) {
    what = "samples";
    return sorted(run.file().figure_time(place.suite, place.which));
  }
  const auto ranks = run.run().ranks.size();
  if (ranks > most_ranks_apart) {
    what = "medians of the ranks";
    return sorted(run.of(place).rank_time);
  }
  what = "samples of all ranks";
  const RankBlock block = run.file().block(place.suite, place.which, 0, static_cast<int>(ranks));
  std::vector<double> all;
  for (std::size_t row = 0; row < block.samples.size(); ++row) {
    const std::vector<double> own = samples_of(block, row);
    all.insert(all.end(), own.begin(), own.end());
  }
  return sorted(std::move(all));
}

EcdfChart chart_of(const ReportData& data, const ReportCase& one) {
  const bool collective = data.header(one).collective;
  const std::size_t ranks = data.last().run().ranks.size();
  const bool alone = data.runs.size() == 1 && data.baseline.empty();
  EcdfChart chart;
  if (alone && !collective && ranks <= most_ranks_apart && one.at[0]) {
    chart = chart_of_ranks(data.runs[0], *one.at[0]);
    std::erase_if(chart.lines, [](const EcdfLine& line) { return line.times.empty(); });
    return chart;
  }
  for (std::size_t r = 0; r < std::min(data.baseline.size(), most_lines); ++r) {
    if (!one.at_base[r]) continue;
    chart.lines.push_back({times_of_run(data.baseline[r], *one.at_base[r], collective, chart.what), Ink::muted, 1.0});
  }
  for (std::size_t r = data.runs.size() - std::min(data.runs.size(), most_lines); r < data.runs.size(); ++r) {
    if (!one.at[r]) continue;
    // Against a baseline the colour tells the side, otherwise the launch.
    const Ink ink = data.baseline.empty() ? series_ink(r) : Ink::series_0;
    chart.lines.push_back({times_of_run(data.runs[r], *one.at[r], collective, chart.what), ink, 1.3});
  }
  std::erase_if(chart.lines, [](const EcdfLine& line) { return line.times.empty(); });
  return chart;
}

/// Where the axis ends: far tails would squeeze everything else, and are told in the caption.
std::pair<double, double> range_of_lines(const std::vector<EcdfLine>& lines) {
  double low = std::numeric_limits<double>::infinity();
  double high = 0.0;
  for (const EcdfLine& line : lines) {
    const double first = stats::quantile(line.times, 0.25);
    const double third = stats::quantile(line.times, 0.75);
    const double reach = std::max(5.0 * (third - first), 0.02 * third);
    low = std::min(low, std::max(line.times.front(), first - reach));
    high = std::max(high, std::min(line.times.back(), third + reach));
  }
  const double pad = std::max(0.03 * (high - low), 1e-3 * high);
  return {std::max(0.0, low - pad), high + pad};
}

std::vector<std::vector<double>> steps_of(const EcdfLine& line, double factor) {
  const std::size_t count = line.times.size();
  std::vector<std::vector<double>> rows{{factor * line.times.front(), 0.0}};
  const std::size_t points = std::min(count, most_line_points);
  for (std::size_t i = 0; i < points; ++i) {
    const std::size_t at = points == count ? i : (i + 1) * count / points - 1;
    rows.push_back({factor * line.times[at], 100.0 * static_cast<double>(at + 1) / static_cast<double>(count)});
  }
  return rows;
}

/// A limit that is this many times as long as all samples would squeeze them: it is told, not drawn.
constexpr double far_limit = 3.0;

/// Lines at the limits that are near enough; the range grows with them.
std::vector<double> limits_to_draw(const std::vector<CaseLimit>& limits, std::pair<double, double>& range) {
  std::vector<double> drawn;
  for (const CaseLimit& limit : limits) {
    if (limit.seconds > far_limit * range.second || limit.seconds * far_limit < range.first) continue;
    drawn.push_back(limit.seconds);
  }
  const double pad = 0.03 * (range.second - range.first);
  for (const double limit : drawn) {
    range.first = std::min(range.first, limit - pad);
    range.second = std::max(range.second, limit + pad);
  }
  return drawn;
}

std::string draw(const ReportCase& one, const EcdfChart& chart, const std::vector<CaseLimit>& limits,
                 ChartSheet& charts) {
  constexpr int width = 340;
  constexpr int height = 180;
  auto range = range_of_lines(chart.lines);
  const std::vector<double> drawn_limits = limits_to_draw(limits, range);
  const auto [low, high] = range;
  const ChartUnit unit = time_unit(high);
  std::string script = set_margins(width, height, {38, 14, 10, 40});
  script += linear_axis('x', low * unit.factor, high * unit.factor, 4);
  script += "set yrange [0:100]\nset ytics 25\n";
  script += fmt::format("set xlabel '{}'\n", unit.name);
  for (const double limit : drawn_limits) {
    script += fmt::format(
        "set arrow from {0:.7g}, graph 0 to {0:.7g}, graph 1 nohead linewidth 1.6 dashtype (6,4) linecolor {1} front\n",
        limit * unit.factor, gnuplot_colour(Ink::bad));
  }
  std::string plots;
  for (std::size_t i = 0; i < chart.lines.size(); ++i) {
    const std::string name = fmt::format("l{}", i);
    script += data_block(name, steps_of(chart.lines[i], unit.factor));
    plots += fmt::format("{}${} using 1:2 with steps linewidth {} linecolor {}", plots.empty() ? "plot " : ", ", name,
                         chart.lines[i].width, gnuplot_colour(chart.lines[i].ink));
  }
  const std::vector<double>& last = chart.lines.back().times;
  const std::string says = fmt::format("p50 {}, p95 {}, largest {}", format_duration(stats::median(last)),
                                       format_duration(stats::quantile(last, 0.95)), format_duration(last.back()));
  std::string limit_text;
  for (const CaseLimit& limit : limits) {
    limit_text += fmt::format(", limit {}{}", limit.longer ? "" : "at least ", format_duration(limit.seconds));
  }
  const std::string drawn = charts.add(
      width, height, fmt::format("Distribution of {} of {}: {}", chart.what, one.name, says), script + plots + "\n");
  return figure("small", fmt::format("<b>{}</b><small>{}</small>", html_text(one.name), html_text(says + limit_text)),
                drawn);
}

std::string explanation(const ReportData& data, bool with_limits) {
  const std::size_t ranks = data.last().run().ranks.size();
  std::vector<std::pair<Ink, std::string>> entries;
  std::string text = "Share of the samples (%) that took at most so long.";
  if (ranks > most_ranks_apart) {
    text += " Of cases that every rank runs by itself: share of the ranks whose median is at most so long.";
  }
  if (!data.baseline.empty()) {
    entries = {{Ink::series_0, "launches"}, {Ink::muted, "baseline"}};
  } else if (data.runs.size() > 1) {
    for (std::size_t r = data.runs.size() - std::min(data.runs.size(), most_lines); r < data.runs.size(); ++r) {
      entries.emplace_back(series_ink(r), data.runs[r].name);
    }
  } else if (ranks > 1 && ranks <= most_ranks_apart) {
    entries = {{Ink::series_0, "all ranks together"}, {Ink::series_1, "slowest rank"}, {Ink::muted, "other ranks"}};
  }
  if (with_limits) entries.emplace_back(Ink::bad, "limit");
  return fmt::format("<p>{} Figures in captions are those of the {}.</p>{}", text,
                     data.runs.size() > 1 ? "last launch" : "job, or of the slowest rank",
                     entries.empty() ? "" : legend(entries));
}

}  // namespace

std::string distribution_section(const ReportData& data, const ReportJudgement& judgement, ChartSheet& charts) {
  std::vector<const ReportCase*> wanted;
  for (const ReportCase& one : data.cases) {
    if (std::isfinite(data.time(one))) wanted.push_back(&one);
  }
  if (wanted.empty()) return {};
  const std::size_t all = wanted.size();
  if (all > most_charts) {
    std::stable_partition(wanted.begin(), wanted.end(), [&](const ReportCase* one) {
      return data.status(*one) != Status::passed || !judgement.limits_of(*one).empty();
    });
    wanted.resize(most_charts);
  }
  std::string in_sight;
  std::string folded;
  std::size_t drawn = 0;
  for (const ReportCase* one : wanted) {
    const EcdfChart chart = chart_of(data, *one);
    if (chart.lines.empty()) continue;
    (drawn++ < charts_in_sight ? in_sight : folded) += draw(*one, chart, judgement.limits_of(*one), charts);
  }
  std::string out = explanation(data, !judgement.by_case.empty()) + "<div class=\"tiles\">\n" + in_sight + "</div>\n";
  if (!folded.empty()) {
    out += fmt::format("<details><summary>{} more</summary><div class=\"tiles\">\n{}</div></details>\n",
                       drawn - charts_in_sight, folded);
  }
  if (all > wanted.size()) {
    out += fmt::format("<p class=\"note\">{} more cases are in the file.</p>\n", all - wanted.size());
  }
  return out;
}

}  // namespace rackproof::results
