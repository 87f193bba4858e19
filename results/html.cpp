#include "results/html.hpp"

#include <fmt/format.h>

#include <cmath>

#include "common/core/error.hpp"

namespace rackproof::results {

std::string with_references(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string html_text(std::string_view text, std::size_t limit) { return with_references(printable(text, limit)); }

std::string html_lines(std::string_view text, std::size_t limit) {
  const bool cut = text.size() > limit;
  text = text.substr(0, limit);
  std::string out;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string line(text.substr(0, end));
    for (char& c : line) c = c == '\t' ? ' ' : c;
    out += html_text(line, line.size() + 1) + "\n";
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return cut ? out + "...\n" : out;
}

void HtmlTable::add_row(std::vector<Cell> cells, std::string kind) {
  cells.resize(columns_.size());
  rows_.push_back({std::move(cells), std::move(kind)});
}

std::string HtmlTable::head() const {
  std::string out = "<thead><tr>";
  for (const Column& column : columns_) {
    out += fmt::format(R"(<th scope="col" aria-sort="none"{}><button type="button">{}{}</button></th>)",
                       column.number ? R"( class="n")" : "", html_text(column.title),
                       column.unit.empty() ? "" : fmt::format(" <small>{}</small>", html_text(column.unit)));
  }
  return out + "</tr></thead>\n";
}

std::string HtmlTable::body_row(const Row& row) const {
  std::string out = row.kind.empty() ? "<tr>" : fmt::format(R"(<tr class="{}">)", html_text(row.kind));
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    const Cell& cell = row.cells[c];
    const bool has_key = cell.key && std::isfinite(*cell.key);
    out += c == 0 ? R"(<th scope="row")" : "<td";
    if (columns_[c].number) out += R"( class="n")";
    if (has_key) out += fmt::format(R"( data-key="{:.6g}")", *cell.key);
    out += ">" + cell.html + (c == 0 ? "</th>" : "</td>");
  }
  return out + "</tr>\n";
}

std::string HtmlTable::render() const {
  const std::string caption = html_text(caption_);
  std::string out = fmt::format(
      "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{0}\"><table class=\"sortable\">"
      "<caption>{0}</caption>\n",
      caption);
  out += head() + "<tbody>\n";
  for (const Row& row : rows_) out += body_row(row);
  return out + "</tbody></table></div>\n";
}

}  // namespace rackproof::results
