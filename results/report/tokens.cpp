// What the matrix products and the all-reduces that the same files hold explain of the time of a step of tokens.
//
// A step of a Llama-architecture decoder on one of tp ranks (suites/tokens has the model) is
//   L (t_qkv + t_o + t_gate,up + t_down) + t_head + (2 L + 1) t_all-reduce + what is left
// with m = B T rows in the layers (T = P in a prefill, 1 in a decode step) and B in the head, of
//   qkv: hidden x (Hq + 2 Hkv) hd / tp    o: Hq hd / tp x hidden    gate, up: hidden x 2 ffn / tp
//   down: ffn / tp x hidden               head: hidden x vocabulary / tp
// and all-reduces of 4 B T hidden bytes where tp > 1. The time of a product is the median of the gemm case of the same
// type and m; where n and k differ, that of the nearest, times the ratio of n k: of the operations, and, where reading
// the weights is what takes the time, of their bytes. An all-reduce is interpolated between the two
// nearest sizes, on the log scale. What is left is attention, norms, sampling, starting kernels, and waiting.
#include <fmt/format.h>

#include <algorithm>
#include <array>
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

constexpr std::size_t most_bars = 24;

std::optional<double> number_of(const CaseHeader& header, std::string_view name) {
  const ParameterValue* const value = header.parameters.find(name);
  if (value == nullptr) return std::nullopt;
  const auto* const number = std::get_if<std::int64_t>(value);
  if (number == nullptr || *number < 0) return std::nullopt;
  return static_cast<double>(*number);
}

std::string word_of(const CaseHeader& header, std::string_view name) {
  const ParameterValue* const value = header.parameters.find(name);
  const auto* const text = value == nullptr ? nullptr : std::get_if<std::string>(value);
  return text == nullptr ? std::string{} : *text;
}

// ---- what was measured ----

struct MeasuredProduct {
  std::string type;
  double m, n, k;
  double time;  ///< s
};

struct MeasuredReduce {
  double bytes;
  double time;  ///< s
};

struct Measured {
  std::vector<MeasuredProduct> products;
  std::map<double, std::vector<MeasuredReduce>> reduces;  ///< by ranks of a group; f32 sums out of place, ascending
};

bool is_plain_reduce(const CaseHeader& header) {
  const auto is = [&](std::string_view name, std::string_view wanted) {
    const std::string word = word_of(header, name);
    return word.empty() || word == wanted;  // files of before the parameter have none
  };
  return header.collective && header.message_size > 0 && word_of(header, "type") == "f32" &&
         is("operation", "all-reduce") && is("reduction", "sum") && is("mode", "isolated") &&
         is("arrivals", "together") && number_of(header, "in_place").value_or(1.0) == 0.0;
}

/// How many ranks reduce together; nothing where the groups are not known here.
std::optional<double> group_size(const CaseHeader& header, double world) {
  const std::string groups = word_of(header, "groups");
  if (groups.empty() || groups == "world") return world;
  double size = 0.0;
  if (!groups.starts_with("tp") || groups.size() < 3 || groups.size() > 8) return std::nullopt;
  for (const char c : groups.substr(2)) {
    if (c < '0' || c > '9') return std::nullopt;
    size = 10.0 * size + (c - '0');
  }
  return size;
}

Measured measured_in(const ReportData& data) {
  Measured all;
  const auto world = static_cast<double>(data.last().run().ranks.size());
  for (const ReportCase& one : data.cases) {
    const CaseHeader& header = data.header(one);
    const double time = data.time(one);
    if (!(time > 0.0) || data.status(one) != Status::passed) continue;
    const auto m = number_of(header, "m");
    const auto n = number_of(header, "n");
    const auto k = number_of(header, "k");
    if (m && n && k && *m > 0.0 && *n > 0.0 && *k > 0.0 && !header.collective) {
      all.products.push_back({word_of(header, "type"), *m, *n, *k, time});
    } else if (is_plain_reduce(header)) {
      const auto size = group_size(header, world);
      if (size) all.reduces[*size].push_back({static_cast<double>(header.message_size), time});
    }
  }
  for (auto& [size, reduces] : all.reduces) {
    std::sort(reduces.begin(), reduces.end(), [](const auto& a, const auto& b) { return a.bytes < b.bytes; });
  }
  return all;
}

