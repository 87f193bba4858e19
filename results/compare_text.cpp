#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "common/core/error.hpp"
#include "common/core/units.hpp"
#include "results/compare.hpp"
#include "results/table.hpp"

namespace rackproof::results {
namespace {

/// What differs is printed so far; the rest is counted.
constexpr std::size_t most_fact_lines = 40;
constexpr std::size_t most_device_lines = 16;
constexpr std::size_t longest_value = 60;

std::string plural(std::size_t count, std::string_view noun, std::string_view ending = "s") {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : ending);
}

std::string side_line(const CompareSide& side, std::size_t width) {
  const auto name = [&](std::size_t i) { return printable(side.files[i].string(), 120); };
  std::string files = name(0);
  if (side.files.size() == 2) files += ", " + name(1);
  if (side.files.size() > 2) files += " ... " + name(side.files.size() - 1);
  const std::string text = fmt::format("{}: {}", plural(side.files.size(), "launch", "es"), files);
  std::string lines;
  for (const std::string& part : wrap(text, page_width - width - 2)) {
    lines += fmt::format("{:{}}  {}\n", lines.empty() ? side.name : "", width, part);
  }
  return lines;
}

std::string heads(const Comparison& comparison) {
  std::size_t width = comparison.base.name.size();
  for (const CompareSide& other : comparison.others) width = std::max(width, other.name.size());
  std::string text = side_line(comparison.base, width);
  for (const CompareSide& other : comparison.others) text += side_line(other, width);
  return text;
}

/// Lines that are longer than the page go on below, indented.
std::string indented(const std::string& text) {
  std::string lines;
  for (const std::string& part : wrap(text, page_width - 4)) {
    lines += fmt::format("{}{}\n", lines.empty() ? "  " : "    ", part);
  }
  return lines;
}

std::string differences(const Contrast& contrast, const std::string& base) {
  if (contrast.differences.empty()) {
    return fmt::format("\n{} and {} were made with the same things, as far as their files tell\n", base, contrast.name);
  }
  std::string text = fmt::format("\nwhat differs: {} -> {}\n", base, contrast.name);
  std::size_t width = 0;
  const std::size_t shown = std::min(most_fact_lines, contrast.differences.size());
  for (std::size_t i = 0; i < shown; ++i) {
    width = std::max(width, display_width(printable(contrast.differences[i].subject, longest_value)));
  }
  for (std::size_t i = 0; i < shown; ++i) {
    const ProvenanceDifference& one = contrast.differences[i];
    const std::string subject = printable(one.subject, longest_value);
    text += indented(fmt::format("{}{}  {} -> {}", subject, std::string(width - display_width(subject), ' '),
                                 printable(one.base, longest_value), printable(one.other, longest_value)));
  }
  if (contrast.differences.size() > shown) {
    text += fmt::format("  and {} more\n", contrast.differences.size() - shown);
  }
  return text;
}

std::string warnings(const Comparison& comparison) {
  std::string text;
  const std::size_t shown = std::min(most_fact_lines, comparison.warnings.size());
  for (std::size_t i = 0; i < shown; ++i) {
    for (const std::string& part : wrap("WARNING " + printable(comparison.warnings[i], 400), page_width)) {
      text += part + "\n";
    }
  }
  if (comparison.warnings.size() > shown) {
    text += fmt::format("WARNING and {} more of these\n", comparison.warnings.size() - shown);
  }
  if (!comparison.restless.empty()) {
    std::string line = "new in every launch, and not told as a difference: ";
    for (std::size_t i = 0; i < comparison.restless.size() && i < most_fact_lines; ++i) {
      line += (i == 0 ? "" : ", ") + printable(comparison.restless[i], longest_value);
    }
    for (const std::string& part : wrap(line, page_width)) text += part + "\n";
  }
  return text.empty() ? text : "\n" + text;
}

std::string interval_text(double low, double high) {
  return low > 0.0 && std::isfinite(high) ? fmt::format("{:.3f} {:.3f}", low, high) : "-";
}

std::string ratio_text(double ratio) { return std::isfinite(ratio) ? fmt::format("{:.3f}", ratio) : "-"; }

std::string p_text(double p) { return p < 0.0995 ? fmt::format("{:.1e}", p) : fmt::format("{:.2f}", p); }

std::string needed_text(const stats::LaunchVerdict& verdict) {
  if (verdict.launches_needed == 0) return {};
  if (verdict.at_least) return fmt::format(">= {}", verdict.launches_needed);
  return verdict.launches_needed > stats::most_launches ? fmt::format("> {}", stats::most_launches)
                                                        : fmt::format("{}", verdict.launches_needed);
}

std::string side_text(const ComparedCase& one, const ComparedTimes& times) {
  if (times.times.empty()) return "-";
  return one.figure.name.empty() ? format_duration(times.median) : format_number(one.figure.value(times.median));
}

bool has_verdict(Call call) {
  return call == Call::faster || call == Call::slower || call == Call::same || call == Call::inconclusive;
}

std::vector<std::string> row_of_case(const ComparedCase& one, bool several_margins) {
  std::vector<std::string> cells{one.name, side_text(one, one.base), side_text(one, one.other), one.figure.unit};
  if (has_verdict(one.call)) {
    const stats::LaunchVerdict& verdict = one.verdict;
    cells.push_back(ratio_text(verdict.ratio));
    cells.push_back(interval_text(verdict.low, verdict.high));
    cells.push_back(p_text(verdict.p));
    cells.push_back(p_text(verdict.adjusted_p));
  } else {
    cells.resize(cells.size() + 4);
  }
  if (several_margins) cells.push_back(has_verdict(one.call) ? fmt::format("{:.1f}", 100.0 * one.margin) : "");
  cells.push_back(std::string(to_string(one.call)) + (one.mistrusted ? "?" : ""));
  cells.push_back(needed_text(one.verdict));
  return cells;
}

std::string case_table(const Contrast& contrast, const std::string& base, bool several_margins) {
  std::string text;
  for (std::size_t first = 0; first < contrast.cases.size();) {
    std::size_t last = first;
    while (last < contrast.cases.size() && contrast.cases[last].suite == contrast.cases[first].suite) ++last;
    std::vector<Table::Column> columns{{"case", "", Table::Align::left},
                                       {base, "median", Table::Align::right},
                                       {contrast.name, "median"},
                                       {"", "", Table::Align::left},
                                       {"time", "ratio"},
                                       {"95 %", "of it"},
                                       {"p", ""},
                                       {"p", "Holm"}};
    if (several_margins) columns.push_back({"margin", "%"});
    columns.push_back({"verdict", "", Table::Align::left});
    columns.push_back({"launches", "needed"});
    Table table(columns);
    for (; first < last; ++first) {
      const ComparedCase& one = contrast.cases[first];
      if (one.call == Call::skipped) continue;
      table.add_row(row_of_case(one, several_margins));
      if (!one.note.empty()) table.add_note(printable(one.note, 600));
    }
    if (table.rows() > 0) text += "\n" + table.render();
  }
  return text;
}

std::string suite_table(const Contrast& contrast) {
  Table table({{"suite", "", Table::Align::left},
               {"faster", ""},
               {"slower", ""},
               {"same", ""},
               {"inconclusive", ""},
               {"missing, failed,", "different"},
               {"skipped", ""},
               {"time ratio", "geometric mean"},
               {"95 %", "of it"},
               {"of", "cases"}});
  for (const ComparedSuite& suite : contrast.suites) {
    table.add_row({suite.name, fmt::format("{}", suite.faster), fmt::format("{}", suite.slower),
                   fmt::format("{}", suite.same), fmt::format("{}", suite.inconclusive),
                   fmt::format("{}", suite.failing), fmt::format("{}", suite.skipped), ratio_text(suite.ratio),
                   interval_text(suite.low, suite.high), fmt::format("{}", suite.cases)});
  }
  return "\n" + table.render();
}

std::string device_lines(const Contrast& contrast, const std::string& base) {
  if (contrast.devices_compared == 0) return {};
  if (contrast.devices.empty()) {
    return fmt::format("\nNone of the {} devices that {} and {} share has changed beside the others.\n",
                       contrast.devices_compared, base, contrast.name);
  }
  std::string text = fmt::format("\nDevices that changed beside the others from {} to {} (own times, over cases):\n",
                                 base, contrast.name);
  const std::size_t shown = std::min(most_device_lines, contrast.devices.size());
  for (std::size_t i = 0; i < shown; ++i) {
    const ComparedDevice& one = contrast.devices[i];
    text += fmt::format("  {}  rank {} {}{}{}  time ratio {} ({})  p Holm {}\n", to_string(one.call), one.rank,
                        printable(one.name), one.identity.empty() ? "" : " ", printable(one.identity),
                        ratio_text(one.verdict.ratio), interval_text(one.verdict.low, one.verdict.high),
                        p_text(one.verdict.adjusted_p));
  }
  if (contrast.devices.size() > shown) text += fmt::format("  and {} more\n", contrast.devices.size() - shown);
  return text;
}

template <typename Wanted>
std::size_t count_cases(const Comparison& comparison, const Wanted& wanted) {
  std::size_t count = 0;
  for (const Contrast& contrast : comparison.contrasts) {
    count += static_cast<std::size_t>(std::count_if(contrast.cases.begin(), contrast.cases.end(), wanted));
  }
  return count;
}

std::size_t count_method(const Comparison& comparison, stats::RankSumMethod method) {
  return count_cases(
      comparison, [method](const ComparedCase& one) { return has_verdict(one.call) && one.verdict.method == method; });
}

std::string method_text(const Comparison& comparison) {
  using stats::RankSumMethod;
  const std::size_t ties = count_method(comparison, RankSumMethod::exact_with_ties);
  const std::size_t normal = count_method(comparison, RankSumMethod::normal);
  std::string text = "exact";
  if (ties > 0) text += fmt::format(", with ties in {}", plural(ties, "case"));
  if (normal > 0) text += fmt::format(", normal approximation in {}", plural(normal, "case"));
  return text;
}

/// "1 %", or "1 % to 4.2 %".
std::string margin_text(const Comparison& comparison) {
  double least = 1e300;
  double most = 0.0;
  for (const Contrast& contrast : comparison.contrasts) {
    for (const ComparedCase& one : contrast.cases) {
      if (!has_verdict(one.call)) continue;
      least = std::min(least, one.margin);
      most = std::max(most, one.margin);
    }
  }
  if (most == 0.0) return "-";
  const auto percent = [](double value) { return fmt::format("{:.3g} %", 100.0 * value); };
  return least == most ? percent(most) : percent(least) + " to " + percent(most);
}

std::size_t fewest_of_sides(const Comparison& comparison) {
  std::size_t fewest = comparison.base.files.size();
  for (const CompareSide& other : comparison.others) fewest = std::min(fewest, other.files.size());
  return fewest;
}

std::string legend(const Comparison& comparison) {
  std::string text = fmt::format(
      "\ntime ratio: above 1 takes longer; Hodges-Lehmann over launches, {:.3g} % interval. p: Mann-Whitney, {};\n"
      "Holm over {}. SLOWER, FASTER: the interval lies outside the margin ({}) and p Holm is below {:.3g};\n"
      "SAME: the interval lies within the margin.",
      100.0 * comparison.confidence, method_text(comparison),
      comparison.family == 1 ? std::string("1 p-value") : fmt::format("{} p-values", comparison.family),
      margin_text(comparison), comparison.alpha);
  text += " launches needed: a side, to decide in four of five comparisons.\n";
  if (count_cases(comparison, [](const ComparedCase& one) { return one.mistrusted; }) > 0) {
    text += "? measured, but in some launch nothing was checked\n";
  }
  if (comparison.left_out > 0) {
    text += fmt::format("Not compared: {} whose pairs of ranks a run chooses for itself.\n",
                        plural(comparison.left_out, "case"));
  }
  if (static_cast<int>(fewest_of_sides(comparison)) < comparison.fewest_launches) {
    text += fmt::format("Too few launches to show any difference: beside so many p-values, {} a side are needed.\n",
                        comparison.fewest_launches);
  }
  return text;
}

/// "2 slower, 20 same of 22 cases".
std::string foot(const Comparison& comparison) {
  constexpr std::array<std::pair<Call, std::string_view>, 8> calls{{{Call::slower, "slower"},
                                                                    {Call::missing, "missing"},
                                                                    {Call::failed, "failed"},
                                                                    {Call::different, "different"},
                                                                    {Call::inconclusive, "inconclusive"},
                                                                    {Call::faster, "faster"},
                                                                    {Call::same, "same"},
                                                                    {Call::skipped, "skipped"}}};
  std::string text;
  std::size_t all = 0;
  for (const auto& [call, name] : calls) {
    const std::size_t count =
        count_cases(comparison, [wanted = call](const ComparedCase& one) { return one.call == wanted; });
    all += count;
    if (count > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, name);
  }
  const ExitCode code = verdict_of(comparison);
  const std::string_view verdict = code == ExitCode::pass ? "PASS" : code == ExitCode::fail ? "FAIL" : "INCONCLUSIVE";
  return fmt::format("\n{}: {} of {}\n", verdict, text, plural(all, "case"));
}

}  // namespace

std::string comparison_text(const Comparison& comparison) {
  std::string text = heads(comparison);
  for (const Contrast& contrast : comparison.contrasts) text += differences(contrast, comparison.base.name);
  text += warnings(comparison);
  const bool several_margins = margin_text(comparison).find(" to ") != std::string::npos;
  for (const Contrast& contrast : comparison.contrasts) {
    text += case_table(contrast, comparison.base.name, several_margins);
    text += suite_table(contrast);
    text += device_lines(contrast, comparison.base.name);
  }
  return text + legend(comparison) + foot(comparison);
}

}  // namespace rackproof::results
