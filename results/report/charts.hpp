// What the charts of several sections share: units, ticks, ranges, data, legends. Internal to this folder.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "results/report/chart_sheet.hpp"

namespace rackproof::results {

struct ChartUnit {
  double factor;  ///< value in the unit = seconds x factor
  std::string_view name;
};
/// The unit in which a time of this size has one to three digits before the point.
[[nodiscard]] ChartUnit time_unit(double seconds);

/// 1, 2 or 5 times a power of ten, such that `range` has at most `most` steps. `range` above 0.
[[nodiscard]] double nice_step(double range, int most);

/// "set xrange [...]; set xtics ..." of an axis ('x' or 'y') with ticks at multiples of a nice step.
[[nodiscard]] std::string linear_axis(char axis, double low, double high, int most_ticks);

/// Where the drawing is within a chart of width x height pixels.
struct ChartMargins {
  int left;
  int right;
  int top;
  int bottom;
};
[[nodiscard]] std::string set_margins(int width, int height, const ChartMargins& margins);

/// Pixels that the longest of these labels takes beside an axis, in the font of the charts.
[[nodiscard]] int label_pixels(std::span<const std::string> labels);

/// "$name << EOD ...": a row a line; values that are not finite are written as NaN, which gnuplot leaves out.
[[nodiscard]] std::string data_block(std::string_view name, std::span<const std::vector<double>> rows);

/// Text of at most `columns` columns: the middle gives way, because the ends of names tell cases apart.
[[nodiscard]] std::string shortened(std::string_view text, std::size_t columns);

/// What ink means what, beside a chart. Texts are plain.
[[nodiscard]] std::string legend(const std::vector<std::pair<Ink, std::string>>& entries);

/// A chart with its caption (HTML) and legend (HTML, or empty). kind: classes of the style sheet: "wide", "medium" or
/// "small"; "cells" for rectangles that touch.
[[nodiscard]] std::string figure(std::string_view kind, const std::string& caption, const std::string& chart,
                                 const std::string& below = {});

/// The level of a ratio to what is usual, for heat_ink(): 7 within half a step, more for larger, in steps of `step`
/// on the log scale.
[[nodiscard]] int heat_level(double ratio, double step);
/// The legend of heat levels: swatches with the percent that they stand for.
[[nodiscard]] std::string heat_legend(double step, std::string_view less, std::string_view more);

/// A map of colours: levels[row][column], -1: nothing is known there; equal neighbours of a row become one rectangle.
/// Level 7 is drawn as one background. Row 0 is at the top. Returns data and plot; axes are the caller's, columns from
/// 0 to n and rows from 0 to m, downwards.
[[nodiscard]] std::string heat_map(std::span<const std::vector<int>> levels);

}  // namespace rackproof::results
