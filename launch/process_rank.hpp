// Which rank this process is, before MPI is up.
#pragma once

namespace rackproof {

/// From the environment that mpirun, mpiexec and srun set; -1 where none did. Only for messages: the truth is MPI's.
[[nodiscard]] int process_rank_hint();

}  // namespace rackproof
