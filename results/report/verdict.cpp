// The top of the page: the verdict, and who is to blame.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "common/core/units.hpp"
#include "results/html.hpp"
#include "results/report/sections.hpp"

namespace rackproof::results {
namespace {

constexpr std::size_t most_parts = 20;
constexpr std::size_t most_open_parts = 10;
constexpr std::size_t most_lines_of_evidence = 6;

const char* kind_of_verdict(Verdict verdict) {
  switch (verdict) {
    case Verdict::pass:
      return "good";
    case Verdict::fail:
    case Verdict::intermittent:
      return "bad";
    case Verdict::inconclusive:
      return "warn";
    case Verdict::not_judged:
      return "none";
  }
  return "none";
}

std::string tile(const char* kind, std::size_t count, const std::string& what) {
  return fmt::format("<li class=\"{}\"><b>{}</b><span>{}</span></li>", kind, count, html_text(what));
}

/// "devices FAIL", where there are any.
std::string tiles_of(const PartCounts& counts, std::string_view noun) {
  std::string out;
  for (const Verdict verdict : {Verdict::fail, Verdict::intermittent, Verdict::inconclusive, Verdict::pass}) {
    if (counts[verdict] == 0) continue;
    out += tile(kind_of_verdict(verdict), counts[verdict],
                fmt::format("{}{} {}", noun, counts[verdict] == 1 ? "" : "s", to_string(verdict)));
  }
  return out;
}

std::string case_tile(const ReportData& data) {
  const auto passed = std::count_if(data.cases.begin(), data.cases.end(),
                                    [&](const ReportCase& one) { return data.status(one) == Status::passed; });
  const bool bad = std::any_of(data.cases.begin(), data.cases.end(), [&](const ReportCase& one) {
    const Status status = data.status(one);
    return status == Status::failed || status == Status::error;
  });
  return tile(bad ? "bad" : "", static_cast<std::size_t>(passed), fmt::format("of {} cases PASSED", data.cases.size()));
}

std::string basis_of(const Acceptance& acceptance) {
  std::string text = acceptance.limits.empty() ? std::string("No limits were given") : "Limits: " + acceptance.limits;
  if (!acceptance.baseline.empty()) {
    text += fmt::format(", {} launch{} as baseline", acceptance.baseline.size(),
                        acceptance.baseline.size() == 1 ? "" : "es");
  }
  text +=
      acceptance.attempts.size() == 1 ? ", one attempt." : fmt::format(", {} attempts.", acceptance.attempts.size());
  if (acceptance.limits.empty() && acceptance.baseline.empty()) {
    text += " What is judged is the check of every result, devices against their peers in the same run, and links.";
  }
  return text;
}

std::string evidence_item(const Evidence& evidence, bool several) {
  std::string text = fmt::format("<li><b>{}</b>{}", html_text(to_string(evidence.kind)),
                                 evidence.case_name.empty() ? "" : " " + html_text(evidence.case_name));
  if (several) text += fmt::format(" <small>attempt {}</small>", evidence.attempt + 1);
  return text + ": " + html_text(evidence.text, 600) + "</li>";
}

/// What tells where it is: place, device, serial number.
std::string address_of(const Part& part) {
  std::string text = part.place;
  const auto add = [&](std::string_view what, const std::string& value) {
    if (!value.empty()) text += fmt::format("{}{}{}", text.empty() ? "" : ", ", what, value);
  };
  add("", part.device_name);
  add("serial ", part.serial);
  add("", part.uuid);
  return text;
}

std::string card_of(const Part& part, bool several) {
  std::string out = fmt::format("<div class=\"part {}\"><h3>{} <span class=\"badge {}\">{}</span></h3><p>{}</p><ul>",
                                kind_of_verdict(part.verdict), html_text(part.name), kind_of_verdict(part.verdict),
                                html_text(to_string(part.verdict)), html_text(address_of(part)));
  std::size_t shown = 0;
  for (const Evidence& evidence : part.evidence) {
    if (shown++ < most_lines_of_evidence) out += evidence_item(evidence, several);
  }
  const std::size_t hidden = part.more + (shown > most_lines_of_evidence ? shown - most_lines_of_evidence : 0);
  if (hidden > 0) out += fmt::format("<li>and {} more</li>", hidden);
  return out + "</ul></div>\n";
}

std::string cards_of(const std::vector<const Part*>& parts, std::size_t most, bool several) {
  std::string out;
  for (std::size_t p = 0; p < std::min(parts.size(), most); ++p) out += card_of(*parts[p], several);
  if (parts.size() > most) {
    out += fmt::format("<p class=\"note\">and {} more; 'rackproof accept' names them all.</p>\n", parts.size() - most);
  }
  return out;
}

std::string percent_text(double share) { return std::isfinite(share) ? fmt::format("{:.1f}", 100.0 * share) : "-"; }

std::string limit_table(const Acceptance& acceptance, const LimitSet& set) {
  HtmlTable table(fmt::format("Limits of {}", set.name), {{"limit", "", false},
                                                          {"of each", "", false},
                                                          {"verdict", "", false},
                                                          {"bound"},
                                                          {"typical"},
                                                          {"worst"},
                                                          {"headroom", "%"},
                                                          {"failed"},
                                                          {"judged"},
                                                          {"sees from", "% slow"},
                                                          {"false alarm", "%"}});
  std::string sources;
  for (const LimitReport& report : acceptance.limit_reports) {
    const Limit& limit = set.limits.at(report.limit);
    const auto figure = [&](double value) {
      return HtmlTable::Cell::number(fmt::format("{} {}", format_number(value), limit.unit), value);
    };
    const auto share = [](double value) { return HtmlTable::Cell::number(percent_text(value), value); };
    const auto whole = [](std::size_t value) {
      return HtmlTable::Cell::number(fmt::format("{}", value), static_cast<double>(value));
    };
    const std::string bound =
        fmt::format("{} {} {}", limit.bound == Limit::Bound::least ? "≥" : "≤", format_number(limit.value), limit.unit);
    sources += fmt::format("<dt>{}</dt><dd>{}{}</dd>", html_text(limit.name), html_text(limit.source, 1000),
                           limit.condition.empty() ? "" : "; " + html_text(limit.condition, 1000));
    table.add_row({HtmlTable::Cell::text(limit.name),
                   HtmlTable::Cell::text(to_string(limit.scope)),
                   {fmt::format("<span class=\"badge {}\">{}</span>", kind_of_verdict(report.verdict),
                                html_text(to_string(report.verdict))),
                    {}},
                   HtmlTable::Cell::number(bound, limit.value),
                   figure(report.typical),
                   figure(report.worst),
                   share(report.headroom),
                   whole(report.failed),
                   whole(report.judged),
                   share(report.detectable),
                   share(report.false_alarm)},
                  report.verdict == Verdict::fail ? "bad" : "");
  }
  return table.render() + "<details><summary>Sources of the limits</summary><dl class=\"facts\">" + sources +
         "</dl></details>\n";
}

std::string list_of_peers(const Acceptance& acceptance) {
  std::string out;
  for (const std::string& line : peer_lines(acceptance)) out += "<li>" + html_text(line, 600) + "</li>";
  return out.empty() ? out : "<h3>Peers</h3><ul>" + out + "</ul>\n";
}

/// "Against the baseline: 1 of 4 cases slower, missing or failed."
std::string words_of_comparison(const Comparison& comparison, ExitCode verdict) {
  std::size_t bad = 0;
  std::size_t open = 0;
  std::size_t all = 0;
  for (const Contrast& contrast : comparison.contrasts) {
    for (const ComparedCase& one : contrast.cases) {
      all += one.call != Call::skipped ? 1U : 0U;
      bad += one.call == Call::slower || one.call == Call::missing || one.call == Call::failed ||
                     one.call == Call::different
                 ? 1U
                 : 0U;
      open += one.call == Call::inconclusive ? 1U : 0U;
    }
  }
  if (bad > 0) return fmt::format("Against the baseline: {} of {} cases slower, missing or failed.", bad, all);
  if (verdict == ExitCode::fail) return "Against the baseline: a device got slower.";
  if (open > 0) return fmt::format("Against the baseline: {} of {} cases not decided, none slower.", open, all);
  return fmt::format("Against the baseline: {} of {} cases the same or faster.", all, all);
}

}  // namespace

std::string verdict_section(const ReportData& data, const ReportJudgement& judgement) {
  if (!judgement.acceptance) {
    return "<section class=\"verdict warn\"><strong>NOT JUDGED</strong><p>Made with a fake device: no figure here is a "
           "measurement.</p></section>\n";
  }
  const Acceptance& acceptance = *judgement.acceptance;
  const ExitCode compared = judgement.comparison ? verdict_of(*judgement.comparison) : ExitCode::pass;
  // A rack that keeps its limits and got slower is no PASS.
  const Verdict verdict = compared == ExitCode::fail ? Verdict::fail : acceptance.verdict;
  std::string basis = basis_of(acceptance);
  if (judgement.comparison) basis += " " + words_of_comparison(*judgement.comparison, compared);
  std::string out = fmt::format("<section class=\"verdict {}\"><strong>{}</strong><p>{}</p></section>\n",
                                kind_of_verdict(verdict), html_text(to_string(verdict)), html_text(basis, 1000));
  if (const std::string why = why_no_measurement(data.last().run()); !why.empty())
    out += "<p class=\"banner\">Made " + html_text(why, 400) + ": no figure here is a measurement.</p>\n";
  out += "<ul class=\"counts\">" + tiles_of(acceptance.devices, "device") + tiles_of(acceptance.nodes, "node") +
         tiles_of(acceptance.links, "link") + case_tile(data) + "</ul>\n";
  constexpr std::size_t most_notices = 12;
  std::string notices;
  for (std::size_t n = 0; n < std::min(acceptance.notices.size(), most_notices); ++n) {
    notices += "<li>" + html_text(acceptance.notices[n], 600) + "</li>";
  }
  if (acceptance.notices.size() > most_notices) {
    notices += fmt::format("<li>and {} more</li>", acceptance.notices.size() - most_notices);
  }
  return notices.empty() ? out : out + "<ul class=\"notices\">" + notices + "</ul>\n";
}

std::string fault_section(const ReportJudgement& judgement) {
  if (!judgement.acceptance) return {};
  const Acceptance& acceptance = *judgement.acceptance;
  const bool several = acceptance.attempts.size() > 1;
  std::string out;
  const auto faults = acceptance.at_fault();
  const auto open = acceptance.open();
  out += cards_of(faults, most_parts, several);
  // Of the rack itself: a case that failed as a whole, a limit that it misses.
  const auto rack = std::find_if(acceptance.parts.begin(), acceptance.parts.end(), [](const Part& part) {
    return part.kind == Part::Kind::rack && part.verdict != Verdict::pass && !part.evidence.empty();
  });
  if (rack != acceptance.parts.end()) out += card_of(*rack, several);
  if (!open.empty()) {
    out +=
        fmt::format("<details{}><summary>{} part{} not decided</summary>{}</details>\n", faults.empty() ? " open" : "",
                    open.size(), open.size() == 1 ? "" : "s", cards_of(open, most_open_parts, several));
  }
  return out;
}

std::string limit_section(const ReportJudgement& judgement) {
  if (!judgement.acceptance) return {};
  std::string out;
  if (judgement.limits && !judgement.acceptance->limit_reports.empty()) {
    out += limit_table(*judgement.acceptance, *judgement.limits);
    out +=
        "<p class=\"note\">Headroom: by how much the typical part has to become slower to reach the limit. Sees from: "
        "the "
        "smallest slowdown beyond the limit that these samples show. False alarm: that any part fails where all are "
        "exactly at the limit.</p>\n";
  }
  return out + list_of_peers(*judgement.acceptance);
}

}  // namespace rackproof::results
