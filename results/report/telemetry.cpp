// What the devices felt while they were measured.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "common/stats/order_statistics.hpp"
#include "results/html.hpp"
#include "results/report/charts.hpp"
#include "results/report/sections.hpp"
#include "results/telemetry_report.hpp"

namespace rackproof::results {
namespace {

/// Levels that are drawn, where the file has them; at most so many.
constexpr std::array<std::string_view, 6> drawn_levels{"power",     "clock",     "temperature",
                                                       "cpu_clock", "cpu_power", "cpu_steal"};
constexpr std::size_t most_devices = 128;  ///< that are read; with more, every n-th
constexpr std::size_t most_lines_apart = 8;
constexpr std::size_t time_bins = 240;

/// One device's readings of one quantity.
struct TelemetryLine {
  std::size_t rank;
  std::vector<double> time;
  std::vector<double> value;
};

struct TelemetryChart {
  std::string name;
  std::string unit;
  std::vector<TelemetryLine> lines;
};

/// Appends what one rank of a block read of a column, if anything.
void take_line(const TelemetryBlock& block, std::size_t row, std::size_t column, TelemetryChart& chart) {
  TelemetryLine line{static_cast<std::size_t>(block.first_rank) + row, {}, {}};
  const std::size_t offset = row * static_cast<std::size_t>(block.columns);
  for (std::size_t t = 0; t < static_cast<std::size_t>(block.ticks[row]); ++t) {
    const double value = static_cast<double>(block.values[column][offset + t]);
    if (!std::isfinite(value) || !std::isfinite(block.time[offset + t])) continue;
    line.time.push_back(block.time[offset + t]);
    line.value.push_back(value);
  }
  if (line.time.size() > 1) chart.lines.push_back(std::move(line));
}

std::vector<TelemetryChart> charts_of(const ReportRun& run) {
  const RunHeader& header = run.run();
  std::vector<TelemetryChart> all;
  std::vector<std::size_t> columns;
  for (const std::string_view name : drawn_levels) {
    for (std::size_t c = 0; c < header.telemetry.size(); ++c) {
      if (header.telemetry[c].name != name) continue;
      all.push_back({header.telemetry[c].name, header.telemetry[c].unit, {}});
      columns.push_back(c);
    }
  }
  if (columns.empty()) return {};
  const std::size_t ranks = header.ranks.size();
  const std::size_t step = (ranks + most_devices - 1) / most_devices;
  for (std::size_t rank = 0; rank < ranks; rank += step) {
    const TelemetryBlock block = run.file().telemetry(static_cast<int>(rank), 1);
    for (std::size_t c = 0; c < columns.size(); ++c) take_line(block, 0, columns[c], all[c]);
  }
  std::erase_if(all, [](const TelemetryChart& chart) { return chart.lines.empty(); });
  return all;
}

struct TelemetrySpan {
  double begin;  ///< s
  double end;
};

TelemetrySpan span_of(const std::vector<TelemetryChart>& all) {
  TelemetrySpan span{1e300, -1e300};
  for (const TelemetryChart& chart : all) {
    for (const TelemetryLine& line : chart.lines) {
      span.begin = std::min(span.begin, line.time.front());
      span.end = std::max(span.end, line.time.back());
    }
  }
  return span;
}

/// Mean in each bin of time: (seconds since the beginning, value), without empty bins.
std::vector<std::vector<double>> binned(const TelemetryLine& line, const TelemetrySpan& span) {
  std::vector<double> sum(time_bins, 0.0);
  std::vector<double> count(time_bins, 0.0);
  const double width = std::max(span.end - span.begin, 1e-9) / time_bins;
  for (std::size_t i = 0; i < line.time.size(); ++i) {
    const auto bin =
        std::min(time_bins - 1, static_cast<std::size_t>(std::max(0.0, line.time[i] - span.begin) / width));
    sum[bin] += line.value[i];
    count[bin] += 1.0;
  }
  std::vector<std::vector<double>> rows;
  for (std::size_t b = 0; b < time_bins; ++b) {
    if (count[b] > 0.0) rows.push_back({(static_cast<double>(b) + 0.5) * width, sum[b] / count[b]});
  }
  return rows;
}

/// Of many devices: (time, least, median, largest).
std::vector<std::vector<double>> band_of(const TelemetryChart& chart, const TelemetrySpan& span) {
  std::vector<std::vector<double>> by_bin(time_bins);
  const double width = std::max(span.end - span.begin, 1e-9) / time_bins;
  for (const TelemetryLine& line : chart.lines) {
    for (const std::vector<double>& row : binned(line, span)) {
      by_bin[std::min(time_bins - 1, static_cast<std::size_t>(row[0] / width))].push_back(row[1]);
    }
  }
  std::vector<std::vector<double>> rows;
  for (std::size_t b = 0; b < time_bins; ++b) {
    if (by_bin[b].empty()) continue;
    const auto [low, high] = std::minmax_element(by_bin[b].begin(), by_bin[b].end());
    rows.push_back({(static_cast<double>(b) + 0.5) * width, *low, stats::median(by_bin[b]), *high});
  }
  return rows;
}

std::string lines_script(const TelemetryChart& chart, const TelemetrySpan& span) {
  std::string script;
  std::string plots;
  for (std::size_t i = 0; i < chart.lines.size(); ++i) {
    script += data_block(fmt::format("d{}", i), binned(chart.lines[i], span));
    plots += fmt::format("{}$d{} using 1:2 with lines linewidth 1.4 linecolor {}", i == 0 ? "plot " : ", ", i,
                         gnuplot_colour(series_ink(i)));
  }
  return script + plots + "\n";
}

std::string band_script(const TelemetryChart& chart, const TelemetrySpan& span) {
  return data_block("band", band_of(chart, span)) +
         fmt::format(
             "plot $band using 1:2:4 with filledcurves fillcolor {} fill transparent solid 0.35 noborder, $band using "
             "1:3 with lines linewidth 1.6 linecolor {}\n",
             gnuplot_colour(Ink::muted), gnuplot_colour(Ink::series_0));
}

std::string draw_telemetry(const TelemetryChart& chart, const TelemetrySpan& span, ChartSheet& charts) {
  constexpr int width = 520;
  constexpr int height = 200;
  double low = 1e300;
  double high = -1e300;
  for (const TelemetryLine& line : chart.lines) {
    low = std::min(low, *std::min_element(line.value.begin(), line.value.end()));
    high = std::max(high, *std::max_element(line.value.begin(), line.value.end()));
  }
  const double pad = std::max(0.08 * (high - low), 1e-3 * std::abs(high));
  std::string script = set_margins(width, height, {56, 14, 10, 42});
  script += linear_axis('x', 0.0, span.end - span.begin, 8);
  script += linear_axis('y', low >= 0.0 ? std::max(0.0, low - pad) : low - pad, high + pad, 4);
  script += "set xlabel 's'\n";
  const bool apart = chart.lines.size() <= most_lines_apart;
  script += apart ? lines_script(chart, span) : band_script(chart, span);
  const std::string unit = chart.unit.empty() ? "" : fmt::format(" <small>{}</small>", html_text(chart.unit));
  return figure("medium", fmt::format("<b>{}</b>{}", html_text(chart.name), unit),
                charts.add(width, height, fmt::format("{} over time", chart.name), script));
}

std::string legend_of(const ReportRun& run, const std::vector<TelemetryChart>& all) {
  const TelemetryChart& most = *std::max_element(
      all.begin(), all.end(), [](const auto& a, const auto& b) { return a.lines.size() < b.lines.size(); });
  std::vector<std::pair<Ink, std::string>> entries;
  if (most.lines.size() <= most_lines_apart) {
    for (std::size_t i = 0; i < most.lines.size(); ++i) {
      entries.emplace_back(series_ink(i), place_of_rank(run.run(), most.lines[i].rank));
    }
  } else {
    entries = {{Ink::series_0, "median of the devices"}, {Ink::muted, "least to largest"}};
  }
  return legend(entries);
}

}  // namespace

std::string telemetry_section(const ReportData& data, ChartSheet& charts) {
  const ReportRun& run = data.last();
  const std::vector<TelemetryChart> all = charts_of(run);
  if (all.empty()) return {};
  const TelemetrySpan span = span_of(all);
  std::string out;
  if (data.runs.size() > 1) out += fmt::format("<p class=\"note\">Of the last launch, {}.</p>\n", html_text(run.name));
  const std::size_t ranks = run.run().ranks.size();
  if (ranks > most_devices) {
    out += fmt::format("<p class=\"note\">Of every {}th of {} ranks.</p>\n", (ranks + most_devices - 1) / most_devices,
                       ranks);
  }
  out += legend_of(run, all) + "<div class=\"tiles\">\n";
  for (const TelemetryChart& chart : all) out += draw_telemetry(chart, span, charts);
  out += "</div>\n";
  constexpr std::size_t most_ranks_for_table = 1024;
  constexpr std::size_t most_rows = 16;
  if (ranks <= most_ranks_for_table) {
    const std::string table = telemetry_report(run.file(), most_rows);
    if (!table.empty())
      out += "<div class=\"scroll\" tabindex=\"0\"><pre>" + html_lines(table, 40'000) + "</pre></div>\n";
  }
  return out;
}

}  // namespace rackproof::results
