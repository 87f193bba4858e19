// Ranks and cases: who is slower than the median over ranks, and at what.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "common/core/units.hpp"
#include "common/stats/order_statistics.hpp"
#include "results/html.hpp"
#include "results/report/charts.hpp"
#include "results/report/sections.hpp"

namespace rackproof::results {
namespace {

constexpr std::size_t most_case_rows = 40;
constexpr std::size_t most_columns = 96;
constexpr std::size_t most_worst = 20;
constexpr double rank_step = 0.01;  ///< of a level of colour, at least

struct RankRow {
  const ReportCase* which = nullptr;
  std::vector<double> ratio;  ///< (R) time over the median of the ranks; NaN where there is none
  double worst = 0.0;         ///< the largest
};

std::vector<RankRow> rank_rows(const ReportData& data) {
  std::vector<RankRow> rows;
  for (const ReportCase& one : data.cases) {
    if (!data.is_of_ranks(one)) continue;
    std::vector<double> times = data.rank_times(one);
    const double median = stats::median(times);
    if (!(median > 0.0)) continue;
    double worst = 0.0;
    for (double& time : times) {
      time /= median;
      worst = std::fmax(worst, time);
    }
    rows.push_back({&one, std::move(times), worst});
  }
  return rows;
}

/// The slowest of each run of `width` ranks.
std::vector<int> levels_of(const RankRow& row, std::size_t width, double step) {
  std::vector<int> levels;
  for (std::size_t first = 0; first < row.ratio.size(); first += width) {
    const std::size_t end = std::min(first + width, row.ratio.size());
    double worst = std::nan("");
    for (std::size_t r = first; r < end; ++r) worst = std::fmax(worst, row.ratio[r]);
    levels.push_back(heat_level(worst, step));
  }
  return levels;
}

/// So that the largest deviation is about at the end of the scale, and noise of a percent stays pale.
double step_of(const std::vector<RankRow>& rows) {
  double largest = 1.0;
  for (const RankRow& row : rows) largest = std::max(largest, row.worst);
  constexpr int levels_above = heat_levels / 2;
  const double wanted = std::expm1(std::log(largest) / levels_above);
  for (const double step : {rank_step, 0.02, 0.03, 0.05, 0.08}) {
    if (wanted <= step) return step;
  }
  return 0.1;
}

/// How many ranks are in a column: nodes stay whole where every one has as many.
std::size_t column_width(const RunHeader& header) {
  const std::size_t ranks = header.ranks.size();
  const std::size_t least = (ranks + most_columns - 1) / most_columns;
  if (least <= 1) return 1;
  std::size_t per_node = 0;
  while (per_node < ranks && header.ranks[per_node].node_index == header.ranks.front().node_index) ++per_node;
  return (least + per_node - 1) / per_node * per_node;
}

std::string draw_ranks(const std::vector<RankRow>& rows, std::size_t ranks, std::size_t width, double step,
                       ChartSheet& charts) {
  constexpr int cell = 16;
  constexpr int pixels = 1000;
  const int height = static_cast<int>(rows.size()) * cell + 60;
  std::vector<std::vector<int>> levels;
  std::vector<std::string> names;
  std::string labels;
  for (const RankRow& row : rows) {
    names.push_back(shortened(row.which->name, 36));
    labels += fmt::format("{}{} {}", labels.empty() ? "" : ", ", charts.label(names.back()),
                          static_cast<double>(levels.size()) + 0.5);
    levels.push_back(levels_of(row, width, step));
  }
  const std::size_t columns = levels.front().size();
  std::string script = set_margins(pixels, height, {label_pixels(names), 12, 6, 50});
  script += fmt::format("set border 0\nunset grid\nset yrange [{}:0]\nset ytics ({}) scale 0\n", rows.size(), labels);
  const double tick = std::max(1.0, nice_step(static_cast<double>(columns), 12));
  std::string ticks;
  for (double x = 0.0; x < static_cast<double>(columns); x += tick) {
    ticks += fmt::format("{}'{:.0f}' {}", ticks.empty() ? "" : ", ", x * static_cast<double>(width), x + 0.5);
  }
  script += fmt::format("set xrange [0:{}]\nset xtics ({}) scale 0\nset xlabel 'rank'\n", columns, ticks);
  return charts.add(pixels, height,
                    fmt::format("Heat map of {} cases over {} ranks, relative to the median", rows.size(), ranks),
                    script + heat_map(levels));
}

std::string worst_table(const ReportData& data, const std::vector<RankRow>& rows) {
  struct Worst {
    const RankRow* row;
    std::size_t rank;
  };
  // Of every rank its worst case, then the worst ranks.
  std::vector<Worst> all;
  for (std::size_t rank = 0; rank < rows.front().ratio.size(); ++rank) {
    const RankRow* worst = nullptr;
    for (const RankRow& row : rows) {
      if (rank >= row.ratio.size() || !std::isfinite(row.ratio[rank])) continue;
      if (worst == nullptr || row.ratio[rank] > worst->ratio[rank]) worst = &row;
    }
    if (worst != nullptr) all.push_back({worst, rank});
  }
  const auto shown = static_cast<std::ptrdiff_t>(std::min(all.size(), most_worst));
  std::partial_sort(all.begin(), all.begin() + shown, all.end(),
                    [](const Worst& a, const Worst& b) { return a.row->ratio[a.rank] > b.row->ratio[b.rank]; });
  all.resize(static_cast<std::size_t>(shown));
  HtmlTable table(fmt::format("The slowest {} of {} ranks, each at its worst case", shown, rows.front().ratio.size()),
                  {{"rank"},
                   {"node", "", false},
                   {"device", "", false},
                   {"serial", "", false},
                   {"slower by", "%"},
                   {"at", "", false},
                   {"its time"},
                   {"median of ranks"}});
  for (const Worst& one : all) {
    const RankHeader& rank = data.last().run().ranks.at(one.rank);
    const double excess = one.row->ratio[one.rank] - 1.0;
    const double time = data.rank_times(*one.row->which)[one.rank];
    const double typical = time / one.row->ratio[one.rank];
    table.add_row({HtmlTable::Cell::number(fmt::format("{}", one.rank), static_cast<double>(one.rank)),
                   HtmlTable::Cell::text(rank.hostname), HtmlTable::Cell::text(rank.device_id),
                   HtmlTable::Cell::text(rank.serial),
                   HtmlTable::Cell::number(fmt::format("{:.1f}", 100.0 * excess), excess),
                   HtmlTable::Cell::text(one.row->which->name), HtmlTable::Cell::number(format_duration(time), time),
                   HtmlTable::Cell::number(format_duration(typical), typical)});
  }
  return table.render();
}

}  // namespace

std::string rank_section(const ReportData& data, ChartSheet& charts) {
  const RunHeader& header = data.last().run();
  std::vector<RankRow> rows = rank_rows(data);
  if (rows.empty() || header.ranks.size() < 2) return {};
  const std::string table = worst_table(data, rows);
  const std::size_t all = rows.size();
  if (all > most_case_rows) {
    // Those with the largest deviations, in the order of the file.
    std::vector<double> worst;
    for (const RankRow& row : rows) worst.push_back(row.worst);
    std::nth_element(worst.begin(), worst.begin() + most_case_rows - 1, worst.end(), std::greater<>());
    const double least = worst[most_case_rows - 1];
    std::erase_if(rows, [&](const RankRow& row) { return row.worst < least; });
    rows.resize(std::min(rows.size(), most_case_rows));
  }
  const std::size_t width = column_width(header);
  const double step = step_of(rows);
  std::string text =
      "Time of every rank over the median of the ranks, for the cases that ranks run by themselves; in "
      "collective cases all wait for the slowest.";
  if (width > 1) text += fmt::format(" A column is {} ranks, and shows the slowest of them.", width);
  if (rows.size() < all) text += fmt::format(" The {} cases with the largest deviations of {}.", rows.size(), all);
  if (!data.same_ranks) text += " The launches had different machines: these are the ranks of the last one.";
  return figure("wide cells", html_text(text, 1000), draw_ranks(rows, header.ranks.size(), width, step, charts),
                heat_legend(step, "faster", "slower")) +
         table;
}

}  // namespace rackproof::results
