#include "launch/run_case.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <exception>
#include <limits>
#include <memory>
#include <new>

#include "common/core/consequence.hpp"
#include "common/core/error.hpp"
#include "common/core/units.hpp"
#include "common/stats/digest_vote.hpp"
#include "common/stats/order_statistics.hpp"

namespace rackproof {
namespace {

std::string place_of(const results::RankHeader& rank, int number) {
  std::string text = fmt::format("rank {} on {} ({}", number, rank.hostname, rank.device_id);
  if (!rank.uuid.empty()) text += ", " + rank.uuid;
  if (!rank.serial.empty() && rank.serial != rank.uuid) text += ", serial " + rank.serial;
  return text + ")";
}

/// The verdict over all ranks, on rank 0.
struct Conclusion {
  results::Status status = results::Status::passed;
  std::string message;
};

Conclusion conclude(const std::vector<results::RankHeader>& ranks, const std::vector<double>& outcomes,
                    const std::vector<std::uint64_t>& digests, const std::vector<std::string>& details,
                    bool digests_are_shared) {
  constexpr auto failed = static_cast<double>(Verification::Outcome::failed);
  constexpr auto mistrusted = static_cast<double>(Verification::Outcome::mistrusted);
  const auto failures = std::count(outcomes.begin(), outcomes.end(), failed);
  if (failures > 0) {
    const auto first = static_cast<std::size_t>(std::find(outcomes.begin(), outcomes.end(), failed) - outcomes.begin());
    std::string message =
        fmt::format("{}: {}", place_of(ranks[first], static_cast<int>(first)), printable(details[first]));
    if (failures > 1) message += fmt::format(" (and {} more ranks)", failures - 1);
    return {results::Status::failed, message};
  }
  if (digests_are_shared) {
    std::vector<std::string> kinds;
    for (const auto& rank : ranks) kinds.push_back(rank.device_name);
    const DigestVote vote = vote_on_digests(digests, kinds);
    if (!vote.deviating.empty()) {
      const int first = vote.deviating.front();
      std::string message =
          fmt::format("{} computed other bits than its peers", place_of(ranks[static_cast<std::size_t>(first)], first));
      if (vote.deviating.size() > 1) {
        message =
            fmt::format("{} ranks computed other bits than their peers{}, first {}", vote.deviating.size(),
                        vote.decided ? "" : " (no majority)", place_of(ranks[static_cast<std::size_t>(first)], first));
      }
      return {results::Status::failed, message};
    }
  }
  for (std::size_t rank = 0; rank < outcomes.size(); ++rank) {
    if (outcomes[rank] == mistrusted) return {results::Status::mistrusted, "not checked: " + printable(details[rank])};
  }
  // A check that passed may have had to leave something out.
  for (const std::string& detail : details) {
    if (!detail.empty()) return {results::Status::passed, printable(detail)};
  }
  return {results::Status::passed, ""};
}

/// On rank 0: of ranks whose clock jumped while the case was measured, in one line; empty: none did. Collective.
std::string clock_words(const RunParts& parts, const Samples& samples, double elapsed) {
  const std::vector<double> seconds = parts.world.gather(samples.clock_deviation.seconds);
  const std::vector<double> errors = parts.world.gather(samples.clock_deviation.error);
  std::vector<mpi::GlobalClock::Deviation> deviations;
  for (std::size_t rank = 0; rank < seconds.size(); ++rank) deviations.push_back({seconds[rank], errors[rank]});
  const auto jumps = mpi::find_clock_jumps(deviations, elapsed, samples.clock_error_before);
  if (jumps.empty()) return {};
  const mpi::ClockJump& first = jumps.front();
  std::string text = fmt::format("the clock of {} jumped by {}{} while this was measured",
                                 place_of(parts.ranks[static_cast<std::size_t>(first.rank)], first.rank),
                                 first.seconds < 0.0 ? "-" : "", format_duration(std::abs(first.seconds)));
  if (jumps.size() > 1) text += fmt::format(" (and those of {} more ranks)", jumps.size() - 1);
  return text;
}

/// What ran the case on all ranks, on rank 0: in one line, with the first rank that has another.
std::string implementation_of(const mpi::Communicator& world, const Workload& workload) {
  const auto all = world.gather(workload.implementation());
  if (all.empty()) return {};
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank] != all[0]) return fmt::format("{}; rank {}: {}", all[0], rank, all[rank]);
  }
  return all[0];
}

