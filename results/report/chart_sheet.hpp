// The charts of a page: gnuplot draws them all in one go, and what it draws becomes SVG that can stand inside HTML.
//
// No text that came from a file ever reaches gnuplot: scripts hold marks in its place ("zQ17Qz"), and the SVG gets the
// escaped text where the mark was drawn. Data are numbers. So a name can be no command, whatever it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "results/report/gnuplot.hpp"

namespace rackproof::results {

/// What a mark of a chart is drawn with: a variable of the page's style sheet, so that it is right in the light, in the
/// dark and on paper. heat: from much less (0) to much more (14); 7 is neutral.
enum class Ink : std::uint8_t {
  text,
  muted,
  line,
  grid,
  page,
  good,
  warn,
  bad,
  series_0,
  series_1,
  series_2,
  series_3,
  series_4,
  series_5,
  series_6,
  series_7,
  heat_0  // ... heat_14
};
inline constexpr int heat_levels = 15;
inline constexpr int series_colours = 8;

[[nodiscard]] constexpr Ink series_ink(std::size_t i) {
  return static_cast<Ink>(static_cast<std::size_t>(Ink::series_0) + i % series_colours);
}
[[nodiscard]] constexpr Ink heat_ink(int level) { return static_cast<Ink>(static_cast<int>(Ink::heat_0) + level); }
/// The name of its variable, "--series-0", without the dashes: also the class of a swatch in a legend.
[[nodiscard]] std::string ink_name(Ink ink);
/// As gnuplot takes a colour: rgb "#...".
[[nodiscard]] std::string gnuplot_colour(Ink ink);
/// The same as a number, for `rgb variable`.
[[nodiscard]] int colour_number(Ink ink);

class ChartSheet {
 public:
  /// The mark of a text, in single quotes, for labels in scripts.
  [[nodiscard]] std::string label(std::string_view text);
  /// Adds a chart of so many pixels; `script` sets and plots, with numbers and marks alone. `description` (plain text)
  /// is what a screen reader says. Returns what stands for the chart on the page until place().
  [[nodiscard]] std::string add(int width, int height, std::string_view description, std::string script);
  [[nodiscard]] std::size_t size() const { return charts_.size(); }
  /// The whole script for gnuplot.
  [[nodiscard]] std::string script() const;

  /// Draws all charts and puts them into the page where add()'s texts stand. Throws Error as run_gnuplot() does, and
  /// (internal) where gnuplot drew something else than was asked for.
  [[nodiscard]] std::string place(std::string page, const GnuplotOptions& options = {}) const;

 private:
  struct Chart {
    int width;
    int height;
    std::string description;
    std::string script;
  };
  std::vector<Chart> charts_;
  std::vector<std::string> texts_;
};

/// One document of gnuplot's as the inside of an <svg> in HTML: without its prolog, definitions, titles, identifiers
/// and empty groups; colours are variables, marks are texts (escaped here).
[[nodiscard]] std::string svg_content(std::string_view document, const std::vector<std::string>& texts);

/// An <svg> that shows nothing and holds the shapes that points of all charts refer to; once a page.
[[nodiscard]] std::string svg_points();

}  // namespace rackproof::results