/// s; nothing where no product of the type has as many rows.
std::optional<double> product_time(const Measured& measured, const std::string& type, double m, double n, double k) {
  const MeasuredProduct* best = nullptr;
  double least = 0.0;
  for (const MeasuredProduct& one : measured.products) {
    if (one.type != type || one.m != m) continue;
    const double distance = std::abs(std::log(one.n / n)) + std::abs(std::log(one.k / k));
    // Of several of one shape the fastest: the model takes the layout that the library likes best.
    if (best == nullptr || distance < least - 1e-9 || (distance < least + 1e-9 && one.time < best->time)) {
      best = &one;
      least = distance;
    }
  }
  if (best == nullptr) return std::nullopt;
  // With m equal, operations and bytes of the weights grow alike: n k.
  return best->time * (n * k) / (best->n * best->k);
}

std::optional<double> reduce_time(const Measured& measured, double ranks, double bytes) {
  const auto found = measured.reduces.find(ranks);
  if (found == measured.reduces.end()) return std::nullopt;
  const std::vector<MeasuredReduce>& known = found->second;
  const auto above = std::find_if(known.begin(), known.end(), [&](const auto& one) { return one.bytes >= bytes; });
  if (above == known.end()) return known.back().time * bytes / known.back().bytes;
  if (above == known.begin() || above->bytes == bytes) return above->time;
  const MeasuredReduce& below = *(above - 1);
  const double share = std::log(bytes / below.bytes) / std::log(above->bytes / below.bytes);
  return below.time * std::pow(above->time / below.time, share);
}

// ---- a step ----

enum Piece : std::size_t { qkv, output, gate_up, down, token_head, reduce, piece_count };
constexpr std::array<std::string_view, piece_count> piece_names{"QKV",  "attention output", "gate and up", "down",
                                                                "head", "all-reduces"};

struct ExplainedStep {
  const ReportCase* which;
  double time;                                            ///< s, of the step
  std::array<std::optional<double>, piece_count> pieces;  ///< s; nothing: not in the files
  bool reduces;                                           ///< several ranks share the model

  [[nodiscard]] double explained() const {
    double sum = 0.0;
    for (const auto& piece : pieces) sum += piece.value_or(0.0);
    return sum;
  }
};

std::optional<ExplainedStep> explain(const ReportData& data, const ReportCase& one, const Measured& measured) {
  const CaseHeader& header = data.header(one);
  const auto number = [&](std::string_view name) { return number_of(header, name).value_or(0.0); };
  const double layers = number("layers");
  const double hidden = number("hidden");
  const double tp = number("tp");
  const double batch = number("batch");
  const double time = data.time(one);
  if (!(layers > 0.0 && hidden > 0.0 && tp > 0.0 && batch > 0.0 && time > 0.0)) return std::nullopt;
  const std::string type = word_of(header, "type");
  const double rows = batch * (word_of(header, "phase") == "prefill" ? number("prompt") : 1.0);
  const double heads = number("heads") * number("head_dim");
  const double keys = number("kv_heads") * number("head_dim");
  ExplainedStep step{&one, time, {}, tp > 1.0};
  const auto product = [&](Piece piece, double times, double m, double n, double k) {
    const auto once = product_time(measured, type, m, n, k);
    if (once) step.pieces[piece] = times * *once;
  };
  product(qkv, layers, rows, (heads + 2.0 * keys) / tp, hidden);
  product(output, layers, rows, hidden, heads / tp);
  product(gate_up, layers, rows, 2.0 * number("ffn") / tp, hidden);
  product(down, layers, rows, hidden, number("ffn") / tp);
  product(token_head, 1.0, batch, number("vocabulary") / tp, hidden);
  if (step.reduces) {
    const auto once = reduce_time(measured, tp, 4.0 * rows * hidden);
    if (once) step.pieces[reduce] = (2.0 * layers + 1.0) * *once;
  }
  if (!(step.explained() > 0.0)) return std::nullopt;
  return step;
}

