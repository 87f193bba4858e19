// Which pair of ranks (or nodes) gets which bandwidth.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "common/core/units.hpp"
#include "common/stats/order_statistics.hpp"
#include "results/html.hpp"
#include "results/links.hpp"
#include "results/report/charts.hpp"
#include "results/report/sections.hpp"

namespace rackproof::results {
namespace {

constexpr std::size_t most_blocks = 64;  ///< rows and columns of a matrix
constexpr std::size_t most_series = 3;
constexpr double pair_step = 0.03;

/// The endpoints that met anybody, and which row of the matrix each is in.
struct PairRows {
  std::vector<int> endpoints;  ///< ranks, ascending
  std::size_t width = 1;       ///< endpoints in a row

  [[nodiscard]] std::size_t count() const { return (endpoints.size() + width - 1) / width; }
  [[nodiscard]] std::size_t row_of(int rank) const {
    const auto found = std::lower_bound(endpoints.begin(), endpoints.end(), rank);
    return static_cast<std::size_t>(found - endpoints.begin()) / width;
  }
};

PairRows rows_of(const LinkSeries& series) {
  std::set<int> met;
  for (const stats::PairTime& time : series.times) met.insert({time.a, time.b});
  PairRows rows;
  rows.endpoints.assign(met.begin(), met.end());
  rows.width = (rows.endpoints.size() + most_blocks - 1) / most_blocks;
  return rows;
}

/// Pairs inside a node and pairs between nodes go different ways: each is compared with its own kind.
bool is_inside(const LinkSeries& series, const stats::PairTime& time) {
  return series.options.node_of[static_cast<std::size_t>(time.a)] ==
         series.options.node_of[static_cast<std::size_t>(time.b)];
}

struct PairMedians {
  double inside = std::nan("");   ///< s
  double between = std::nan("");  ///< s

  [[nodiscard]] double of(bool is_inside_node) const { return is_inside_node ? inside : between; }
};

PairMedians medians_of(const LinkSeries& series) {
  std::vector<double> inside;
  std::vector<double> between;
  for (const stats::PairTime& time : series.times) (is_inside(series, time) ? inside : between).push_back(time.seconds);
  return {stats::median(inside), stats::median(between)};
}

/// The slowest meeting of each pair of rows, over the median of its kind.
std::vector<std::vector<int>> levels_of(const LinkSeries& series, const PairRows& rows, const PairMedians& medians) {
  std::vector<std::vector<double>> ratio(rows.count(), std::vector<double>(rows.count(), std::nan("")));
  for (const stats::PairTime& time : series.times) {
    const double value = time.seconds / medians.of(is_inside(series, time));
    const std::size_t a = rows.row_of(time.a);
    const std::size_t b = rows.row_of(time.b);
    ratio[a][b] = std::fmax(ratio[a][b], value);
    ratio[b][a] = ratio[a][b];
  }
  std::vector<std::vector<int>> levels;
  for (const std::vector<double>& row : ratio) {
    auto& out = levels.emplace_back();
    for (const double value : row) out.push_back(heat_level(value, pair_step));
  }
  return levels;
}

std::string pair_ticks(const PairRows& rows) {
  const double step = std::max(1.0, nice_step(static_cast<double>(rows.count()), 8));
  std::string ticks;
  for (double x = 0.0; x < static_cast<double>(rows.count()); x += step) {
    const int rank = rows.endpoints[static_cast<std::size_t>(x) * rows.width];
    ticks += fmt::format("{}'{}' {}", ticks.empty() ? "" : ", ", rank, x + 0.5);
  }
  return ticks;
}

std::string name_of_series(const LinkSeries& series) {
  return fmt::format("{} {}", format_bytes(static_cast<double>(series.message_size)), series.direction);
}

std::string figure_text(const LinkSeries& series, double seconds) {
  if (series.figures.empty()) return format_duration(seconds);
  const FigureHeader& figure = series.figures.front();
  return fmt::format("{} {}", format_number(figure.value(seconds)), figure.unit);
}

std::string draw_pairs(const LinkSeries& series, ChartSheet& charts) {
  constexpr int width = 420;
  constexpr int height = 420;
  const PairRows rows = rows_of(series);
  const PairMedians medians = medians_of(series);
  std::string script = set_margins(width, height, {52, 10, 8, 50});
  const std::string ticks = pair_ticks(rows);
  script += fmt::format(
      "set border 0\nunset grid\nset xrange [0:{0}]\nset yrange [{0}:0]\nset xtics ({1}) scale 0\nset ytics ({1}) "
      "scale "
      "0\nset xlabel 'rank'\nset ylabel 'rank'\n",
      rows.count(), ticks);
  std::string caption = fmt::format("<b>{}</b><small>", html_text(name_of_series(series)));
  if (std::isfinite(medians.inside))
    caption += fmt::format("inside a node {} ", html_text(figure_text(series, medians.inside)));
  if (std::isfinite(medians.between)) {
    caption += fmt::format("between nodes {} ", html_text(figure_text(series, medians.between)));
  }
  caption += "(medians)</small>";
  std::string below;
  if (rows.width > 1)
    below = fmt::format("<p class=\"note\">A cell is the slowest of {0} x {0} ranks.</p>", rows.width);
  return figure("medium cells", caption,
                charts.add(width, height, fmt::format("Matrix of pairs, {}", name_of_series(series)),
                           script + heat_map(levels_of(series, rows, medians))),
                below);
}

/// The largest messages of every direction, and the smallest of all.
std::vector<const LinkSeries*> series_to_show(const std::vector<LinkSeries>& all) {
  std::map<std::string, const LinkSeries*> largest;
  const LinkSeries* smallest = nullptr;
  for (const LinkSeries& series : all) {
    if (series.times.empty()) continue;
    const LinkSeries*& known = largest[series.direction];
    if (known == nullptr || known->message_size < series.message_size) known = &series;
    if (smallest == nullptr || series.message_size < smallest->message_size) smallest = &series;
  }
  std::vector<const LinkSeries*> shown;
  for (const auto& [direction, series] : largest) shown.push_back(series);
  if (smallest != nullptr && std::find(shown.begin(), shown.end(), smallest) == shown.end()) shown.push_back(smallest);
  shown.resize(std::min(shown.size(), most_series));
  return shown;
}

}  // namespace

std::string pair_section(const ReportData& data, ChartSheet& charts) {
  const ResultFile& file = data.last().file();
  std::string out;
  for (std::size_t s = 0; s < file.header().suites.size(); ++s) {
    if (!file.header().suites[s].pairs) continue;
    const std::vector<LinkSeries>& all = data.last().links[s];
    std::string tiles;
    for (const LinkSeries* series : series_to_show(all)) tiles += draw_pairs(*series, charts);
    if (tiles.empty()) continue;
    out +=
        "<p>Time of each pair over the median of its kind: inside a node, or between nodes. Empty: did not meet.</p>" +
        heat_legend(pair_step, "faster", "slower") + "<div class=\"tiles\">\n" + tiles + "</div>\n";
    const std::string words = link_verdicts(file, all);
    if (!words.empty()) out += "<pre class=\"words\">" + html_lines(words, 20'000) + "</pre>\n";
  }
  if (!out.empty() && data.runs.size() > 1) {
    out = fmt::format("<p class=\"note\">Of the last launch, {}.</p>\n", html_text(data.last().name)) + out;
  }
  return out;
}

}  // namespace rackproof::results
