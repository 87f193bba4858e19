#include "results/side_by_side.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "common/core/units.hpp"
#include "common/stats/order_statistics.hpp"
#include "results/table.hpp"

namespace rackproof::results {
namespace {

constexpr std::string_view backend_parameter = "backend";

/// Everything but the backend.
std::string key_of(const CaseHeader& one) {
  std::string key = fmt::format("{} bytes", one.message_size);
  for (const auto& [name, value] : one.parameters.entries()) {
    if (name != backend_parameter) key += fmt::format(" {}={}", name, rackproof::to_string(value));
  }
  return key;
}

/// The same case with each backend.
struct SideBySideRow {
  std::string name;
  std::map<std::string, double> medians;  ///< s, by backend
};

struct SideBySideRows {
  std::vector<std::string> backends;  ///< in the order in which they come
  std::vector<SideBySideRow> rows;
};

SideBySideRows rows_of(const ResultFile& file, std::size_t suite, const std::vector<std::size_t>& cases) {
  SideBySideRows all;
  std::map<std::string, std::size_t> known;
  for (const std::size_t which : cases) {
    const CaseHeader& one = file.header().suites[suite].cases[which];
    const ParameterValue* const value = one.parameters.find(backend_parameter);
    if (value == nullptr) continue;
    const std::string backend = rackproof::to_string(*value);
    if (std::find(all.backends.begin(), all.backends.end(), backend) == all.backends.end()) {
      all.backends.push_back(backend);
    }
    const auto [place, is_new] = known.emplace(key_of(one), all.rows.size());
    if (is_new) all.rows.push_back({one.name, {}});
    if (file.outcome(suite, which).status != Status::passed) continue;
    const std::vector<double> times = file.figure_time(suite, which);
    if (!times.empty()) all.rows[place->second].medians[backend] = stats::median(times);
  }
  std::erase_if(all.rows, [](const SideBySideRow& row) { return row.medians.empty(); });
  return all;
}

}  // namespace

std::string side_by_side(const ResultFile& file, std::size_t suite, const std::vector<std::size_t>& cases) {
  const SideBySideRows all = rows_of(file, suite, cases);
  if (all.backends.size() < 2 ||
      std::none_of(all.rows.begin(), all.rows.end(), [](const SideBySideRow& row) { return row.medians.size() > 1; })) {
    return {};
  }
  const std::string& first = all.backends.front();
  std::vector<Table::Column> columns{{"side by side", "", Table::Align::left}};
  for (const std::string& backend : all.backends) columns.push_back({backend, "median", Table::Align::right});
  for (const std::string& backend : all.backends) {
    if (backend != first) columns.push_back({backend, "times " + first, Table::Align::right});
  }
  Table table(columns);
  for (const SideBySideRow& row : all.rows) {
    const auto median = [&](const std::string& backend) {
      const auto found = row.medians.find(backend);
      return found == row.medians.end() ? 0.0 : found->second;
    };
    std::vector<std::string> cells{row.name};
    for (const std::string& backend : all.backends) {
      cells.push_back(median(backend) > 0.0 ? format_duration(median(backend)) : "-");
    }
    for (const std::string& backend : all.backends) {
      if (backend == first) continue;
      const bool both = median(backend) > 0.0 && median(first) > 0.0;
      cells.push_back(both ? fmt::format("{:.2f}", median(backend) / median(first)) : "-");
    }
    table.add_row(std::move(cells));
  }
  return table.render();
}

}  // namespace rackproof::results
