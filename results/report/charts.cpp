#include "results/report/charts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "common/core/error.hpp"
#include "results/html.hpp"
#include "results/table.hpp"

namespace rackproof::results {

ChartUnit time_unit(double seconds) {
  static constexpr std::array<ChartUnit, 4> units{{{1e9, "ns"}, {1e6, "us"}, {1e3, "ms"}, {1.0, "s"}}};
  for (const ChartUnit& unit : units) {
    if (seconds * unit.factor < 1000.0) return unit;
  }
  return units.back();
}

double nice_step(double range, int most) {
  const double least = range / most;
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= least * (1.0 - 1e-9)) return factor * power;
  }
  return 10.0 * power;
}

std::string linear_axis(char axis, double low, double high, int most_ticks) {
  if (!(high > low)) {
    const double pad = low == 0.0 ? 1.0 : 0.05 * std::abs(low);
    low -= pad;
    high += pad;
  }
  const double step = nice_step(high - low, most_ticks);
  return fmt::format("set {0}range [{1:.9g}:{2:.9g}]\nset {0}tics {3:.9g}\n", axis, low, high, step);
}

std::string set_margins(int width, int height, const ChartMargins& margins) {
  return fmt::format(
      "set lmargin at screen {:.5f}\nset rmargin at screen {:.5f}\nset tmargin at screen {:.5f}\n"
      "set bmargin at screen {:.5f}\n",
      static_cast<double>(margins.left) / width, 1.0 - static_cast<double>(margins.right) / width,
      1.0 - static_cast<double>(margins.top) / height, static_cast<double>(margins.bottom) / height);
}

int label_pixels(std::span<const std::string> labels) {
  // DejaVu Sans, the widest of the fonts that a page may get, at 12 pixels: digits and most letters 7.6, m and w more.
  constexpr double pixels_a_column = 7.8;
  std::size_t columns = 0;
  for (const std::string& label : labels) columns = std::max(columns, display_width(label));
  return static_cast<int>(pixels_a_column * static_cast<double>(columns)) + 16;
}

std::string data_block(std::string_view name, std::span<const std::vector<double>> rows) {
  std::string out = fmt::format("${} << EOD\n", name);
  for (const std::vector<double>& row : rows) {
    const char* separator = "";
    for (const double value : row) {
      out += std::isfinite(value) ? fmt::format("{}{:.7g}", separator, value) : fmt::format("{}NaN", separator);
      separator = " ";
    }
    out += "\n";
  }
  return out + "EOD\n";
}

namespace {

/// The text in pieces of one code point. Valid UTF-8.
std::vector<std::string_view> code_points(std::string_view text) {
  std::vector<std::string_view> points;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = i + 1;
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) ++end;
    points.push_back(text.substr(i, end - i));
    i = end;
  }
  return points;
}

/// How many of them, from the first on, fit into so many columns.
template <typename Iterator>
std::size_t fitting(Iterator first, Iterator last, std::size_t columns) {
  std::size_t count = 0;
  std::size_t used = 0;
  for (; first != last && used + display_width(*first) <= columns; ++first) {
    used += display_width(*first);
    ++count;
  }
  return count;
}

}  // namespace

std::string shortened(std::string_view text, std::size_t columns) {
  std::string whole = printable(text, 1000);
  if (display_width(whole) <= columns) return whole;
  const std::vector<std::string_view> points = code_points(whole);
  const std::size_t head = fitting(points.begin(), points.end(), (columns - 1) / 2);
  const std::size_t tail = fitting(points.rbegin(), points.rend(), columns - 1 - (columns - 1) / 2);
  return fmt::format("{}…{}", fmt::join(points.begin(), points.begin() + static_cast<std::ptrdiff_t>(head), ""),
                     fmt::join(points.end() - static_cast<std::ptrdiff_t>(tail), points.end(), ""));
}

std::string legend(const std::vector<std::pair<Ink, std::string>>& entries) {
  std::string out = "<p class=\"legend\">";
  for (const auto& [ink, text] : entries) {
    out += fmt::format("<span><i class=\"swatch {}\"></i>{}</span> ", ink_name(ink), html_text(text));
  }
  return out + "</p>";
}

std::string figure(std::string_view kind, const std::string& caption, const std::string& chart,
                   const std::string& below) {
  return fmt::format(
      "<figure class=\"{}\"><figcaption>{}</figcaption><div class=\"scroll\" tabindex=\"0\">{}</div>{}</figure>\n",
      kind, caption, chart, below);
}

int heat_level(double ratio, double step) {
  if (!(ratio > 0.0) || !std::isfinite(ratio)) return -1;
  constexpr int middle = heat_levels / 2;
  const double steps = std::round(std::log(ratio) / std::log1p(step));
  return middle + static_cast<int>(std::clamp(steps, -1.0 * middle, 1.0 * middle));
}

std::string heat_legend(double step, std::string_view less, std::string_view more) {
  constexpr int middle = heat_levels / 2;
  const auto percent = [&](int levels) { return 100.0 * (std::pow(1.0 + step, levels) - 1.0); };
  std::string out =
      fmt::format("<p class=\"legend scale\"><span>{}, {:.0f} % or more</span>", html_text(less), -percent(-middle));
  for (int level = 0; level < heat_levels; ++level) {
    out += fmt::format("<i class=\"swatch {}\"></i>", ink_name(heat_ink(level)));
  }
  return out + fmt::format("<span>{}, {:.0f} % or more</span></p>", html_text(more), percent(middle));
}

std::string heat_map(std::span<const std::vector<int>> levels) {
  constexpr int neutral = heat_levels / 2;
  std::vector<std::vector<double>> rows;  // x from, x to, y from, y to, colour
  const std::size_t width = levels.empty() ? 0 : levels.front().size();
  rows.push_back({0.0, static_cast<double>(width), 0.0, static_cast<double>(levels.size()),
                  static_cast<double>(colour_number(heat_ink(neutral)))});
  for (std::size_t y = 0; y < levels.size(); ++y) {
    for (std::size_t x = 0; x < width;) {
      std::size_t end = x + 1;
      while (end < width && levels[y][end] == levels[y][x]) ++end;
      const int level = levels[y][x];
      if (level != neutral) {
        rows.push_back({static_cast<double>(x), static_cast<double>(end), static_cast<double>(y),
                        static_cast<double>(y) + 1.0,
                        static_cast<double>(colour_number(level < 0 ? Ink::page : heat_ink(level)))});
      }
      x = end;
    }
  }
  return data_block("cells", rows) +
         "plot $cells using (($1+$2)/2):(($3+$4)/2):1:2:3:4:5 with boxxyerror fill solid noborder fillcolor rgb "
         "variable\n";
}

}  // namespace rackproof::results
