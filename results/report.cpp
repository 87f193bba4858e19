#include "results/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "results/head_lines.hpp"
#include "results/html.hpp"
#include "results/report/assets.hpp"
#include "results/report/sections.hpp"

namespace rackproof::results {
namespace {

struct Section {
  const char* id;
  const char* title;
  std::string body;
};

std::string title_of(const ReportData& data, const ReportOptions& options) {
  if (!options.title.empty()) return options.title;
  const RunHeader& header = data.last().run();
  std::set<int> nodes;
  for (const RankHeader& rank : header.ranks) nodes.insert(rank.node_index);
  std::string first = "Rack report: " + header.ranks.front().hostname;
  if (nodes.size() == 1) return first;
  return fmt::format("{} and {} more node{}", first, nodes.size() - 1, nodes.size() == 2 ? "" : "s");
}

bool has_faults(const ReportJudgement& judgement) {
  if (!judgement.acceptance) return false;
  const std::vector<Part>& parts = judgement.acceptance->parts;
  return !judgement.acceptance->at_fault().empty() || std::any_of(parts.begin(), parts.end(), [](const Part& part) {
    return part.kind == Part::Kind::rack && (part.verdict == Verdict::fail || part.verdict == Verdict::intermittent);
  });
}

std::string head_of_page(const std::string& title) {
  const PageAssets assets = page_assets();
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '{}'; script-src '{}'; "
      "img-src data:; base-uri 'none'; form-action 'none'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"referrer\" content=\"no-referrer\">\n<link rel=\"icon\" href=\"data:,\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n",
      assets.style_hash, assets.script_hash, html_text(title), assets.style);
}

/// Who, where, when: one line each.
std::string facts_of_page(const ReportData& data) {
  std::string out = "<dl class=\"facts\">";
  for (const auto& [key, text] : head_lines(data.last().file())) {
    out += fmt::format("<dt>{}</dt><dd>{}</dd>", html_text(key), html_text(text, 1000));
  }
  if (data.runs.size() + data.baseline.size() > 1) {
    out += fmt::format("<dt>launches</dt><dd>{}{}; above: the last</dd>", data.runs.size(),
                       data.baseline.empty() ? "" : fmt::format(", and {} of the baseline", data.baseline.size()));
  }
  return out + "</dl>\n";
}

}  // namespace

std::string report_page(const ReportOptions& options) {
  const ReportData data = read_runs(options.files, options.baseline);
  const ReportJudgement judgement = judge_report(data, options);
  ChartSheet charts;
  // In the order of the page.
  const std::vector<Section> sections{
      {"faults", has_faults(judgement) ? "Parts at fault" : "What is not decided", fault_section(judgement)},
      {"limits", "Limits and peers", limit_section(judgement)},
      {"comparison", "Against the baseline", comparison_section(judgement, charts)},
      {"tables", "Cases", case_section(data)},
      {"ranks", "Ranks", rank_section(data, charts)},
      {"pairs", "Links", pair_section(data, charts)},
      {"roofline", "Roofline", roofline_section(data, charts)},
      {"tokens", "Tokens explained", tokens_section(data, charts)},
      {"distributions", "Distributions", distribution_section(data, judgement, charts)},
      {"telemetry", "Telemetry", telemetry_section(data, charts)},
      {"provenance", "Provenance", provenance_section(data)}};
  const std::string title = title_of(data, options);
  std::string page = head_of_page(title);
  page += fmt::format("<body>\n{}<header class=\"page\">\n<h1>{}</h1>\n<p class=\"sub\">rackproof report of {}{}</p>\n",
                      charts.size() > 0 ? svg_points() : "", html_text(title), html_text(data.last().name),
                      data.runs.size() > 1 ? fmt::format(" and {} more", data.runs.size() - 1) : "");
  page += verdict_section(data, judgement) + facts_of_page(data) + "<nav aria-label=\"Sections\">";
  for (const Section& section : sections) {
    if (!section.body.empty()) page += fmt::format("<a href=\"#{}\">{}</a>", section.id, section.title);
  }
  page += "</nav>\n</header>\n<main>\n";
  for (const Section& section : sections) {
    if (section.body.empty()) continue;
    page += fmt::format(
        "<section id=\"{0}\" aria-labelledby=\"{0}-title\">\n<h2 id=\"{0}-title\">{1}</h2>\n{2}</section>\n",
        section.id, section.title, section.body);
  }
  const std::size_t files = data.runs.size() + data.baseline.size();
  page += fmt::format(
      "</main>\n<footer>Made by rackproof {} from {} file{}. All of it is in this page: nothing is fetched.</footer>\n"
      "<script>{}</script>\n</body>\n</html>\n",
      page_assets().version, files, files == 1 ? "" : "s", page_assets().script);
  return charts.place(std::move(page));
}

}  // namespace rackproof::results
