#include "launch/run_limits.hpp"

#include <nlohmann/json.hpp>

#include "results/limits.hpp"

namespace rackproof {
namespace {

constexpr std::size_t limit_columns = 5;

/// suite, row, seconds, longer, of the job: as numbers, to be sent.
std::vector<double> rows_of(const results::LimitSet& set, const results::RunHeader& header) {
  std::vector<double> rows;
  const auto matched = results::match_limits(set, header, "this run");
  for (std::size_t l = 0; l < matched.size(); ++l) {
    for (const results::LimitedCase& one : matched[l]) {
      const bool of_job =
          header.suites[one.suite].cases[one.which].collective && set.limits[l].scope == results::Limit::Scope::rack;
      rows.insert(rows.end(), {static_cast<double>(one.suite), static_cast<double>(one.which), one.time.seconds,
                               one.time.longer ? 1.0 : 0.0, of_job ? 1.0 : 0.0});
    }
  }
  return rows;
}

}  // namespace

std::vector<TimeBound> RunLimits::of(std::size_t suite, std::size_t row) const {
  std::vector<TimeBound> bounds;
  for (const Row& one : rows) {
    if (one.suite == suite && one.row == row) bounds.push_back(one.bound);
  }
  return bounds;
}

RunLimits make_run_limits(const mpi::Communicator& world, const std::string& name, results::RunHeader& header) {
  RunLimits limits;
  limits.plan = results::sequential_plan(static_cast<std::size_t>(world.size()));
  if (name.empty()) return limits;
  std::vector<double> rows;
  mpi::agree(world, [&] {
    if (!world.is_root()) return;
    const results::LimitSet set = results::load_limits(name);
    rows = rows_of(set, header);
    header.provenance["limits"] = set.text;
    auto configuration = nlohmann::ordered_json::parse(header.provenance["configuration"]);
    configuration["limits"] = set.name;
    configuration["sequential_test"] = nlohmann::ordered_json::parse(results::to_json(limits.plan));
    header.provenance["configuration"] = configuration.dump(2);
  });
  auto count = static_cast<std::int64_t>(rows.size());
  world.broadcast({&count, 1});
  rows.resize(static_cast<std::size_t>(count));
  world.broadcast(std::span<double>(rows));
  for (std::size_t i = 0; i < rows.size(); i += limit_columns) {
    limits.rows.push_back({static_cast<std::size_t>(rows[i]),
                           static_cast<std::size_t>(rows[i + 1]),
                           {rows[i + 2], rows[i + 3] > 0.0, rows[i + 4] > 0.0}});
  }
  return limits;
}

}  // namespace rackproof
