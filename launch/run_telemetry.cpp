#include "launch/run_telemetry.hpp"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "common/system/host_telemetry.hpp"

namespace rackproof {
namespace {

using nlohmann::ordered_json;

std::vector<std::unique_ptr<TelemetrySource>> sources_of(Device& device, bool is_first_on_node, const Clock& clock) {
  std::vector<std::unique_ptr<TelemetrySource>> sources;
  if (auto source = device.telemetry()) sources.push_back(std::move(source));
  if (!is_first_on_node) return sources;
  if (auto source = make_host_telemetry(clock)) sources.push_back(std::move(source));
  return sources;
}

std::string to_text(TelemetryQuantity::Kind kind) {
  switch (kind) {
    case TelemetryQuantity::Kind::level:
      return "level";
    case TelemetryQuantity::Kind::counter:
      return "counter";
    case TelemetryQuantity::Kind::bits:
      return "bits";
  }
  return "?";
}

ordered_json to_json(const std::vector<TelemetryQuantity>& quantities) {
  ordered_json all = ordered_json::array();
  for (const TelemetryQuantity& one : quantities) {
    all.push_back({{"name", one.name},
                   {"unit", one.unit},
                   {"long_name", one.long_name},
                   {"kind", to_text(one.kind)},
                   {"bits", one.bits}});
  }
  return all;
}

results::TelemetryColumn to_column(const ordered_json& json) {
  return {json["name"], json["unit"], json["long_name"], json["kind"],
          json["bits"].get<std::vector<std::pair<std::uint32_t, std::string>>>()};
}

/// What any rank reads, the same on every rank.
std::vector<results::TelemetryColumn> agree_on_columns(const mpi::Communicator& world,
                                                       const std::vector<TelemetryQuantity>& mine) {
  std::string text = to_json(mine).dump();
  const auto all = world.gather(text);
  if (world.is_root()) {
    ordered_json merged = ordered_json::array();
    std::string seen;
    for (const std::string& one : all) {
      if (one == seen) continue;  // most ranks are alike
      seen = one;
      for (const auto& quantity : ordered_json::parse(one)) {
        const bool known = std::any_of(merged.begin(), merged.end(),
                                       [&](const auto& other) { return other["name"] == quantity["name"]; });
        if (!known) merged.push_back(quantity);
      }
    }
    text = merged.dump();
  }
  world.broadcast(text);
  std::vector<results::TelemetryColumn> columns;
  for (const auto& quantity : ordered_json::parse(text)) columns.push_back(to_column(quantity));
  return columns;
}

constexpr std::size_t numbers_before = 3;  // ticks, readings, cost

/// The rows of several ranks as the writer takes them: numbers_before numbers, times, then one row a column.
results::TelemetryBlock unpack(int first_rank, std::span<const double> rows, std::size_t ticks, std::size_t columns) {
  results::TelemetryBlock block;
  block.first_rank = first_rank;
  block.columns = static_cast<int>(ticks);
  block.values.resize(columns);
  const std::size_t length = numbers_before + (columns + 1) * ticks;
  for (std::size_t at = 0; at < rows.size(); at += length) {
    auto row = rows.subspan(at, length);
    block.ticks.push_back(static_cast<std::int32_t>(row[0]));
    block.readings.push_back(static_cast<std::int32_t>(row[1]));
    block.cost.push_back(row[2]);
    row = row.subspan(numbers_before);
    block.time.insert(block.time.end(), row.begin(), row.begin() + static_cast<std::ptrdiff_t>(ticks));
    for (auto& values : block.values) {
      row = row.subspan(ticks);
      for (const double value : row.first(ticks)) values.push_back(static_cast<float>(value));
    }
  }
  return block;
}

}  // namespace

RunTelemetry::RunTelemetry(const mpi::Communicator& world, Device& device, bool is_first_on_node, const Clock& clock)
    : clock_(&clock),
      began_(clock.now()),
      sampler_(sources_of(device, is_first_on_node, clock), clock, device.is_host() ? 1.0 : 0.1),
      columns_(agree_on_columns(world, sampler_.quantities())) {
  for (const results::TelemetryColumn& column : columns_) {
    const auto& mine = sampler_.quantities();
    const auto found = std::find_if(mine.begin(), mine.end(), [&](const auto& one) { return one.name == column.name; });
    places_.push_back(found == mine.end() ? -1 : static_cast<int>(found - mine.begin()));
  }
}

void RunTelemetry::write(const mpi::Communicator& world, const mpi::RowGatherer& gatherer,
                         const mpi::GlobalClock& clock, results::Writer* writer) {
  if (columns_.empty()) return;
  const BoundedSeries series = sampler_.series();
  double most = static_cast<double>(series.rows());
  world.all_reduce_max({&most, 1});
  // What a longer series has left in the file is overwritten.
  const std::size_t ticks = ticks_in_file_ = std::max(ticks_in_file_, static_cast<std::size_t>(most));
  written_ = clock_->now();
  bytes_written_ += static_cast<double>(world.size()) * bytes_a_rank();
  constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> row{static_cast<double>(series.rows()), static_cast<double>(series.readings_a_row()),
                          sampler_.cost()};
  for (const double time : series.times()) row.push_back(clock.to_global(time));
  row.resize(numbers_before + ticks, unknown);
  for (const int place : places_) {
    const std::size_t end = row.size() + ticks;
    if (place >= 0) {
      const std::vector<float>& values = series.column(static_cast<std::size_t>(place));
      row.insert(row.end(), values.begin(), values.end());
    }
    row.resize(end, unknown);
  }
  mpi::agree(world, [&] {
    gatherer.gather(row, [&](int first_rank, std::span<const double> rows) {
      writer->write_telemetry(unpack(first_rank, rows, ticks, columns_.size()));
    });
  });
}

double RunTelemetry::bytes_a_rank() const {
  return static_cast<double>(ticks_in_file_ * (sizeof(double) + columns_.size() * sizeof(float)));
}

void RunTelemetry::write_if_due(const mpi::Communicator& world, const mpi::RowGatherer& gatherer,
                                const mpi::GlobalClock& clock, results::Writer* writer) {
  if (columns_.empty()) return;
  constexpr double interval = 10.0;
  constexpr double few_bytes = 64.0 * 1024.0 * 1024.0;
  double due = 1.0;
  if (written_ >= 0.0) {
    const double now = clock_->now();
    const bool cheap = bytes_written_ + static_cast<double>(world.size()) * bytes_a_rank() < few_bytes;
    due = now - written_ >= interval && (cheap || now - began_ >= 2.0 * (written_ - began_)) ? 1.0 : 0.0;
  }
  world.broadcast({&due, 1});  // rank 0's clock decides
  if (due > 0.0) write(world, gatherer, clock, writer);
}

}  // namespace rackproof
