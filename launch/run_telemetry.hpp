// What the parts of a run feel while it lasts, into the result file.
#pragma once

#include <memory>
#include <vector>

#include "common/backends/device.hpp"
#include "common/mpi/communicator.hpp"
#include "common/mpi/gather_rows.hpp"
#include "common/mpi/global_clock.hpp"
#include "common/system/telemetry.hpp"
#include "results/writer.hpp"

namespace rackproof {

class RunTelemetry {
 public:
  /// Collective. Begins to read this rank's device and, on the first rank of a node, the node: ten times a second where
  /// a device tells something, else once. `clock` must outlive the object.
  RunTelemetry(const mpi::Communicator& world, Device& device, bool is_first_on_node, const Clock& clock);

  /// What any rank reads, the same on every rank; for the header of the file.
  [[nodiscard]] const std::vector<results::TelemetryColumn>& columns() const noexcept { return columns_; }
  [[nodiscard]] static constexpr int ticks() { return static_cast<int>(TelemetrySampler::capacity); }

  /// Collective. Writes what all ranks have read so far, in place of what was written before. `writer`: rank 0 alone,
  /// null elsewhere.
  void write(const mpi::Communicator& world, const mpi::RowGatherer& gatherer, const mpi::GlobalClock& clock,
             results::Writer* writer);
  /// Collective, between cases: write() now and then, so that a run that breaks off has it too. The first time at once,
  /// then every ten seconds; where that would be many bytes (what is written again takes new room in the file), when
  /// the run has become twice as long.
  void write_if_due(const mpi::Communicator& world, const mpi::RowGatherer& gatherer, const mpi::GlobalClock& clock,
                    results::Writer* writer);
  /// Stops reading.
  void stop() noexcept { sampler_.stop(); }

 private:
  /// That write() hands over.
  [[nodiscard]] double bytes_a_rank() const;

  const Clock* clock_;
  double began_;
  double written_ = -1.0;          ///< s, by the clock, when write() was last called; negative: never
  double bytes_written_ = 0.0;     ///< of all ranks, before compression
  std::size_t ticks_in_file_ = 0;  ///< the most that were written at once
  TelemetrySampler sampler_;
  std::vector<results::TelemetryColumn> columns_;
  std::vector<int> places_;  ///< of each of columns_: position among this rank's quantities; -1: it has none
};

}  // namespace rackproof