/// Gathers what every rank saw and writes it.
void write_samples(const RunParts& parts, const Samples& samples, const Verification& verification,
                   const Workload& workload, std::size_t suite_index, std::size_t row) {
  // One row a rank: columns of n samples, then the check's error, the digest's bits, whether it
  // takes part, and its partner.
  constexpr std::size_t columns = 7;
  const std::size_t n = samples.begin.size();
  std::vector<double> packed;
  packed.reserve(columns * n + 4);
  const auto pack = [&packed](const auto& column) { packed.insert(packed.end(), column.begin(), column.end()); };
  pack(samples.time);
  pack(samples.host_time);
  pack(samples.begin);
  pack(samples.flags);
  pack(samples.switches);
  pack(samples.probe);
  pack(samples.steal);
  packed.push_back(verification.error);
  packed.push_back(std::bit_cast<double>(verification.digest));
  packed.push_back(workload.takes_part() ? 1.0 : 0.0);
  packed.push_back(workload.partner());

  mpi::agree(parts.world, [&] {
    parts.gatherer.gather(packed, [&](int first_rank, std::span<const double> rows) {
      const std::size_t length = columns * n + 4;
      const std::size_t ranks = rows.size() / length;
      results::RankBlock block;
      block.first_rank = first_rank;
      block.columns = static_cast<int>(n);
      for (std::size_t r = 0; r < ranks; ++r) {
        const auto one = rows.subspan(r * length, length);
        std::size_t next = 0;
        const auto unpack = [&]<typename T>(std::vector<T>& column) {
          for (const double value : one.subspan(next++ * n, n)) column.push_back(static_cast<T>(value));
        };
        unpack(block.time);
        unpack(block.host_time);
        unpack(block.begin);
        unpack(block.flags);
        unpack(block.switches);
        unpack(block.probe);
        unpack(block.steal);
        block.verify_error.push_back(one[columns * n]);
        block.digest.push_back(std::bit_cast<std::uint64_t>(one[columns * n + 1]));
        block.samples.push_back(one[columns * n + 2] > 0.0 ? static_cast<std::int32_t>(n) : 0);
        block.partner.push_back(static_cast<std::int32_t>(one[columns * n + 3]));
      }
      parts.writer->write_block(suite_index, row, block);
    });
  });
}

void finish(const RunParts& parts, std::size_t suite_index, std::size_t row, const results::CaseOutcome& outcome) {
  mpi::agree(parts.world, [&] {
    if (parts.writer != nullptr) parts.writer->finish_case(suite_index, row, outcome);
  });
}

/// The median of each rank's own times, NaN where it did not take part, its partner, and whether its check failed; the
/// same on every rank.
Observation observe(const RunParts& parts, const Samples& samples, const Workload& workload,
                    const Verification& verification) {
  Observation seen;
  const double median = workload.takes_part() ? stats::median(samples.time) : std::numeric_limits<double>::quiet_NaN();
  constexpr std::size_t columns = 3;
  const bool failed = verification.outcome == Verification::Outcome::failed;
  const std::vector<double> row{median, static_cast<double>(workload.partner()), failed ? 1.0 : 0.0};
  std::vector<double> rows = parts.world.gather(std::span<const double>(row));
  rows.resize(columns * static_cast<std::size_t>(parts.world.size()));
  parts.world.broadcast(std::span<double>(rows));
  for (std::size_t i = 0; i < rows.size(); i += columns) {
    seen.seconds.push_back(rows[i]);
    seen.partner.push_back(static_cast<int>(rows[i + 1]));
    seen.failed.push_back(rows[i + 2] > 0.0);
  }
  return seen;
}

/// Device where that of any rank gave the times. Collective.
results::Timer timer_of(const RunParts& parts, const Samples& samples) {
  const bool by_device = std::any_of(samples.host_time.begin(), samples.host_time.end(),
                                     [](double seconds) { return std::isfinite(seconds); });
  double any = by_device ? 1.0 : 0.0;
  parts.world.all_reduce_max({&any, 1});
  return any > 0.0 ? results::Timer::device : results::Timer::host;
}

/// Of the first rank that has one, so that all agree where devices differ. Collective.
std::string reason_to_skip(const RunParts& parts, const Suite& suite, const Case& which) {
  std::string reason;
  mpi::agree(parts.world, [&] { reason = suite.reason_to_skip(which, parts.context); });
  const auto all = parts.world.gather(reason);
  const auto first = std::find_if(all.begin(), all.end(), [](const std::string& one) { return !one.empty(); });
  if (first != all.end()) reason = *first;
  parts.world.broadcast(reason);
  return reason;
}

double median_step(const Samples& samples, const Observation& seen, bool collective) {
  return stats::median(collective ? samples.figure : seen.seconds);
}

