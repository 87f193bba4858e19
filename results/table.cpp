#include "results/table.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>

namespace rackproof::results {
namespace {

constexpr std::size_t gap = 2;
constexpr std::size_t note_indent = 4;

/// The code point at the start of `text`, which is taken off it.
std::uint32_t take_code_point(std::string_view& text) {
  const auto lead = static_cast<unsigned char>(text.front());
  const std::size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  std::uint32_t value = length == 1 ? lead : lead & (0xffU >> (length + 1));
  for (std::size_t i = 1; i < length && i < text.size(); ++i) {
    value = (value << 6U) | (static_cast<unsigned char>(text[i]) & 0x3fU);
  }
  text.remove_prefix(std::min(length, text.size()));
  return value;
}

struct Range {
  std::uint32_t first;
  std::uint32_t last;
};

template <std::size_t N>
bool within(std::uint32_t value, const std::array<Range, N>& ranges) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [value](const Range& range) { return value >= range.first && value <= range.last; });
}

/// Combining marks, joiners and variation selectors.
constexpr std::array<Range, 8> zero_width{{{0x300, 0x36f},
                                           {0x483, 0x489},
                                           {0x591, 0x5bd},
                                           {0x1ab0, 0x1aff},
                                           {0x1dc0, 0x1dff},
                                           {0x200b, 0x200f},
                                           {0x20d0, 0x20ff},
                                           {0xfe00, 0xfe0f}}};
/// Hangul, CJK, kana, full-width forms, emoji.
constexpr std::array<Range, 10> double_width{{{0x1100, 0x115f},
                                              {0x2e80, 0x303e},
                                              {0x3041, 0x33ff},
                                              {0x3400, 0x4dbf},
                                              {0x4e00, 0x9fff},
                                              {0xa000, 0xa4cf},
                                              {0xac00, 0xd7a3},
                                              {0xf900, 0xfaff},
                                              {0xff00, 0xff60},
                                              {0x1f300, 0x3fffd}}};

void append_cell(std::string& line, std::string_view text, std::size_t width, Table::Align align) {
  const std::size_t used = display_width(text);
  const std::string padding(width > used ? width - used : 0, ' ');
  line += align == Table::Align::right ? padding : "";
  line += text;
  line += align == Table::Align::left ? padding : "";
}

void end_line(std::string& out, std::string& line) {
  while (!line.empty() && line.back() == ' ') line.pop_back();
  out += line + "\n";
  line.clear();
}

}  // namespace

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    const std::uint32_t value = take_code_point(text);
    width += within(value, zero_width) ? 0 : within(value, double_width) ? 2 : 1;
  }
  return width;
}

std::vector<std::string> wrap(std::string_view text, std::size_t width) {
  std::vector<std::string> lines;
  std::string line;
  std::size_t used = 0;
  std::size_t last_space = std::string::npos;  // in `line`
  while (!text.empty()) {
    const std::string_view before = text;
    take_code_point(text);
    const std::string_view character = before.substr(0, before.size() - text.size());
    const std::size_t taken = display_width(character);
    if (used + taken > width && !line.empty()) {
      std::string rest;
      if (character == " ") {
        lines.push_back(line);
        line.clear();
        used = 0;
        last_space = std::string::npos;
        continue;
      }
      if (last_space != std::string::npos) {
        rest = line.substr(last_space + 1);
        line.resize(last_space);
      }
      lines.push_back(line);
      line = rest;
      used = display_width(line);
      last_space = std::string::npos;
    }
    if (character == " ") last_space = line.size();
    line += character;
    used += taken;
  }
  if (!line.empty() || lines.empty()) lines.push_back(line);
  return lines;
}

void Table::add_row(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  rows_.push_back({std::move(cells), {}});
}

void Table::add_note(std::string text) {
  if (!rows_.empty()) rows_.back().notes.push_back(std::move(text));
}

std::vector<std::size_t> Table::widths() const {
  std::vector<std::size_t> widths;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    std::size_t width = std::max(display_width(columns_[c].title), display_width(columns_[c].unit));
    for (const Row& row : rows_) width = std::max(width, display_width(row.cells[c]));
    widths.push_back(width);
  }
  return widths;
}

std::size_t Table::width() const {
  const std::vector<std::size_t> all = widths();
  return std::accumulate(all.begin(), all.end(), all.empty() ? 0 : gap * (all.size() - 1));
}

std::string Table::render(std::size_t note_width) const {
  const std::vector<std::size_t> all = widths();
  std::string out;
  std::string line;
  const auto add_line = [&](const auto& text_of) {
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      if (c != 0) line.append(gap, ' ');
      append_cell(line, text_of(c), all[c], columns_[c].align);
    }
    end_line(out, line);
  };
  add_line([&](std::size_t c) { return columns_[c].title; });
  if (std::any_of(columns_.begin(), columns_.end(), [](const Column& column) { return !column.unit.empty(); })) {
    add_line([&](std::size_t c) { return columns_[c].unit; });
  }
  add_line([&](std::size_t c) { return std::string(all[c], '-'); });
  for (const Row& row : rows_) {
    add_line([&](std::size_t c) { return row.cells[c]; });
    for (const std::string& note : row.notes) {
      for (const std::string& part : wrap(note, std::max(note_width, note_indent + 20) - note_indent)) {
        line = std::string(note_indent, ' ') + part;
        end_line(out, line);
      }
    }
  }
  return out;
}

}  // namespace rackproof::results
