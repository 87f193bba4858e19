// Rate over arithmetic intensity (Williams, Waterman and Patterson, Roofline: an insightful visual performance model
// for multicore architectures, CACM 52, 2009): x = flop / bytes of a step, y = flop / t, both of one rank.
//
// Peaks are those of the file: a figure in % is 100 amount / t of a peak, so that peak = 100 flop / amount where it is
// a share of the peak rate, and 100 bytes / amount where it is one of the memory's bandwidth (`mbu`).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string_view>

#include "common/core/units.hpp"
#include "results/html.hpp"
#include "results/report/charts.hpp"
#include "results/report/sections.hpp"

namespace rackproof::results {
namespace {

constexpr std::string_view bandwidth_share = "mbu";
constexpr std::size_t most_roofline_points = 2000;

/// What could be a machine's: a file may hold anything, and an axis must end.
bool can_be_drawn(double value) { return value > 1e-15 && value < 1e24; }

struct RooflinePoint {
  double intensity;  ///< flop/B
  double rate;       ///< flop/s
  bool tokens;
};

struct Roofline {
  std::map<std::string, std::vector<RooflinePoint>> points;  ///< by type
  std::map<std::string, double> peaks;                       ///< flop/s, by type
  double bandwidth = 0.0;                                    ///< B/s; 0: not known
  bool bandwidth_is_of_copy = false;  ///< what the device's own copy reached: the memory has at least that
};

std::string type_of(const CaseHeader& header) {
  const ParameterValue* const type = header.parameters.find("type");
  return type == nullptr ? std::string("other") : rackproof::to_string(*type);
}

void take_peaks(const CaseHeader& header, Roofline& roofline) {
  for (const FigureHeader& figure : header.figures) {
    if (figure.unit != "%" || figure.kind != FigureHeader::Kind::rate || !(figure.amount > 0.0)) continue;
    if (figure.name == bandwidth_share) {
      const double bandwidth = 100.0 * header.bytes / figure.amount;
      if (can_be_drawn(bandwidth)) roofline.bandwidth = bandwidth;
    } else if (const double peak = 100.0 * header.flop / figure.amount; can_be_drawn(peak)) {
      roofline.peaks[type_of(header)] = peak;
    }
  }
}

Roofline roofline_of(const ReportData& data) {
  Roofline roofline;
  double copy = 0.0;
  std::size_t count = 0;
  for (const ReportCase& one : data.cases) {
    const CaseHeader& header = data.header(one);
    const double time = data.time(one);
    take_peaks(header, roofline);
    const double bandwidth = header.bytes / time;
    if (header.name.find("/device-copy/") != std::string::npos && can_be_drawn(bandwidth)) {
      copy = std::max(copy, bandwidth);
    }
    const double intensity = header.flop / header.bytes;
    const double rate = header.flop / time;
    if (!can_be_drawn(intensity) || !can_be_drawn(rate) || ++count > most_roofline_points) continue;
    roofline.points[type_of(header)].push_back({intensity, rate, header.tokens > 0.0});
  }
  if (!(roofline.bandwidth > 0.0) && copy > 0.0) {
    roofline.bandwidth = copy;
    roofline.bandwidth_is_of_copy = true;
  }
  return roofline;
}

struct RateUnit {
  double size;
  std::string_view name;
};

/// Ticks at powers of ten, as plain numbers: "0.1", "1", "10".
std::string log_axis(char axis, double low, double high) {
  const double first = std::floor(std::log10(low));
  const double last = std::ceil(std::log10(high));
  std::string ticks;
  for (double power = first; power <= last; power += 1.0) {
    const double value = std::pow(10.0, power);
    ticks += fmt::format("{}'{:g}' {:g}", ticks.empty() ? "" : ", ", value, value);
  }
  return fmt::format("set logscale {0}\nset {0}range [{1:g}:{2:g}]\nset {0}tics ({3})\n", axis, low, high, ticks);
}

/// Those that have a point or a peak, each with its ink.
std::map<std::string, Ink> inks_of(const Roofline& roofline) {
  std::map<std::string, Ink> inks;
  for (const auto& [type, points] : roofline.points) inks.emplace(type, series_ink(inks.size()));
  return inks;
}

/// The roof of a type: rising with the bandwidth, where that is known, to the peak.
std::vector<std::vector<double>> roof_of(double peak, double bandwidth, double low, double high, double scale) {
  if (!(bandwidth > 0.0)) return {{low, peak / scale}, {high, peak / scale}};
  const double ridge = peak / bandwidth;
  if (ridge <= low) return {{low, peak / scale}, {high, peak / scale}};
  std::vector<std::vector<double>> rows{{low, low * bandwidth / scale}};
  if (ridge < high) rows.push_back({ridge, peak / scale});
  rows.push_back({high, std::min(peak, high * bandwidth) / scale});
  return rows;
}

struct RooflineRange {
  double x_low = 1e300;
  double x_high = 0.0;
  double y_low = 1e300;
  double y_high = 0.0;
};

RooflineRange range_of(const Roofline& roofline) {
  RooflineRange range;
  for (const auto& [type, points] : roofline.points) {
    for (const RooflinePoint& point : points) {
      range.x_low = std::min(range.x_low, point.intensity);
      range.x_high = std::max(range.x_high, point.intensity);
      range.y_low = std::min(range.y_low, point.rate);
      range.y_high = std::max(range.y_high, point.rate);
    }
    const auto peak = roofline.peaks.find(type);
    if (peak != roofline.peaks.end()) range.y_high = std::max(range.y_high, peak->second);
  }
  return {0.5 * range.x_low, 2.0 * range.x_high, 0.5 * range.y_low, 2.0 * range.y_high};
}

std::string draw_roofline(const Roofline& roofline, ChartSheet& charts) {
  constexpr int width = 1000;
  constexpr int height = 400;
  const RooflineRange range = range_of(roofline);
  const RateUnit unit = range.y_high >= 1e12 ? RateUnit{1e12, "TFLOP/s"} : RateUnit{1e9, "GFLOP/s"};
  std::string script = set_margins(width, height, {70, 16, 12, 44});
  script += log_axis('x', range.x_low, range.x_high) + log_axis('y', range.y_low / unit.size, range.y_high / unit.size);
  script += fmt::format("set xlabel 'flop per byte'\nset ylabel '{}'\n", unit.name);
  const auto inks = inks_of(roofline);
  std::string lines;
  std::string marks;
  std::size_t number = 0;
  for (const auto& [type, points] : roofline.points) {
    const std::string colour = gnuplot_colour(inks.at(type));
    const auto peak = roofline.peaks.find(type);
    if (peak != roofline.peaks.end()) {
      script += data_block(fmt::format("r{}", number),
                           roof_of(peak->second, roofline.bandwidth, range.x_low, range.x_high, unit.size));
      lines += fmt::format(", $r{} using 1:2 with lines linewidth 1.6 linecolor {}", number, colour);
    }
    std::vector<std::vector<double>> products;
    std::vector<std::vector<double>> tokens;
    for (const RooflinePoint& point : points) {
      (point.tokens ? tokens : products).push_back({point.intensity, point.rate / unit.size});
    }
    for (const auto& [rows, letter, shape] : {std::tuple(&products, 'p', 6 + 1), std::tuple(&tokens, 't', 12 + 1)}) {
      if (rows->empty()) continue;
      script += data_block(fmt::format("{}{}", letter, number), *rows);
      marks += fmt::format(", ${}{} using 1:2 with points pointtype {} pointsize 0.7 linecolor {}", letter, number,
                           shape, colour);
    }
    ++number;
  }
  return charts.add(width, height, "Roofline: rate of every case over its arithmetic intensity, and the peaks",
                    script + "plot " + (lines + marks).substr(2) + "\n");
}

std::string roofline_legend(const Roofline& roofline) {
  std::vector<std::pair<Ink, std::string>> entries;
  for (const auto& [type, ink] : inks_of(roofline)) {
    const auto peak = roofline.peaks.find(type);
    entries.emplace_back(ink, peak == roofline.peaks.end()
                                  ? type + ", no peak in the file"
                                  : fmt::format("{}, peak {} TFLOP/s", type, format_number(peak->second / 1e12)));
  }
  return legend(entries);
}

}  // namespace

std::string roofline_section(const ReportData& data, ChartSheet& charts) {
  const Roofline roofline = roofline_of(data);
  if (roofline.points.empty()) return {};
  std::string text =
      "Each mark is a case, of one rank: a circle a product, a diamond a step of tokens. Lines are peaks as "
      "the file has them";
  if (roofline.bandwidth > 0.0) {
    text +=
        fmt::format(", the slope is {} {} GB/s",
                    roofline.bandwidth_is_of_copy ? "what the device's own copy reached," : "the memory's bandwidth,",
                    format_number(roofline.bandwidth / 1e9));
    text += ". A mark above the slope had its data in a cache";
  }
  text += ".";
  return figure("wide", html_text(text, 1000), draw_roofline(roofline, charts), roofline_legend(roofline));
}

}  // namespace rackproof::results