/// mpi::agree(), unless this rank has lost its device: others may wait for it then in a collective of the workload,
/// where no agreement reaches them, and the error that passes through ends the job.
template <typename Action>
void agree_while_usable(const RunParts& parts, Action&& action) {
  std::exception_ptr failure;
  try {
    action();
  } catch (const Consequence&) {
    failure = std::current_exception();
  } catch (const mpi::AgreedError&) {
    failure = std::current_exception();  // all who would wait for this rank have it too
  } catch (...) {
    if (!parts.context.device.is_usable()) throw;
    failure = std::current_exception();
  }
  mpi::agree_on(parts.world, failure);
}

}  // namespace

CaseResult run_case(const RunParts& parts, const Suite& suite, const Case& which, std::size_t suite_index,
                    std::size_t row, const StoppingRule& rule, StartMode start) {
  if (!which.skip_reason.empty()) return {results::Status::skipped, which.skip_reason, 0.0, 0.0};
  if (const std::string reason = reason_to_skip(parts, suite, which); !reason.empty()) {
    results::CaseOutcome outcome;
    outcome.status = results::Status::skipped;
    outcome.message = reason;
    finish(parts, suite_index, row, outcome);
    return {outcome.status, outcome.message, 0.0, 0.0};
  }

  ProgressWord& progress = parts.watchdog.progress();
  std::unique_ptr<Workload> workload;
  try {
    agree_while_usable(parts, [&] {
      try {
        workload = parts.planting.workload(suite.make(which, parts.context));
      } catch (const std::bad_alloc&) {
        throw infrastructure_error("out of memory");
      }
      if (workload->is_collective() != which.collective) {
        throw Error(ExitCode::internal, "suite", 0, "",
                    which.name + ": case and workload differ in what is collective");
      }
    });
  } catch (const mpi::AgreedError& error) {
    // Without its device no rank can go on.
    double lost = parts.context.device.is_usable() ? 0.0 : 1.0;
    parts.world.all_reduce_max({&lost, 1});
    if (error.exit_code() == ExitCode::internal || lost > 0.0) throw;
    results::CaseOutcome outcome;
    outcome.status = results::Status::error;
    outcome.message = error.line();
    finish(parts, suite_index, row, outcome);
    return {outcome.status, outcome.message, 0.0, 0.0};
  }

  parts.times.spent_on("setting up");
  progress.enter(Phase::synchronising);
  parts.clock.synchronise();
  parts.times.spent_on("clocks");
  progress.enter(Phase::sampling, !which.collective);
  const double sampling_began = parts.clock.local().now();
  const Samples samples = measure(*workload, parts.world, parts.clock, rule, start);
  const double sampling = parts.clock.local().now() - sampling_began;
  parts.times.measured(suite.name());
  progress.enter(Phase::checking, true);
  Verification verification;
  agree_while_usable(parts, [&] { verification = workload->verify(); });

  parts.times.spent_on("checking");
  progress.enter(Phase::writing, parts.world.is_root());
  const Observation seen = observe(parts, samples, *workload, verification);
  const double seconds = median_step(samples, seen, which.collective);
  const auto outcomes = parts.world.gather(static_cast<double>(verification.outcome));
  const auto digests = parts.world.gather(verification.digest);
  const auto details = parts.world.gather(verification.detail);
  write_samples(parts, samples, verification, *workload, suite_index, row);

  const std::string jumped = clock_words(parts, samples, sampling);
  results::CaseOutcome outcome;
  outcome.implementation = implementation_of(parts.world, *workload);
  if (parts.world.is_root()) {
    auto [status, message] = conclude(parts.ranks, outcomes, digests, details, verification.digest_is_shared);
    outcome.status = status;
    outcome.message = std::move(message);
    // What is wrong stays wrong.
    if (!jumped.empty() && status != results::Status::failed) {
      outcome.status = results::Status::mistrusted;
      outcome.message = jumped;
    }
  }
  outcome.stop_reason = static_cast<results::StopReason>(samples.stop_reason);
  outcome.warmup_steps = static_cast<int>(samples.warmup.size());
  outcome.warmup_time = samples.warmup;
  outcome.operations = samples.operations;
  outcome.timer = timer_of(parts, samples);
  outcome.clock_error = samples.clock_error;
  outcome.clock_error_before = samples.clock_error_before;
  outcome.clock_error_after = samples.clock_error_after;
  outcome.figure_time = samples.figure;
  finish(parts, suite_index, row, outcome);

  auto status = static_cast<std::int64_t>(outcome.status);
  parts.world.broadcast({&status, 1});
  parts.world.broadcast(outcome.message);
  CaseResult result{static_cast<results::Status>(status), outcome.message, seconds, sampling};
  const bool checked = result.status == results::Status::passed || result.status == results::Status::failed;
  if (parts.context.session != nullptr && checked) {
    parts.context.session->observe(which, seen);
  }
  parts.times.spent_on("writing");
  return result;
}

}  // namespace rackproof