std::string draw_steps(const std::vector<ExplainedStep>& steps, ChartSheet& charts) {
  constexpr int width = 1000;
  constexpr int bar = 26;
  const int height = static_cast<int>(steps.size()) * bar + 56;
  std::vector<std::vector<double>> rows;
  std::vector<std::string> names;
  std::string labels;
  double largest = 100.0;
  for (std::size_t s = 0; s < steps.size(); ++s) {
    const double y = static_cast<double>(s) + 0.5;
    names.push_back(shortened(steps[s].which->name, 44));
    labels += fmt::format("{}{} {}", s == 0 ? "" : ", ", charts.label(names.back()), y);
    double at = 0.0;
    const auto add = [&](double seconds, Ink ink) {
      const double end = at + 100.0 * seconds / steps[s].time;
      rows.push_back({at, end, y - 0.32, y + 0.32, static_cast<double>(colour_number(ink))});
      at = end;
    };
    for (std::size_t p = 0; p < piece_count; ++p) {
      if (steps[s].pieces.at(p)) add(*steps[s].pieces.at(p), series_ink(p));
    }
    largest = std::max(largest, at);
    if (at < 100.0) add(steps[s].time * (100.0 - at) / 100.0, Ink::grid);
  }
  std::string script = set_margins(width, height, {label_pixels(names), 20, 6, 44});
  script += linear_axis('x', 0.0, largest, 10);
  script +=
      fmt::format("set yrange [{}:0]\nset ytics ({}) scale 0\nunset grid\nset grid xtics\n", steps.size(), labels);
  script += "set xlabel '% of the time of a step'\n" + data_block("bars", rows);
  script +=
      "plot $bars using (($1+$2)/2):(($3+$4)/2):1:2:3:4:5 with boxxyerror fill solid noborder fillcolor rgb variable\n";
  return charts.add(width, height, "Share of products and all-reduces in the time of each step of tokens", script);
}

std::string table_of_steps(const std::vector<ExplainedStep>& steps) {
  std::vector<HtmlTable::Column> columns{{"case", "", false}, {"step"}};
  for (const char* name : {"QKV", "output", "gate, up", "down", "head", "reduce"}) columns.push_back({name, "%"});
  columns.push_back({"explained", "%"});
  columns.push_back({"left"});
  HtmlTable table("Share of a step's time", columns);
  for (const ExplainedStep& step : steps) {
    std::vector<HtmlTable::Cell> cells{HtmlTable::Cell::text(step.which->name),
                                       HtmlTable::Cell::number(format_duration(step.time), step.time)};
    for (std::size_t p = 0; p < piece_count; ++p) {
      const auto& piece = step.pieces.at(p);
      if (piece) {
        const double share = 100.0 * *piece / step.time;
        cells.push_back(HtmlTable::Cell::number(fmt::format("{:.1f}", share), share));
      } else {
        cells.push_back(HtmlTable::Cell::text(p == reduce && !step.reduces ? "none" : "not measured"));
      }
    }
    const double left = step.time - step.explained();
    cells.push_back(
        HtmlTable::Cell::number(fmt::format("{:.0f}", 100.0 * step.explained() / step.time), step.explained()));
    cells.push_back(HtmlTable::Cell::number(left > 0.0 ? format_duration(left) : "-", left));
    table.add_row(std::move(cells));
  }
  return table.render();
}

}  // namespace

std::string tokens_section(const ReportData& data, ChartSheet& charts) {
  const Measured measured = measured_in(data);
  std::vector<ExplainedStep> steps;
  for (const ReportCase& one : data.cases) {
    if (!(data.header(one).tokens > 0.0) || steps.size() == most_bars) continue;
    if (auto step = explain(data, one, measured)) steps.push_back(std::move(*step));
  }
  if (steps.empty()) return {};
  std::vector<std::pair<Ink, std::string>> entries;
  for (std::size_t p = 0; p < piece_count; ++p) entries.emplace_back(series_ink(p), std::string(piece_names.at(p)));
  entries.emplace_back(Ink::grid, "left: attention, norms, sampling, starts, waiting, and what was not measured");
  const std::string formula =
      "<p class=\"note\">Step = L (QKV + attention output + gate and up + down) + head + (2 L + 1) all-reduces + what "
      "is "
      "left. Products are the medians of the gemm cases of the same type and number of rows; where the shape differs, "
      "the "
      "nearest, times the ratio of n k. All-reduces are f32 sums of 4 B T hidden bytes over the ranks that share the "
      "model, interpolated between the measured sizes. More than 100 %: a product measured alone is slower than in the "
      "model, whose activations are still in a cache.</p>";
  return figure("wide",
                html_text(
                    "What the products and all-reduces of the same files, measured alone, account for in the time of a "
                    "prefill or a decode step.",
                    1000),
                draw_steps(steps, charts), legend(entries)) +
         table_of_steps(steps) + formula;
}

}  // namespace rackproof::results
