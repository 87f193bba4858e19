#include "results/quantile_table.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <optional>
#include <span>
#include <string_view>

#include "common/core/units.hpp"
#include "common/stats/order_statistics.hpp"
#include "results/table.hpp"

namespace rackproof::results {
namespace {

struct Tail {
  std::string_view name;
  double q;
};
constexpr std::array<Tail, 4> tails{{{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}}};

/// Where the correlation of neighbours is no more than chance (one-sided, 5 %: r1 < 1.645 / sqrt(n)), all samples
/// count: otherwise half of all independent series would lose the few samples that a tail needs.
double effective_samples(std::span<const double> times) {
  const auto n = static_cast<double>(times.size());
  const double effective = stats::effective_sample_size(times);
  const double r1 = (n - effective) / (n + effective);
  return r1 * std::sqrt(n) < 1.645 ? n : effective;
}

struct Row {
  std::size_t which;
  std::vector<double> times;
  double effective;
};

Table table_of(const ResultFile& file, std::size_t suite, const std::vector<Row>& rows, std::span<const Tail> shown) {
  std::vector<Table::Column> columns{
      {"case", "", Table::Align::left}, {"status", "", Table::Align::left}, {"samples", "", Table::Align::right}};
  for (const Tail& tail : shown) {
    columns.push_back({std::string(tail.name), "", Table::Align::right});
    columns.push_back({"at most", "95 %", Table::Align::right});
  }
  Table table(columns);
  for (const Row& row : rows) {
    std::vector<std::string> cells{file.header().suites[suite].cases[row.which].name,
                                   std::string(to_string(file.outcome(suite, row.which).status))};
    if (!row.times.empty()) cells.push_back(fmt::format("{}", row.times.size()));
    for (const Tail& tail : shown) {
      if (row.times.empty()) break;
      const auto bound = stats::quantile_upper_bound(row.times, tail.q, 0.95, row.effective);
      cells.push_back(bound ? format_duration(stats::quantile(row.times, tail.q)) : "n too small");
      cells.push_back(bound ? format_duration(*bound) : "-");
    }
    table.add_row(std::move(cells));
  }
  return table;
}

}  // namespace

std::string quantile_table(const ResultFile& file, std::size_t suite, const std::vector<std::size_t>& cases,
                           std::size_t width) {
  std::vector<Row> rows;
  for (const std::size_t which : cases) {
    std::vector<double> times = file.figure_time(suite, which);
    const double effective = effective_samples(times);
    rows.push_back({which, std::move(times), effective});
  }
  const std::span<const Tail> all(tails);
  const Table whole = table_of(file, suite, rows, all);
  if (whole.width() <= width) return whole.render(width);
  return table_of(file, suite, rows, all.first(2)).render(width) + "\n" +
         table_of(file, suite, rows, all.subspan(2)).render(width);
}

}  // namespace rackproof::results
