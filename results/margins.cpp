#include "results/margins.hpp"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "common/core/error.hpp"
#include "common/stats/calibration.hpp"
#include "results/input_file.hpp"
#include "results/launches.hpp"
#include "results/part_file.hpp"
#include "results/provenance_difference.hpp"
#include "results/table.hpp"

namespace rackproof::results {
namespace {

constexpr double most_margin = 10.0;
constexpr std::size_t most_bytes = std::size_t{16} << 20;

std::string names_of_hosts(const RunHeader& header) {
  std::set<std::string> names;
  for (const RankHeader& rank : header.ranks) names.insert(rank.hostname);
  constexpr std::size_t most = 4;
  std::string text;
  std::size_t i = 0;
  for (const std::string& name : names) {
    if (i == most) return fmt::format("{}, and {} more", text, names.size() - most);
    text += (i++ == 0 ? "" : ", ") + printable(name);
  }
  return text;
}

/// By name, a time a launch; cases that some launch has no time of are left out, with a warning.
std::map<std::string, std::vector<double>> whole_cases(const std::vector<Launch>& launches,
                                                       std::vector<std::string>& warnings) {
  std::map<std::string, std::vector<double>> times;
  for (const Launch& launch : launches) {
    for (const LaunchCase& one : launch.cases) {
      auto& row = times[one.name];
      if (std::isfinite(one.time)) row.push_back(one.time);
    }
  }
  std::size_t incomplete = 0;
  std::string first;
  for (const auto& [name, row] : times) {
    if (row.size() == launches.size() || row.empty()) continue;
    if (incomplete++ == 0) first = name;
  }
  if (incomplete > 0) {
    warnings.push_back(fmt::format("{} case{} left out, for not every launch has a time of {}: {}{}", incomplete,
                                   incomplete == 1 ? "" : "s", incomplete == 1 ? "it" : "them", first,
                                   incomplete == 1 ? "" : ", ..."));
  }
  std::erase_if(times, [&](const auto& entry) { return entry.second.size() != launches.size(); });
  return times;
}

void warn_of_launches(const std::vector<Launch>& launches, std::vector<std::string>& warnings) {
  std::vector<std::map<std::string, std::string>> facts;
  for (const Launch& launch : launches) facts.push_back(facts_of(launch.header));
  for (const std::string& line : differences_within(facts)) {
    warnings.push_back("the launches are not alike: " + line);
  }
}

/// As a TOML basic string. Of control characters, those that printable() lets through are none.
std::string toml_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : printable(text, text.size() + 1)) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

class MarginsFile {
 public:
  explicit MarginsFile(const std::filesystem::path& path) : path_(path) {}

  [[nodiscard]] Margins read() const {
    const std::string text = read_text_file(path_, "the margins file", most_bytes);
    toml::table table;
    try {
      table = toml::parse(text);
    } catch (const toml::parse_error& error) {
      throw wrong(fmt::format("is no TOML: {} (line {})", printable(error.description()), error.source().begin.line));
    }
    Margins margins;
    margins.all = margin_of(table["all"], "all");
    margins.launches = static_cast<int>(table["launches"].value_or<std::int64_t>(0));
    margins.ranks = static_cast<int>(table["ranks"].value_or<std::int64_t>(0));
    margins.hosts = printable(table["hosts"].value_or<std::string>(""));
    const toml::table* cases = table["cases"].as_table();
    if (cases == nullptr) throw wrong("has no table [cases]");
    for (const auto& [key, value] : *cases) {
      const std::string name(key.str());
      const toml::node_view<const toml::node> view(value);
      CaseMargin& one = margins.cases[name];
      one.margin = margin_of(view["margin"], name);
      one.spread = view["spread"].value_or<double>(-1.0);
      if (!(one.spread >= 0.0 && one.spread <= most_margin)) {
        throw wrong(fmt::format("has no spread from 0 to {} for '{}'", most_margin, printable(name)));
      }
    }
    return margins;
  }

 private:
  [[nodiscard]] Error wrong(const std::string& what) const {
    return usage_error(fmt::format("{} {}; 'rackproof compare --calibrate' writes such a file", quoted(path_), what));
  }

