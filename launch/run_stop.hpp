// Ending a run between two cases: by a signal, and before the time that a batch job has is over.
#pragma once

namespace rackproof {

/// From here to the end of the object, SIGTERM and SIGUSR1 (Slurm's --signal) do not end the process: they ask it to
/// end the run after the case in flight. One object a process at a time.
class StopSignals {
 public:
  StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  ~StopSignals();
  /// The last one that has come; 0: none.
  [[nodiscard]] static int received() noexcept;
};

/// "SIGTERM", "SIGUSR1"
[[nodiscard]] const char* name_of_signal(int number);

/// When the run must have ended, in s of the steady clock; infinite where nobody says. `began`: of the process, and
/// `now`, s of that clock. `wall_time`: s, 0: none given; then `slurm_job_end` counts, which is the variable
/// SLURM_JOB_END_TIME or null: s of `unix_now`'s clock.
[[nodiscard]] double end_of_run(double began, double now, double wall_time, const char* slurm_job_end, double unix_now);

/// Does a case still fit? It may sample for `share` s; `overhead`: s that setting up and checking the slowest case so
/// far took. Some seconds are left for closing the file.
[[nodiscard]] bool case_fits(double now, double end, double share, double overhead);

}  // namespace rackproof
