// HTML that is safe whatever a file says: the one place where text is escaped, and tables made of it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rackproof::results {

/// & < > " ' become character references, of HTML and XML.
[[nodiscard]] std::string with_references(std::string_view text);

/// Text of any origin, fit for the inside of an element and of a quoted attribute: control characters and invalid UTF-8
/// become '?' and more than `limit` bytes are cut (printable()), then & < > " ' become character references.
[[nodiscard]] std::string html_text(std::string_view text, std::size_t limit = 300);

/// Text of several lines for <pre>: as html_text(), line by line; tabs become blanks.
[[nodiscard]] std::string html_lines(std::string_view text, std::size_t limit);

class HtmlTable {
 public:
  struct Column {
    std::string title;   ///< plain text
    std::string unit{};  ///< plain text, beside the title
    bool number = true;  ///< aligned right and sorted by key
  };
  struct Cell {
    std::string html{};           ///< escaped already
    std::optional<double> key{};  ///< what a number is sorted by; without one it sorts last

    /// Escapes `text`.
    static Cell text(std::string_view text) { return {html_text(text), {}}; }
    static Cell number(std::string_view text, double key) { return {html_text(text), key}; }
  };

  /// `caption`: plain text, read out by screen readers and shown above the table.
  HtmlTable(std::string caption, std::vector<Column> columns)
      : caption_(std::move(caption)), columns_(std::move(columns)) {}

  /// Cells that are missing at the end stay empty. `kind`: a class of the style sheet, such as "bad", or empty.
  void add_row(std::vector<Cell> cells, std::string kind = {});
  [[nodiscard]] std::size_t rows() const noexcept { return rows_.size(); }
  /// A table that scrolls within its own box where it is too wide, with a button to sort by in every heading.
  [[nodiscard]] std::string render() const;

 private:
  struct Row {
    std::vector<Cell> cells;
    std::string kind;
  };
  [[nodiscard]] std::string head() const;
  [[nodiscard]] std::string body_row(const Row& row) const;

  std::string caption_;
  std::vector<Column> columns_;
  std::vector<Row> rows_;
};

}  // namespace rackproof::results
