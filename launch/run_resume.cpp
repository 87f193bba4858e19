#include "launch/run_resume.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <system_error>

#include "common/core/error.hpp"
#include "results/recover.hpp"
#include "suites/suite.hpp"

namespace rackproof {
namespace {

/// In which order the cases of a file were run: "listed", or the number of the shuffle.
void take_order(const results::RunHeader& header, RunOptions& options) {
  const auto text = header.provenance.find("configuration");
  if (text == header.provenance.end()) return;
  const auto json = nlohmann::ordered_json::parse(text->second, nullptr, false);
  if (!json.is_object() || !json.contains("order")) return;
  const auto& order = json["order"];
  options.shuffled = order.is_number_unsigned();
  if (options.shuffled) options.order_seed = order.get<std::uint64_t>();
}

/// Suites whose cases build on one another.
std::vector<std::string> suites_in_order(const RunOptions& options) {
  std::vector<std::string> names;
  for (const Suite* suite : options.suites) {
    if (suite->keeps_order()) names.push_back(suite->name());
  }
  return names;
}

}  // namespace

Resumption::Resumption(const mpi::Communicator& world, RunOptions& options) {
  mpi::agree(world, [&] {
    options.out = results::resumed_path(options.resume).string();
    if (world.is_root()) open(options);
  });
  std::vector<std::int64_t> shared{goes_on_ ? 1 : 0, options.shuffled ? 1 : 0,
                                   options.order_seed ? static_cast<std::int64_t>(*options.order_seed) : -1,
                                   complete_ ? static_cast<std::int64_t>(*complete_) : -1};
  world.broadcast(shared);
  goes_on_ = shared[0] == 1;
  if (shared[3] >= 0) complete_ = static_cast<ExitCode>(shared[3]);
  if (!goes_on_) return;
  options.shuffled = shared[1] == 1;
  if (shared[2] >= 0) options.order_seed = static_cast<std::uint64_t>(shared[2]);
}

void Resumption::open(RunOptions& options) {
  path_ = results::find_to_resume(options.resume);
  if (path_.empty()) {
    fmt::print(stderr, "rackproof: {}: is not there yet: this is a new run\n", printable(options.out, 500));
    return;
  }
  results::refuse_if_written(path_);
  file_.emplace(path_);
  take_order(file_->header(), options);
  kept_ = results::cases_to_keep(*file_, suites_in_order(options));
  goes_on_ = true;
  complete_ = find_result();
  if (complete_) fmt::print(stderr, "rackproof: {}: every case in it has run\n", printable(path_.string(), 500));
}

results::RunHeader Resumption::header(const results::RunHeader& now) {
  if (const std::string text = results::difference(file_->header(), now); !text.empty()) {
    throw usage_error(fmt::format(
        "--resume: {} is of another run: {}; give the same command on nodes of the same kind, or start a new file",
        printable(path_.string(), 500), text));
  }
  if (const auto hosts = results::new_hosts(file_->header(), now); !hosts.empty()) {
    fmt::print(stderr, "rackproof: {}: goes on on other hosts: {}; {} case{} stay{} as measured by those before\n",
               printable(path_.string(), 500), fmt::join(hosts, ", "), kept_.size(), kept_.size() == 1 ? "" : "s",
               kept_.size() == 1 ? "s" : "");
  }
  return results::resumed_header(file_->header(), now, results::last_written(path_), kept_.size(),
                                 results::broken_cases(*file_));
}

void Resumption::copy_into(results::Writer& writer) {
  std::vector<results::CasePosition> positions;
  for (const results::KeptCase& one : kept_) positions.emplace_back(one.suite, one.which);
  const std::vector<results::CasePosition> damaged = results::copy_cases(*file_, writer, positions);
  std::erase_if(kept_, [&damaged](const results::KeptCase& one) {
    return std::find(damaged.begin(), damaged.end(), results::CasePosition(one.suite, one.which)) != damaged.end();
  });
  file_.reset();
  std::error_code ignored;
  // What cannot be read here may be of use to somebody.
  if (!damaged.empty()) std::filesystem::rename(path_, path_.string() + ".damaged", ignored);
  std::filesystem::path part = writer.path();
  part += ".part";
  writer.take_name(part);
}

EarlierCases Resumption::earlier_cases(const mpi::Communicator& world) const {
  std::vector<std::int64_t> numbers;
  for (const results::KeptCase& one : kept_) {
    numbers.push_back(static_cast<std::int64_t>(one.suite));
    numbers.push_back(static_cast<std::int64_t>(one.which));
    numbers.push_back(static_cast<std::int64_t>(one.status));
  }
  auto count = static_cast<std::int64_t>(numbers.size());
  world.broadcast({&count, 1});
  numbers.resize(static_cast<std::size_t>(count));
  world.broadcast(numbers);
  EarlierCases cases;
  for (std::size_t i = 0; i + 2 < numbers.size(); i += 3) {
    cases[{static_cast<std::size_t>(numbers[i]), static_cast<std::size_t>(numbers[i + 1])}] =
        static_cast<results::Status>(numbers[i + 2]);
  }
  return cases;
}

std::optional<ExitCode> Resumption::find_result() const {
  if (file_->unfinished() || path_.extension() == ".part") return std::nullopt;
  auto worst = ExitCode::pass;
  for (std::size_t s = 0; s < file_->header().suites.size(); ++s) {
    for (std::size_t c = 0; c < file_->header().suites[s].cases.size(); ++c) {
      const results::Status status = file_->outcome(s, c).status;
      if (status == results::Status::not_run || status == results::Status::error) return std::nullopt;
      if (status == results::Status::failed) worst = ExitCode::fail;
    }
  }
  return worst;
}

}  // namespace rackproof
