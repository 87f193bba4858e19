// Where the numbers come from.
#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "results/head_lines.hpp"
#include "results/html.hpp"
#include "results/report/sections.hpp"

namespace rackproof::results {
namespace {

constexpr std::size_t most_text = 20'000;  ///< bytes shown of one entry
constexpr std::size_t most_runs = 32;      ///< whose entries are shown in full

/// JSON that was written in one line is readable in several.
std::string readable(const std::string& text) {
  if (text.size() > 4 * most_text || text.empty() || (text.front() != '{' && text.front() != '[')) return text;
  const nlohmann::ordered_json json = nlohmann::ordered_json::parse(text, nullptr, false);
  if (json.is_discarded()) return text;
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string entries_of(const ReportRun& run) {
  std::string out;
  for (const auto& [key, text] : run.run().provenance) {
    if (text.empty() || text == "{}" || text == "[]") continue;
    out += fmt::format("<details class=\"raw\"><summary>{} <small>{} bytes</small></summary><pre>{}</pre></details>\n",
                       html_text(key), text.size(), html_lines(readable(text), most_text));
  }
  return out;
}

std::string lines_of_run(const ReportRun& run) {
  std::string out = "<dl class=\"facts\">";
  for (const auto& [key, text] : head_lines(run.file())) {
    out += fmt::format("<dt>{}</dt><dd>{}</dd>", html_text(key), html_text(text, 2000));
  }
  return out + "</dl>\n";
}

}  // namespace

std::string provenance_section(const ReportData& data) {
  std::string out;
  std::size_t shown = 0;
  for (const auto* group : {&data.runs, &data.baseline}) {
    for (const ReportRun& run : *group) {
      out += fmt::format("<h3>{}{}</h3>\n", html_text(run.name),
                         group == &data.baseline ? " <small>baseline</small>" : "");
      out += lines_of_run(run);
      if (++shown <= most_runs) out += entries_of(run);
    }
  }
  return out;
}

}  // namespace rackproof::results
