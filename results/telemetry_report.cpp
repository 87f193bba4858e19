#include "results/telemetry_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "results/table.hpp"

namespace rackproof::results {
namespace {

/// Levels that are shown; the file has more.
constexpr std::array<std::string_view, 3> shown_levels{"power", "clock", "temperature"};
/// Counters that should stand still.
constexpr std::array<std::string_view, 4> error_counters{"ecc_corrected", "ecc_uncorrected", "remapped_rows",
                                                         "nvlink_errors"};
/// States that are wrong whenever they came, with what to do (NVIDIA, GPU Memory Error Management, "Row-Remapping": a
/// remapping takes effect with the next reset, and one that failed is a reason to replace the GPU).
struct MemoryState {
  std::string_view name;
  std::string_view words;
};
constexpr std::string_view remap_failed = "row_remap_failed";
constexpr std::array<MemoryState, 2> memory_states{
    {{"row_remap_pending", "row_remap_pending (reset it)"}, {remap_failed, "row_remap_failed (replace it)"}}};
/// A GPU without work is not held back.
constexpr std::string_view idle = "idle";

struct DeviceRow {
  std::size_t rank = 0;
  std::vector<std::string> levels;
  std::string held_back;  ///< by what, most often first
  std::string errors;
  [[nodiscard]] bool is_remarkable() const { return !held_back.empty() || !errors.empty(); }
};

std::string range_of(std::span<const float> values) {
  std::vector<float> known;
  std::copy_if(values.begin(), values.end(), std::back_inserter(known), [](float v) { return std::isfinite(v); });
  if (known.empty()) return "-";
  std::sort(known.begin(), known.end());
  return fmt::format("{:.0f} {:.0f} {:.0f}", known.front(), known[known.size() / 2], known.back());
}

/// "power_cap 80 %, hardware_slowdown 1 %": the share of ticks in which each bit was seen.
std::string reasons_of(const TelemetryColumn& column, std::span<const float> values) {
  std::vector<std::pair<std::size_t, std::string>> seen;
  for (const auto& [mask, meaning] : column.bits) {
    const auto count = std::count_if(values.begin(), values.end(), [m = mask](float value) {
      return value > 0.0F && (static_cast<std::uint32_t>(value) & m) != 0;
    });
    if (count > 0 && meaning != idle) seen.emplace_back(static_cast<std::size_t>(count), meaning);
  }
  std::stable_sort(seen.begin(), seen.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::string text;
  for (const auto& [count, meaning] : seen) {
    const double share = 100.0 * static_cast<double>(count) / static_cast<double>(values.size());
    text += fmt::format("{}{} {:.0f} %", text.empty() ? "" : ", ", meaning, std::max(share, 1.0));
  }
  return text;
}

/// "ecc_corrected +3": by how much a counter rose in the run.
std::string rise_of(const TelemetryColumn& column, std::span<const float> values) {
  const auto is_known = [](float value) { return std::isfinite(value); };
  const auto first = std::find_if(values.begin(), values.end(), is_known);
  if (first == values.end()) return {};
  const float last = *std::find_if(values.rbegin(), values.rend(), is_known);
  return last > *first ? fmt::format("{} +{:.0f}", column.name, last - *first) : std::string{};
}

/// "row_remap_pending (reset it)": where it ended so.
std::string state_of(const TelemetryColumn& column, std::span<const float> values) {
  const auto known = std::find_if(values.rbegin(), values.rend(), [](float value) { return std::isfinite(value); });
  if (known == values.rend() || !(*known > 0.0F)) return {};
  const auto state = std::find_if(memory_states.begin(), memory_states.end(),
                                  [&](const MemoryState& one) { return one.name == column.name; });
  return state == memory_states.end() ? std::string{} : std::string(state->words);
}

template <std::size_t N>
bool is_among(const std::array<std::string_view, N>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void append(std::string& list, const std::string& entry) {
  if (!entry.empty()) list += (list.empty() ? "" : ", ") + entry;
}

/// Of one rank of a block; nothing where its device told nothing.
std::optional<DeviceRow> row_of(const RunHeader& header, const TelemetryBlock& block, std::size_t rank_in_block) {
  DeviceRow row;
  row.rank = static_cast<std::size_t>(block.first_rank) + rank_in_block;
  const auto ticks = static_cast<std::size_t>(block.ticks[rank_in_block]);
  bool told = false;
  for (std::size_t c = 0; c < header.telemetry.size(); ++c) {
    const TelemetryColumn& column = header.telemetry[c];
    const auto values =
        std::span(block.values[c]).subspan(rank_in_block * static_cast<std::size_t>(block.columns), ticks);
    if (is_among(shown_levels, column.name)) {
      row.levels.push_back(range_of(values));
      told = told || row.levels.back() != "-";
    } else if (column.kind == "bits") {
      append(row.held_back, reasons_of(column, values));
    } else if (is_among(error_counters, column.name)) {
      append(row.errors, rise_of(column, values));
    } else {
      append(row.errors, state_of(column, values));
    }
  }
  if (!told) return std::nullopt;
  return row;
}

std::vector<DeviceRow> rows_of(const ResultFile& file) {
  const RunHeader& header = file.header();
  const auto ranks = static_cast<int>(header.ranks.size());
  constexpr int step = 256;
  std::vector<DeviceRow> rows;
  for (int first = 0; first < ranks; first += step) {
    const TelemetryBlock block = file.telemetry(first, std::min(step, ranks - first));
    for (std::size_t r = 0; r < block.ticks.size(); ++r) {
      if (auto row = row_of(header, block, r)) rows.push_back(std::move(*row));
    }
  }
  return rows;
}

}  // namespace

std::vector<TelemetryRemark> telemetry_remarks(const ResultFile& file) {
  std::vector<TelemetryRemark> remarks;
  if (file.header().telemetry.empty()) return remarks;
  for (const DeviceRow& row : rows_of(file)) {
    if (!row.is_remarkable()) continue;
    const bool broken =
        row.errors.find("ecc_uncorrected") != std::string::npos || row.errors.find(remap_failed) != std::string::npos;
    remarks.push_back({row.rank, row.held_back, row.errors, broken});
  }
  return remarks;
}

std::string telemetry_report(const ResultFile& file, std::size_t most_rows) {
  const RunHeader& header = file.header();
  std::vector<Table::Column> columns{{"rank", "", Table::Align::right}, {"device", "", Table::Align::left}};
  for (const TelemetryColumn& column : header.telemetry) {
    if (is_among(shown_levels, column.name)) columns.push_back({column.name, column.unit, Table::Align::right});
  }
  if (columns.size() == 2) return {};
  columns.push_back({"held back by", "share of readings", Table::Align::left});
  columns.push_back({"errors", "", Table::Align::left});
  std::vector<DeviceRow> rows = rows_of(file);
  if (rows.empty()) return {};
  const std::size_t hidden = rows.size() - std::min(rows.size(), most_rows);
  if (hidden > 0) {
    std::stable_partition(rows.begin(), rows.end(), [](const DeviceRow& row) { return row.is_remarkable(); });
    rows.resize(most_rows);
  }
  Table table(columns);
  for (const DeviceRow& row : rows) {
    const RankHeader& rank = header.ranks[row.rank];
    std::vector<std::string> cells{fmt::format("{}", row.rank), fmt::format("{} {}", rank.hostname, rank.device_id)};
    cells.insert(cells.end(), row.levels.begin(), row.levels.end());
    cells.push_back(row.held_back);
    cells.push_back(row.errors);
    table.add_row(std::move(cells));
  }
  std::string text = "what the devices felt: least, median, largest\n" + table.render(page_width);
  if (hidden > 0) text += fmt::format("and {} more; --ranks shows all\n", hidden);
  return text;
}

}  // namespace rackproof::results
