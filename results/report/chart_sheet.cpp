#include "results/report/chart_sheet.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "common/core/error.hpp"
#include "results/html.hpp"

namespace rackproof::results {
namespace {

constexpr std::array<std::string_view, 16> ink_names{
    "ink",      "muted",    "line",     "grid",     "page",     "good",     "warn",     "bad",
    "series-0", "series-1", "series-2", "series-3", "series-4", "series-5", "series-6", "series-7"};
constexpr int ink_count = static_cast<int>(ink_names.size()) + heat_levels;
// Inks are colours that nothing else has: red 1, green the number of the ink, blue 7.
constexpr int ink_red = 1;
constexpr int ink_blue = 7;

constexpr std::string_view mark_begin = "zQ";
constexpr std::string_view mark_end = "Qz";
constexpr std::string_view document_begin = "<?xml";

constexpr std::string_view placeholder_begin = "<!--chart ";
std::string placeholder(std::size_t chart) { return fmt::format("{}{}-->", placeholder_begin, chart); }

/// Every chart begins like this: light axes, no box, no key (legends are HTML).
constexpr std::string_view preamble = R"(reset
unset key
set encoding utf8
set border 3 linecolor {line} linewidth 1
set tics nomirror out scale 0.4,0.2 textcolor {muted}
set grid linecolor {grid} linetype 1 linewidth 1
set xtics offset 0,0.3
set ytics offset 0.6,0
set xlabel textcolor {muted} offset 0,0.9
set ylabel textcolor {muted} offset 1.5,0
set samples 2
)";

std::optional<int> number_at(std::string_view& text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

/// "rgb(  1,   9,   7)" -> "var(--series-1)"; gnuplot's own names of colours are those of the page. Anything else
/// stays.
std::string page_colour(std::string_view value) {
  if (value == "black") return "currentColor";
  if (value == "gray") return "var(--grid)";
  if (!value.starts_with("rgb(")) return std::string(value);
  std::string_view rest = value.substr(4);
  std::array<int, 3> parts{};
  for (int& part : parts) {
    const auto number = number_at(rest);
    if (!number) return std::string(value);
    part = *number;
    if (!rest.empty()) rest.remove_prefix(1);
  }
  if (parts[0] != ink_red || parts[2] != ink_blue || parts[1] >= ink_count) return std::string(value);
  return fmt::format("var(--{})", ink_name(static_cast<Ink>(parts[1])));
}

std::string without_blanks(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool blank = c == ' ' || c == '\n' || c == '\t';
    if (!blank) {
      out += c;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

/// Takes one attribute off the front of what is left of a tag.
struct Attribute {
  std::string_view name;
  std::string_view value;
};
std::optional<Attribute> take_attribute(std::string_view& rest) {
  while (!rest.empty() && (is_blank(rest.front()) || rest.front() == '/')) rest.remove_prefix(1);
  const std::size_t equals = rest.find('=');
  if (equals == std::string_view::npos) return std::nullopt;
  std::string_view name = rest.substr(0, equals);
  while (!name.empty() && is_blank(name.back())) name.remove_suffix(1);
  rest.remove_prefix(equals + 1);
  while (!rest.empty() && is_blank(rest.front())) rest.remove_prefix(1);
  if (rest.empty()) return std::nullopt;
  const char quote = rest.front();
  const std::size_t end = rest.find(quote, 1);
  if ((quote != '"' && quote != '\'') || end == std::string_view::npos) return std::nullopt;
  const std::string_view value = rest.substr(1, end - 1);
  rest.remove_prefix(end + 1);
  return Attribute{name, value};
}

bool is_wanted(const Attribute& attribute) {
  if (attribute.name == "id" || attribute.name == "font-family" || attribute.name == "shape-rendering") return false;
  if (attribute.name == "color" && attribute.value == "black") return false;  // inherited
  if (attribute.name == "stroke-linecap") return attribute.value != "butt";
  if (attribute.name == "stroke-linejoin") return attribute.value != "miter";
  return attribute.name != "stroke-width" || attribute.value != "1.00";
}

/// A start tag with what the page needs of it.
std::string page_tag(std::string_view tag) {
  const std::size_t name_end = tag.find_first_of(" \t\n/");
  std::string out = "<" + std::string(tag.substr(0, name_end));
  std::string_view rest = name_end == std::string_view::npos ? std::string_view{} : tag.substr(name_end);
  while (const auto attribute = take_attribute(rest)) {
    if (!is_wanted(*attribute)) continue;
    const std::string_view name = attribute->name == "xlink:href" ? "href" : attribute->name;
    out += fmt::format(" {}=\"{}\"", name, without_blanks(page_colour(attribute->value)));
  }
  return out + (tag.ends_with('/') ? "/>" : ">");
}

/// gnuplot's text with the marks replaced; its own text is numbers and words of ours, which it has escaped.
std::string page_text(std::string_view text, const std::vector<std::string>& texts) {
  std::string out;
  while (true) {
    const std::size_t begin = text.find(mark_begin);
    if (begin == std::string_view::npos) return out + std::string(text);
    out += text.substr(0, begin);
    text.remove_prefix(begin + mark_begin.size());
    const auto number = number_at(text);
    if (!number || !text.starts_with(mark_end) || static_cast<std::size_t>(*number) >= texts.size()) {
      throw Error(ExitCode::internal, "gnuplot", 0, "", "a chart has a label that nobody gave it");
    }
    out += html_text(texts[static_cast<std::size_t>(*number)]);
    text.remove_prefix(mark_end.size());
  }
}

/// Groups are written when something comes into them: most of gnuplot's hold nothing.
class Content {
 public:
  void open(std::string tag) { groups_.push_back({std::move(tag), false}); }
  void close() {
    if (groups_.empty()) return;
    if (groups_.back().written) text_ += "</g>\n";
    groups_.pop_back();
  }
  void put(std::string_view text) {
    for (Group& group : groups_) {
      if (!group.written) text_ += group.tag;
      group.written = true;
    }
    text_ += text;
  }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  struct Group {
    std::string tag;
    bool written;
  };
  std::vector<Group> groups_;
  std::string text_;
};

/// Skips to behind `what`, or to the end.
void skip_behind(std::string_view& text, std::string_view what) {
  const std::size_t at = text.find(what);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + what.size());
}

void take_tag(std::string_view& rest, Content& content) {
  const std::size_t end = rest.find('>');
  if (end == std::string_view::npos) {
    rest = {};
    return;
  }
  const std::string_view tag = rest.substr(1, end - 1);
  rest.remove_prefix(end + 1);
  if (tag.starts_with("?") || tag.starts_with("svg") || tag == "/svg") return;
  if (tag.starts_with("title")) return skip_behind(rest, "</title>");
  if (tag.starts_with("desc")) return skip_behind(rest, "</desc>");
  if (tag.starts_with("defs")) return skip_behind(rest, "</defs>");
  if (tag == "/g") return content.close();
  if (tag == "g" || tag.starts_with("g ")) return content.open(page_tag(tag));
  content.put(tag.starts_with('/') ? fmt::format("<{}>", tag) : page_tag(tag));
}

}  // namespace

std::string ink_name(Ink ink) {
  const auto number = static_cast<std::size_t>(ink);
  if (number < ink_names.size()) return std::string(ink_names[number]);
  return fmt::format("heat-{}", number - ink_names.size());
}

int colour_number(Ink ink) { return (ink_red << 16) + (static_cast<int>(ink) << 8) + ink_blue; }

std::string gnuplot_colour(Ink ink) { return fmt::format("rgb \"#{:06x}\"", colour_number(ink)); }

std::string ChartSheet::label(std::string_view text) {
  texts_.emplace_back(text);
  return fmt::format("'{}{}{}'", mark_begin, texts_.size() - 1, mark_end);
}

std::string ChartSheet::add(int width, int height, std::string_view description, std::string script) {
  charts_.push_back({width, height, std::string(description), std::move(script)});
  return placeholder(charts_.size() - 1);
}

std::string ChartSheet::script() const {
  const std::string start =
      fmt::format(fmt::runtime(preamble), fmt::arg("line", gnuplot_colour(Ink::line)),
                  fmt::arg("muted", gnuplot_colour(Ink::muted)), fmt::arg("grid", gnuplot_colour(Ink::grid)));
  std::string all;
  for (const Chart& chart : charts_) {
    // Without an output file it is standard output; "set output" ends the document before.
    all += fmt::format("set output\nset terminal svg size {},{} fixed noenhanced font \"sans,12\"\n", chart.width,
                       chart.height);
    all += start + chart.script + "\n";
  }
  return all + "set output\n";
}

std::string ChartSheet::place(std::string page, const GnuplotOptions& options) const {
  if (charts_.empty()) return page;
  const std::string drawn = run_gnuplot(script(), options);
  std::vector<std::string> contents;
  for (std::size_t begin = drawn.find(document_begin); begin != std::string::npos;) {
    const std::size_t end = drawn.find(document_begin, begin + 1);
    contents.push_back(svg_content(std::string_view(drawn).substr(begin, end - begin), texts_));
    begin = end;
  }
  if (contents.size() != charts_.size()) {
    throw Error(ExitCode::internal, "gnuplot", 0, "",
                fmt::format("gnuplot drew {} charts of {}", contents.size(), charts_.size()));
  }
  std::string out;
  out.reserve(page.size() + drawn.size());
  std::size_t done = 0;
  for (std::size_t at = page.find(placeholder_begin); at != std::string::npos;
       at = page.find(placeholder_begin, done)) {
    std::string_view rest = std::string_view(page).substr(at + placeholder_begin.size());
    const auto c = static_cast<std::size_t>(number_at(rest).value_or(-1));
    const Chart& chart = charts_.at(c);
    out += std::string_view(page).substr(done, at - done);
    out += fmt::format("<svg class=\"chart\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">{}</svg>",
                       chart.width, chart.height, html_text(chart.description), contents[c]);
    done = at + placeholder(c).size();
  }
  return out + page.substr(done);
}

std::string svg_content(std::string_view document, const std::vector<std::string>& texts) {
  Content content;
  while (!document.empty()) {
    if (document.front() == '<') {
      take_tag(document, content);
      continue;
    }
    const std::size_t end = std::min(document.find('<'), document.size());
    std::string_view text = document.substr(0, end);
    document.remove_prefix(end);
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    if (!text.empty()) content.put(page_text(text, texts));
  }
  return content.take();
}

std::string svg_points() {
  // gnuplot's names of the shapes that the charts here use: a filled circle and a filled diamond.
  return "<svg class=\"shapes\" width=\"0\" height=\"0\" aria-hidden=\"true\"><defs>"
         "<circle id=\"gpDot\" r=\"0.5\" fill=\"currentColor\"/>"
         "<circle id=\"gpPt6\" r=\"1\" fill=\"currentColor\" stroke=\"none\"/>"
         "<path id=\"gpPt12\" d=\"M0,-1.4 L1.4,0 L0,1.4 L-1.4,0 z\" fill=\"currentColor\" stroke=\"none\"/>"
         "</defs></svg>\n";
}

}  // namespace rackproof::results
