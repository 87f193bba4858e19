#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "common/core/units.hpp"
#include "results/accept.hpp"
#include "results/table.hpp"

namespace rackproof::results {
namespace {

constexpr std::size_t most_parts = 20;
constexpr std::size_t most_open = 10;
constexpr std::size_t most_notices = 20;
constexpr std::size_t most_of_a_text = 2000;
/// Pieces of evidence of a part that is shown among many.
constexpr std::size_t most_lines = 6;

/// Lines of at most page_width, those behind the first indented.
std::string paragraph(const std::string& first_indent, const std::string& indent, const std::string& text) {
  std::string out;
  std::string start = first_indent;
  for (const std::string& line :
       wrap(printable(text, most_of_a_text), page_width - std::max(indent.size(), first_indent.size()))) {
    out += start + line + "\n";
    start = indent;
  }
  return out;
}

std::string labelled(const char* label, const std::string& text) {
  return paragraph(fmt::format("{:<11}", label), std::string(11, ' '), text);
}

std::string counted_noun(std::size_t count, const char* one) {
  return fmt::format("{} {}{}", count, one, count == 1 ? "" : "s");
}

std::string percent_of(double share, int digits = 1) {
  return std::isfinite(share) ? fmt::format("{:.{}f}", 100.0 * share, digits) : "-";
}

/// "16 devices: 14 PASS, 1 FAIL, 1 not judged"; empty where there are none.
std::string counts_text(const PartCounts& counts, const char* name) {
  if (counts.all() == 0) return {};
  std::string text = counted_noun(counts.all(), name);
  const char* separator = ": ";
  for (const Verdict verdict :
       {Verdict::fail, Verdict::intermittent, Verdict::inconclusive, Verdict::pass, Verdict::not_judged}) {
    if (counts[verdict] == 0) continue;
    text += fmt::format("{}{} {}", separator, counts[verdict], to_string(verdict));
    separator = ", ";
  }
  return text;
}

/// What a technician needs to find the part.
std::string identity_text(const Part& part) {
  std::string text;
  const auto add = [&text](const std::string& word) {
    if (!word.empty()) text += (text.empty() ? "" : ", ") + word;
  };
  add(part.device_name);
  if (!part.serial.empty()) add("serial " + part.serial);
  if (!part.uuid.empty() && part.uuid != part.serial) add("uuid " + part.uuid);
  add(part.kind == Part::Kind::node ? fmt::format("node {}", part.node_index) : part.place);
  return text;
}

std::string_view kind_name(Part::Kind kind) {
  switch (kind) {
    case Part::Kind::rack:
      return "rack";
    case Part::Kind::node:
      return "node";
    case Part::Kind::device:
      return "device";
    case Part::Kind::link:
      break;
  }
  return "link";
}

std::string evidence_text(const Part& part, std::size_t most) {
  std::string text;
  std::size_t shown = 0;
  for (const Evidence& evidence : part.evidence) {
    if (shown == most) break;
    ++shown;
    std::string line = part.attempts.size() > 1 ? fmt::format("attempt {}: ", evidence.attempt + 1) : "";
    line += fmt::format("{}: ", to_string(evidence.kind));
    if (!evidence.case_name.empty()) line += evidence.case_name + ": ";
    text += paragraph("    ", "      ", line + evidence.text);
  }
  const std::size_t left = part.evidence.size() - shown + part.more;
  if (left > 0) text += fmt::format("    and {} more\n", left);
  return text;
}

/// "attempts: FAIL, PASS, not there".
std::string attempts_text(const Part& part) {
  std::string text;
  for (std::size_t a = 0; a < part.attempts.size(); ++a) {
    text += fmt::format("{}{}", a == 0 ? "" : ", ", part.seen[a] ? to_string(part.attempts[a]) : "not there");
  }
  return text;
}

std::string part_text(const Part& part, std::size_t lines) {
  std::string text =
      paragraph("", "    ", fmt::format("{} {} {}", to_string(part.verdict), kind_name(part.kind), part.name));
  if (const std::string identity = identity_text(part); !identity.empty()) text += paragraph("    ", "    ", identity);
  if (part.attempts.size() > 1) text += paragraph("    ", "    ", "attempts: " + attempts_text(part));
  return text + evidence_text(part, lines);
}

std::string parts_text(const std::vector<const Part*>& parts, const char* title, std::size_t most) {
  if (parts.empty()) return {};
  std::string text = fmt::format("\n{}\n", title);
  const std::size_t shown = std::min(most, parts.size());
  for (std::size_t i = 0; i < shown; ++i) text += part_text(*parts[i], most_lines);
  if (parts.size() > shown) text += fmt::format("and {} more\n", parts.size() - shown);
  return text;
}

// ---- limits ----

std::string bound_text(const Limit& limit) {
  return fmt::format("{} {}", limit.bound == Limit::Bound::least ? ">=" : "<=", format_number(limit.value));
}

/// Of 1: probabilities are small.
std::string probability(double p) {
  if (!std::isfinite(p)) return "-";
  return p < 1e-4 ? "<0.01" : fmt::format("{:.2f}", 100.0 * p);
}

std::string limits_text(const Acceptance& acceptance, const LimitSet& set) {
  Table table({{"limit", "", Table::Align::left},
               {"verdict", "", Table::Align::left},
               {"of each", "", Table::Align::left},
               {"judged", "", Table::Align::right},
               {"wanted", "", Table::Align::right},
               {"typical", "", Table::Align::right},
               {"worst", "", Table::Align::right},
               {"unit", "", Table::Align::left},
               {"samples", "effective", Table::Align::right},
               {"headroom", "%", Table::Align::right},
               {"seen from", "%", Table::Align::right},
               {"false alarm", "%", Table::Align::right}});
  std::size_t early = 0;
  for (const LimitReport& report : acceptance.limit_reports) {
    const Limit& limit = set.limits.at(report.limit);
    early += report.settled_early;
    if (report.judged == 0) {
      table.add_row({printable(limit.name), "not judged", std::string(to_string(limit.scope))});
      table.add_note(limit.optional ? "no case of it was measured; optional: " + printable(limit.reason, most_of_a_text)
                                    : "no case of it was measured");
      continue;
    }
    table.add_row({printable(limit.name), std::string(to_string(report.verdict)), std::string(to_string(limit.scope)),
                   fmt::format("{}", report.judged), bound_text(limit), format_number(report.typical),
                   format_number(report.worst), printable(limit.unit),
                   std::isfinite(report.samples) ? fmt::format("{:.0f}", std::floor(report.samples)) : "-",
                   percent_of(report.headroom), percent_of(report.detectable), probability(report.false_alarm)});
    table.add_note(
        printable(fmt::format("{} ({}); of {} {}{}", limit.source, limit.condition, format_number(limit.spec),
                              limit.unit, limit.spec_source.empty() ? "" : ": " + limit.spec_source),
                  most_of_a_text));
  }
  std::string text = "\n" + paragraph("", "", fmt::format("limits {}: {}", set.name, set.description));
  text += table.render(page_width);
  text += paragraph(
      "", "",
      "headroom: how much slower than typical reaches the limit. seen from: how far beyond the limit a part is "
      "found with 90 %: median / x_p - 1, p with P(B(n, p) <= j - 1) = 0.9, B binomial, n the effective "
      "samples. false alarm: probability that any part fails where all are at the limit: FAIL needs x_j beyond it, j "
      "the largest with P(B(n, 1/2) <= j - 1) <= 1 - 0.975^(1/parts); PASS needs the 95 % interval of the median "
      "within it.");
  if (early > 0) {
    text += paragraph(
        "", "",
        fmt::format("{} of the judgements are those of the run's own sequential test (run --limits); their risks are "
                    "in the file's configuration.",
                    early));
  }
  return text;
}

bool is_alike(const PeerReport& one, const PeerReport& other) {
  return one.device_name == other.device_name && one.devices == other.devices && one.cases == other.cases &&
         one.reason == other.reason && std::isfinite(one.least_node) == std::isfinite(other.least_node);
}

/// "1 to 3, 5 and 6".
std::string numbers_text(const std::vector<const PeerReport*>& reports) {
  std::vector<std::string> pieces;
  for (std::size_t i = 0; i < reports.size();) {
    std::size_t end = i + 1;
    while (end < reports.size() && reports[end]->attempt == reports[end - 1]->attempt + 1) ++end;
    if (end - i < 3) end = i + 1;
    pieces.push_back(end - i == 1 ? fmt::format("{}", reports[i]->attempt + 1)
                                  : fmt::format("{} to {}", reports[i]->attempt + 1, reports[end - 1]->attempt + 1));
    i = end;
  }
  std::string text = pieces.front();
  for (std::size_t i = 1; i < pieces.size(); ++i) text += (i + 1 == pieces.size() ? " and " : ", ") + pieces[i];
  return text;
}

/// What of whole nodes would not be seen; empty where they were not compared.
std::string node_text(const std::vector<const PeerReport*>& reports) {
  double largest = -1.0;
  for (const PeerReport* const report : reports) {
    if (std::isfinite(report->least_node)) largest = std::max(largest, report->least_node);
  }
  return largest < 0.0 ? "" : fmt::format(", of a whole node less than {} %", percent_of(largest, 1));
}

/// Of attempts that are alike.
std::string peers_line(const std::vector<const PeerReport*>& reports, std::size_t attempts) {
  const PeerReport& first = *reports.front();
  std::string line;
  if (attempts > 1) line = fmt::format("attempt{} {}: ", reports.size() == 1 ? "" : "s", numbers_text(reports));
  line += fmt::format("{} x {}: ", first.devices, first.device_name);
  if (!first.reason.empty()) return line + "not compared with each other: " + first.reason + node_text(reports);
  const auto [least, most] = std::minmax_element(reports.begin(), reports.end(),
                                                 [](const auto* a, const auto* b) { return a->least < b->least; });
  std::string seen = percent_of((*least)->least, 0);
  if (const std::string other = percent_of((*most)->least, 0); other != seen) seen += " to " + other;
  line += fmt::format("compared with each other in {}; what is less than about {} % slow would not be seen",
                      counted_noun(first.cases, "case"), seen);
  return line + node_text(reports);
}

}  // namespace

std::vector<std::string> peer_lines(const Acceptance& acceptance) {
  std::vector<std::vector<const PeerReport*>> groups;
  for (const PeerReport& report : acceptance.peers) {
    const auto group = std::find_if(groups.begin(), groups.end(),
                                    [&](const auto& reports) { return is_alike(*reports.front(), report); });
    if (group != groups.end()) {
      group->push_back(&report);
    } else {
      groups.push_back({&report});
    }
  }
  std::vector<std::string> lines;
  for (const auto& group : groups) lines.push_back(peers_line(group, acceptance.attempts.size()));
  return lines;
}

std::string acceptance_text(const Acceptance& acceptance, const LimitSet* limits) {
  std::string text = labelled("verdict", std::string(to_string(acceptance.verdict)));
  for (std::size_t a = 0; a < acceptance.attempts.size(); ++a) {
    const Attempt& attempt = acceptance.attempts[a];
    const std::string number = acceptance.attempts.size() > 1 ? fmt::format("{}: ", a + 1) : "";
    const std::string verdict = acceptance.attempts.size() > 1 ? fmt::format("{}  ", to_string(attempt.verdict)) : "";
    text += labelled(a == 0 ? "attempts" : "",
                     fmt::format("{}{}{}  run {}  {}", number, verdict, attempt.file, attempt.run_id, attempt.date));
  }
  for (std::size_t b = 0; b < acceptance.baseline.size(); ++b)
    text += labelled(b == 0 ? "baseline" : "", acceptance.baseline[b]);
  std::string judged;
  for (const std::string& part : {counts_text(acceptance.devices, "device"), counts_text(acceptance.nodes, "node"),
                                  counts_text(acceptance.links, "link")}) {
    if (!part.empty()) judged += (judged.empty() ? "" : "; ") + part;
  }
  text += labelled("judged", judged);
  for (const std::string& line : peer_lines(acceptance)) text += labelled("peers", line);
  if (acceptance.attempts.size() == 1) {
    text += labelled("note", "one launch: how much launches differ it cannot tell; give several files as attempts");
  }
  for (std::size_t i = 0; i < acceptance.notices.size() && i < most_notices; ++i) {
    text += labelled("note", acceptance.notices[i]);
  }
  if (acceptance.notices.size() > most_notices) {
    text += labelled("note", fmt::format("and {} more", acceptance.notices.size() - most_notices));
  }
  const auto rack = std::find_if(acceptance.parts.begin(), acceptance.parts.end(),
                                 [](const Part& part) { return part.kind == Part::Kind::rack; });
  if (rack != acceptance.parts.end() && !rack->evidence.empty()) {
    text += fmt::format("\nthe rack as a whole\n");
    if (rack->attempts.size() > 1) text += paragraph("    ", "    ", "attempts: " + attempts_text(*rack));
    text += evidence_text(*rack, most_lines * rack->attempts.size());
  }
  text += parts_text(acceptance.at_fault(), "parts at fault", most_parts);
  text += parts_text(acceptance.open(), "parts that are open", most_open);
  if (limits != nullptr) text += limits_text(acceptance, *limits);
  return text;
}

std::string fault_lines(const Acceptance& acceptance) {
  std::string text;
  for (const Part* part : acceptance.at_fault()) {
    std::string reason;
    if (!part->evidence.empty()) {
      const Evidence& first = part->evidence.front();
      reason = fmt::format("{}: {}{}{}", to_string(first.kind), first.case_name, first.case_name.empty() ? "" : ": ",
                           first.text);
    }
    text += fmt::format("{}\t{}\t{}\t{}\t{}\n", to_string(part->verdict), kind_name(part->kind),
                        printable(part->hostname), printable(part->name), printable(reason, 1000));
  }
  return text;
}

}  // namespace rackproof::results
