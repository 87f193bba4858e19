// Aligned text tables.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rackproof::results {

/// Columns of a terminal or page that reports keep to.
inline constexpr std::size_t page_width = 120;

/// Columns of a terminal that the text takes: 2 for East Asian wide characters and emoji, 0 for combining marks, 1 for
/// everything else (Unicode Standard Annex 11, by blocks). The text is valid UTF-8 without control characters.
[[nodiscard]] std::size_t display_width(std::string_view text);

/// The text in lines of at most `width` columns, broken at spaces where there are any. At least one line.
[[nodiscard]] std::vector<std::string> wrap(std::string_view text, std::size_t width);

class Table {
 public:
  enum class Align { left, right };
  struct Column {
    std::string title;
    std::string unit;  ///< in a second line of the header; may be empty
    Align align = Align::right;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// Cells that are missing at the end stay empty; more cells than columns are dropped.
  void add_row(std::vector<std::string> cells);
  /// Text of any length under the last row, indented; it widens no column.
  void add_note(std::string text);

  [[nodiscard]] std::size_t rows() const noexcept { return rows_.size(); }
  /// Of the widest line, notes apart.
  [[nodiscard]] std::size_t width() const;
  /// Header, a rule, rows; every line ends with a newline and has no space at its end. Notes are wrapped at
  /// `note_width`.
  [[nodiscard]] std::string render(std::size_t note_width = page_width) const;

 private:
  struct Row {
    std::vector<std::string> cells;
    std::vector<std::string> notes;
  };
  [[nodiscard]] std::vector<std::size_t> widths() const;

  std::vector<Column> columns_;
  std::vector<Row> rows_;
};

}  // namespace rackproof::results
