// One case: made, measured, verified, gathered, written.
#pragma once

#include <string>
#include <vector>

#include "common/core/error.hpp"
#include "common/measure/sampler.hpp"
#include "common/mpi/communicator.hpp"
#include "common/mpi/gather_rows.hpp"
#include "common/mpi/global_clock.hpp"
#include "common/watch/watchdog.hpp"
#include "launch/run_plant.hpp"
#include "launch/run_telemetry.hpp"
#include "launch/run_times.hpp"
#include "results/writer.hpp"
#include "suites/suite.hpp"

namespace rackproof {

/// What came out of a case, the same on every rank.
struct CaseResult {
  results::Status status = results::Status::not_run;
  std::string message;    ///< one line: why it was skipped, failed or broke; empty otherwise
  double seconds = 0.0;   ///< time of one step: the median sample; where ranks are apart, that of the median rank
  double sampling = 0.0;  ///< s that warm-up and samples took on this rank; the rest is setting up and checking
};

/// What running a case needs. All of it outlives the runs.
struct RunParts {
  const mpi::Communicator& world;
  mpi::GlobalClock& clock;
  const mpi::RowGatherer& gatherer;
  Context& context;
  results::Writer* writer;                        ///< rank 0 alone, null elsewhere
  const std::vector<results::RankHeader>& ranks;  ///< of the whole world, on rank 0
  RunTelemetry& telemetry;
  watch::Watchdog& watchdog;
  Planting& planting;
  RunTimes& times;
};

/// Collective. Case `row` of suite `suite_index` of the file. A case that cannot be made for lack of memory is a
/// result (error); a device that is lost, another failure of the machine, or one of rackproof, is thrown.
[[nodiscard]] CaseResult run_case(const RunParts& parts, const Suite& suite, const Case& which, std::size_t suite_index,
                                  std::size_t row, const StoppingRule& rule, StartMode start);

}  // namespace rackproof
