#include "results/launches.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "common/core/error.hpp"
#include "common/stats/order_statistics.hpp"
#include "results/known_runs.hpp"
#include "results/part_file.hpp"
#include "results/reader.hpp"

namespace rackproof::results {
namespace {

constexpr std::string_view repeated_parameter = "repetition";

/// "gemm/f64/m8/repetition2" -> "gemm/f64/m8".
std::string name_of_repeated(const CaseHeader& one) {
  const ParameterValue* const value = one.parameters.find(repeated_parameter);
  if (value == nullptr) return one.name;
  const std::string end = fmt::format("/{}{}", repeated_parameter, rackproof::to_string(*value));
  return one.name.ends_with(end) ? one.name.substr(0, one.name.size() - end.size()) : one.name;
}

/// Pairs of ranks that the run chose after what it had seen.
bool is_of_the_runs_choice(const CaseHeader& one) {
  const ParameterValue* const stage = one.parameters.find(schema::stage);
  return stage != nullptr && rackproof::to_string(*stage) != schema::stage_round;
}

bool is_timed(Status status) { return status == Status::passed || status == Status::mistrusted; }

/// Which says more about a case that ran several times: what went wrong before what went right.
int weight(Status status) {
  switch (status) {
    case Status::failed:
      return 5;
    case Status::error:
      return 4;
    case Status::mistrusted:
      return 3;
    case Status::passed:
      return 2;
    case Status::skipped:
      return 1;
    case Status::not_run:
      break;
  }
  return 0;
}

class LaunchReader {
 public:
  LaunchReader(const ResultFile& file, const std::regex& wanted, const KnownRuns* known)
      : file_(file), wanted_(wanted), known_(known) {}

  Launch read() {
    launch_.path = file_.path();
    // A run that was told to stop closes its file, which keeps its name.
    launch_.unfinished = file_.unfinished() || file_.path().extension() == ".part";
    for (std::size_t s = 0; s < file_.header().suites.size(); ++s) read_suite(s);
    for (std::size_t i = 0; i < launch_.cases.size(); ++i) {
      if (!times_[i].empty()) launch_.cases[i].time = stats::median(times_[i]);
    }
    launch_.header = file_.header();
    launch_.header.suites.clear();
    return std::move(launch_);
  }

 private:
  void read_suite(std::size_t s) {
    const SuiteHeader& suite = file_.header().suites[s];
    for (std::size_t c = 0; c < suite.cases.size(); ++c) {
      const std::string name = name_of_repeated(suite.cases[c]);
      if (!std::regex_search(name, wanted_)) continue;
      if (is_of_the_runs_choice(suite.cases[c])) {
        ++launch_.left_out;
        continue;
      }
      const auto [place, is_new] = places_.try_emplace({suite.name, name}, launch_.cases.size());
      if (is_new) {
        LaunchCase& one = launch_.cases.emplace_back();
        one.suite = suite.name;
        one.name = name;
        one.header = suite.cases[c];
        times_.emplace_back();
      }
      read_case(s, c, place->second);
    }
  }

  void read_case(std::size_t s, std::size_t c, std::size_t into) {
    LaunchCase& one = launch_.cases[into];
    const CaseOutcome& outcome = file_.outcome(s, c);
    if (weight(outcome.status) >= weight(one.status)) {
      one.status = outcome.status;
      if (!outcome.message.empty()) one.message = outcome.message;
    }
    if (!is_timed(outcome.status)) return;
    const CaseMedians all = medians_by(known_, file_, s, c);
    if (std::isfinite(all.time) && all.time > 0.0) times_[into].push_back(all.time);
    // Ranks that were several machines are nobody's.
    if (!one.header.collective && one.rank_time.empty() && file_.placements() == 1)
      one.rank_time.assign(all.rank_time.begin(), all.rank_time.end());
  }

  const ResultFile& file_;
  const std::regex& wanted_;
  const KnownRuns* known_;
  Launch launch_;
  std::map<std::pair<std::string, std::string>, std::size_t> places_;
  std::vector<std::vector<double>> times_;  ///< beside launch_.cases: of each repetition
};

}  // namespace

Launch read_launch(const std::filesystem::path& path, const std::regex& wanted, bool allow_fake,
                   const KnownRuns* known) {
  const ResultFile* const open = known == nullptr ? nullptr : known->file(path);
  const std::optional<ResultFile> own = open == nullptr ? std::optional<ResultFile>(path) : std::nullopt;
  const ResultFile& file = open == nullptr ? *own : *open;
  if (const std::string why = why_no_measurement(file.header()); !why.empty() && !allow_fake) {
    throw usage_error(fmt::format(
        "{} was made {}: no figure in it is a measurement; --allow-fake takes it nevertheless", quoted(path), why));
  }
  return LaunchReader(file, wanted, known).read();
}

std::vector<Launch> read_launches(const std::vector<std::filesystem::path>& paths, const std::string& case_regex,
                                  bool allow_fake, const KnownRuns* known) {
  std::regex wanted;
  try {
    wanted.assign(case_regex);
  } catch (const std::regex_error&) {
    throw usage_error(
        fmt::format("'{}' is no regular expression; write one such as '^gemm/bf16'", printable(case_regex)));
  }
  std::vector<Launch> launches;
  std::map<std::string, std::filesystem::path> places;
  std::size_t cases = 0;
  for (const std::filesystem::path& path : paths) {
    launches.push_back(read_launch(path, wanted, allow_fake, known));
    const auto [place, is_new] = places.try_emplace(launches.back().header.run_id, path);
    if (!is_new) {
      throw usage_error(fmt::format("{} and {} are the same run ({}): one launch cannot count twice",
                                    quoted(place->second), quoted(path), launches.back().header.run_id));
    }
    cases += launches.back().cases.size();
  }
  if (cases == 0) {
    throw usage_error(fmt::format("no case of {} matches '{}'",
                                  paths.empty() ? "no file" : quoted(paths.front()) + (paths.size() > 1 ? ", ..." : ""),
                                  printable(case_regex)));
  }
  return launches;
}

}  // namespace rackproof::results
