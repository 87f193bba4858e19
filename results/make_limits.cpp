#include "results/make_limits.hpp"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <vector>

#include "common/core/error.hpp"
#include "common/core/units.hpp"
#include "common/stats/order_statistics.hpp"
#include "results/case_summary.hpp"
#include "results/limits.hpp"
#include "results/links.hpp"
#include "results/part_file.hpp"

namespace rackproof::results {
namespace {

/// A case as it went in all files.
struct GoodCase {
  FigureHeader figure;
  bool collective = false;
  std::size_t files = 0;  ///< in which it passed
  std::vector<double> values;
};

std::string escaped_expression(const std::string& text) {
  std::string out = "^";
  for (const char c : text) {
    if (std::string_view("\\^$.|?*+()[]{}").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out + "$";
}

void add_case(const ResultFile& file, std::size_t s, std::size_t c, GoodCase& good) {
  const CaseHeader& which = file.header().suites[s].cases[c];
  good.figure = which.figures.front();
  good.collective = which.collective;
  ++good.files;
  const CaseMedians middle = medians(file, s, c);
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

}  // namespace

std::string make_limits(std::span<const ResultFile> files, const std::string& name, double margin) {
  std::map<std::pair<std::size_t, std::string>, GoodCase> cases;  // in the order of the suites
  std::set<std::string> devices;
  std::string runs;
  for (const ResultFile& file : files) {
    const RunHeader& header = file.header();
    runs += (runs.empty() ? "" : ", ") + header.run_id;
    for (const RankHeader& rank : header.ranks) devices.insert(rank.device_name);
    for (std::size_t s = 0; s < header.suites.size(); ++s) {
      for (std::size_t c = 0; c < header.suites[s].cases.size(); ++c) {
        const CaseHeader& which = header.suites[s].cases[c];
        const bool has_figure = !which.figures.empty() && which.figures.front().amount > 0.0;
        if (!has_figure || (header.suites[s].pairs && is_pair_case(which))) continue;
        if (file.outcome(s, c).status == Status::passed) add_case(file, s, c, cases[{s, which.name}]);
      }
    }
  }
  if (devices.size() > 1) {
    throw usage_error(fmt::format("the files have devices of {} kinds, such as '{}' and '{}'; limits are for one",
                                  devices.size(), printable(*devices.begin()), printable(*devices.rbegin())));
  }
  toml::array limits;
  const std::string source = fmt::format("the worst of {} launch{}, {:.3g} % beyond it", files.size(),
                                         files.size() == 1 ? "" : "es", 100.0 * margin);
  for (const auto& [key, good] : cases) {
    if (good.files != files.size() || good.values.empty()) continue;
    if (auto table = limit_of(key.second, good, margin, source, "runs " + runs)) limits.push_back(std::move(*table));
  }
  if (limits.empty()) throw usage_error("no case passed in all files with devices that are alike: no limits to make");
  toml::table table;
  table.insert("name", name);
  table.insert("description", fmt::format("made by 'rackproof accept --make-limits' from {} of {}", source,
                                          devices.empty() ? "" : *devices.begin()));
  if (!devices.empty()) table.insert("device", escaped_expression(*devices.begin()));
  table.insert("limit", std::move(limits));
  std::ostringstream out;
  out << table << "\n";
  (void)parse_limits(out.str(), name);  // what cannot be read is not written
  return out.str();
}

}  // namespace rackproof::results
