#include "results/make_limits.hpp"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <utility>
#include <vector>

#include "common/core/error.hpp"
#include "common/core/units.hpp"
#include "common/stats/order_statistics.hpp"
#include "results/accept_parts.hpp"
#include "results/case_summary.hpp"
#include "results/limits.hpp"
#include "results/links.hpp"
#include "results/part_file.hpp"

namespace rackproof::results {
namespace {

/// A case as it went in all files.
struct GoodCase {
  std::string suite;
  FigureHeader figure;
  bool collective = false;
  std::size_t files = 0;  ///< in which it passed
  std::vector<double> values;
  std::string fault;  ///< why there is no limit of it
};

/// By name, in the order in which they first come.
class GoodCases {
 public:
  GoodCase& of(const std::string& name, const std::string& suite) {
    const auto [found, is_new] = place_.try_emplace(name, cases_.size());
    if (is_new) {
      cases_.emplace_back(name, GoodCase{});
      cases_.back().second.suite = suite;
    }
    return cases_[found->second].second;
  }
  [[nodiscard]] const std::vector<std::pair<std::string, GoodCase>>& all() const { return cases_; }

 private:
  std::map<std::string, std::size_t> place_;
  std::vector<std::pair<std::string, GoodCase>> cases_;
};

std::string escaped_expression(const std::string& text) {
  std::string out = "^";
  for (const char c : text) {
    if (std::string_view("\\^$.|?*+()[]{}").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out + "$";
}

/// Nothing where it is sound.
std::string fault_of(const CaseHeader& which, const SuiteHeader& suite, const GoodCase& good) {
  if (good.suite != suite.name)
    return fmt::format("suites '{}' and '{}' have a case of this name", good.suite, suite.name);
  if (suite.pairs && is_pair_case(which)) return "pairs of ranks are judged by each other";
  if (which.figures.empty() || !(which.figures.front().amount > 0.0)) return "has no figure";
  return {};
}

/// Of a case that passed.
std::string fault_of_result(const ResultFile& file, std::size_t s, std::size_t c, double seconds) {
  const std::vector<double> errors = file.verify_errors(s, c);
  if (std::any_of(errors.begin(), errors.end(), [](double error) { return error > 1.0; })) {
    return "its result is wrong, though it passed";
  }
  if (has_measured_peaks(file.header())) return {};
  const auto& figures = file.header().suites[s].cases[c].figures;
  const bool above_peak = std::any_of(figures.begin(), figures.end(), [&](const FigureHeader& figure) {
    return figure.unit == "%" && figure.value(seconds) > impossible_share;
  });
  return above_peak ? "is above its peak" : "";
}

void add_case(const ResultFile& file, std::size_t s, std::size_t c, GoodCase& good) {
  const SuiteHeader& suite = file.header().suites[s];
  const CaseHeader& which = suite.cases[c];
  if (good.fault.empty()) good.fault = fault_of(which, suite, good);
  if (!good.fault.empty() || file.outcome(s, c).status != Status::passed) return;
  good.figure = which.figures.front();
  good.collective = which.collective;
  ++good.files;
  const CaseMedians middle = medians(file, s, c);
  good.fault = fault_of_result(file, s, c, middle.time);
  const std::vector<double> one{middle.time};
  for (const double seconds : which.collective ? one : middle.rank_time) {
    if (seconds > 0.0 && std::isfinite(seconds)) good.values.push_back(which.figures.front().value(seconds));
  }
}

/// Four significant digits, away from the typical value where they are rounded.
double rounded(double value, bool upwards) {
  const double unit = std::pow(10.0, std::floor(std::log10(value)) - 3.0);
  return (upwards ? std::ceil(value / unit) : std::floor(value / unit)) * unit;
}

/// Nothing where no limit would be one: the worst is too far from the typical.
std::optional<toml::table> limit_of(const std::string& name, const GoodCase& good, double margin,
                                    const std::string& source, const std::string& condition) {
  const bool rate = good.figure.kind == FigureHeader::Kind::rate;
  const auto [least, most] = std::minmax_element(good.values.begin(), good.values.end());
  const double typical = stats::median(good.values);
  const double bound = rate ? rounded(*least * (1.0 - margin), false) : rounded(*most * (1.0 + margin), true);
  if (rate ? bound < 0.5 * typical : bound > 2.0 * typical) return std::nullopt;
  toml::table table;
  table.insert("name", name);
  table.insert("case", escaped_expression(name));
  table.insert("figure", good.figure.name);
  table.insert("unit", good.figure.unit);
  table.insert("scope", good.collective ? "rack" : "device");
  table.insert(rate ? "min" : "max", bound);
  table.insert("spec", typical);
  table.insert("source", source);
  table.insert("spec_source", good.collective ? "median of the launches" : "median of devices and launches");
  table.insert("condition", condition);
  return table;
}

/// Comments: "# left out, has no figure (2): a, b".
std::string left_out_text(const std::map<std::string, std::vector<std::string>>& left_out) {
  constexpr std::size_t most_named = 20;
  std::string text;
  for (const auto& [reason, names] : left_out) {
    text += fmt::format("# left out, {} ({}): ", printable(reason), names.size());
    for (std::size_t i = 0; i < names.size() && i < most_named; ++i) {
      text += (i == 0 ? "" : ", ") + printable(names[i]);
    }
    if (names.size() > most_named) text += fmt::format(" and {} more", names.size() - most_named);
    text += "\n";
  }
  return text;
}

GoodCases cases_of(std::span<const ResultFile> files) {
  GoodCases cases;
  for (const ResultFile& file : files) {
    const RunHeader& header = file.header();
    for (std::size_t s = 0; s < header.suites.size(); ++s) {
      for (std::size_t c = 0; c < header.suites[s].cases.size(); ++c) {
        add_case(file, s, c, cases.of(header.suites[s].cases[c].name, header.suites[s].name));
      }
    }
  }
  return cases;
}

/// Why there is no limit of it; empty: there is one in `limits` now.
std::string add_limit(const std::string& name, const GoodCase& good, std::size_t files, double margin,
                      const std::string& source, const std::string& condition, toml::array& limits) {
  if (!good.fault.empty()) return good.fault;
  if (good.files != files) return fmt::format("passed in {} of {} launches", good.files, files);
  if (good.values.empty()) return "nothing was measured";
  std::optional<toml::table> table = limit_of(name, good, margin, source, condition);
  if (!table) return "the worst is too far from what is typical";
  limits.push_back(std::move(*table));
  return {};
}

}  // namespace

std::string make_limits(std::span<const ResultFile> files, const std::string& name, double margin) {
  refuse_same_runs(files, {});
  std::set<std::string> devices;
  std::string runs;
  for (const ResultFile& file : files) {
    runs += (runs.empty() ? "" : ", ") + file.header().run_id;
    for (const RankHeader& rank : file.header().ranks) devices.insert(rank.device_name);
  }
  if (devices.size() > 1) {
    throw usage_error(fmt::format("the files have devices of {} kinds, such as '{}' and '{}'; limits are for one",
                                  devices.size(), printable(*devices.begin()), printable(*devices.rbegin())));
  }
  const std::string source = fmt::format("the worst of {} launch{}, {:.3g} % beyond it", files.size(),
                                         files.size() == 1 ? "" : "es", 100.0 * margin);
  toml::array limits;
  std::map<std::string, std::vector<std::string>> left_out;
  const GoodCases cases = cases_of(files);
  for (const auto& [case_name, good] : cases.all()) {
    const std::string fault = add_limit(case_name, good, files.size(), margin, source, "runs " + runs, limits);
    if (!fault.empty()) left_out[fault].push_back(case_name);
  }
  if (limits.empty()) {
    const std::string why =
        left_out.empty() ? "" : fmt::format("; {}: {}", left_out.begin()->second.front(), left_out.begin()->first);
    throw usage_error("no case passed in all files with devices that are alike: no limits to make" + printable(why));
  }
  toml::table table;
  table.insert("name", name);
  table.insert("description", fmt::format("made by 'rackproof accept --make-limits' from {} of {}", source,
                                          devices.empty() ? "" : *devices.begin()));
  if (!devices.empty()) table.insert("device", escaped_expression(*devices.begin()));
  table.insert("limit", std::move(limits));
  std::ostringstream out;
  out << table << "\n" << left_out_text(left_out);
  (void)parse_limits(out.str(), name);  // what cannot be read is not written
  return out.str();
}

}  // namespace rackproof::results