  template <typename View>
  [[nodiscard]] double margin_of(const View& view, const std::string& name) const {
    const auto value = view.template value<double>();
    if (!value || !(*value > 0.0 && *value <= most_margin)) {
      throw wrong(fmt::format("has no margin above 0 and up to {} for '{}'", most_margin, printable(name)));
    }
    return *value;
  }

  const std::filesystem::path& path_;
};

std::string percent_text(double value) { return fmt::format("{:.2f}", 100.0 * value); }

}  // namespace

Margins calibrate(const std::vector<std::filesystem::path>& files, const std::string& case_regex, bool allow_fake) {
  if (files.size() < fewest_to_calibrate) {
    throw usage_error(fmt::format("--calibrate needs {} launches or more of one thing, and got {}", fewest_to_calibrate,
                                  files.size()));
  }
  const std::vector<Launch> launches = read_launches(files, case_regex, allow_fake);
  Margins margins;
  margins.launches = static_cast<int>(launches.size());
  margins.ranks = static_cast<int>(launches.front().header.ranks.size());
  margins.hosts = names_of_hosts(launches.front().header);
  warn_of_launches(launches, margins.warnings);
  const std::map<std::string, std::vector<double>> times = whole_cases(launches, margins.warnings);
  if (times.empty()) throw usage_error("no case has a time in every one of these launches");
  std::vector<std::vector<double>> rows;
  for (const auto& [name, row] : times) rows.push_back(row);
  const stats::Calibration calibration = stats::calibrate_launches(rows, least_margin);
  margins.all = calibration.all;
  std::size_t i = 0;
  for (const auto& [name, row] : times) {
    margins.cases[name] = {calibration.margin[i], calibration.spread[i]};
    ++i;
  }
  return margins;
}

std::string margins_text(const Margins& margins) {
  std::string text = fmt::format("{} launches of {} rank{} on {}\n", margins.launches, margins.ranks,
                                 margins.ranks == 1 ? "" : "s", margins.hosts);
  for (const std::string& warning : margins.warnings) {
    for (const std::string& part : wrap("WARNING " + printable(warning, 400), page_width)) text += part + "\n";
  }
  Table table({{"case", "", Table::Align::left}, {"spread", "%"}, {"margin", "%"}});
  for (const auto& [name, one] : margins.cases) {
    table.add_row({name, percent_text(one.spread), percent_text(one.margin)});
  }
  table.add_row({"all together", "", percent_text(margins.all)});
  text += "\n" + table.render();
  text += fmt::format(
      "\nspread: standard deviation of the logarithm of the time between launches. margin: dealt out into two sides "
      "of\n"
      "{} launches, 1000 times, 95 % of the intervals of the case's ratio lie within it (all together: of all cases);\n"
      "never below {:.0f} %.\n",
      margins.launches / 2, 100.0 * least_margin);
  return text;
}

std::string margins_toml(const Margins& margins) {
  std::string text = fmt::format(
      "# Margins for `rackproof compare --margins`, relative: from A/A comparisons of {} with {} launches.\n"
      "launches = {}\nranks = {}\nhosts = {}\nall = {:.6g}\n\n[cases]\n",
      margins.launches / 2, margins.launches / 2, margins.launches, margins.ranks, toml_string(margins.hosts),
      margins.all);
  for (const auto& [name, one] : margins.cases) {
    text += fmt::format("{} = {{margin = {:.6g}, spread = {:.6g}}}\n", toml_string(name), one.margin, one.spread);
  }
  return text;
}

Margins read_margins(const std::filesystem::path& path) { return MarginsFile(path).read(); }

std::vector<std::string> margin_mismatches(const Margins& margins, const RunHeader& header, std::size_t launches) {
  std::vector<std::string> lines;
  const auto ranks = static_cast<int>(header.ranks.size());
  if (margins.ranks > 0 && margins.ranks != ranks) {
    lines.push_back(fmt::format("the margins are of {} ranks, and these launches of {}", margins.ranks, ranks));
  }
  if (const std::string hosts = names_of_hosts(header); !margins.hosts.empty() && margins.hosts != hosts) {
    lines.push_back(fmt::format("the margins are of {}, and these launches of {}", margins.hosts, hosts));
  }
  const auto side = static_cast<std::size_t>(margins.launches / 2);
  if (launches < side) {
    lines.push_back(fmt::format("the margins are for {} launches a side or more, and a side has {}", side, launches));
  }
  return lines;
}

}  // namespace rackproof::results
