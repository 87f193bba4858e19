#include "common/backends/host/threads.hpp"

#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <cstdlib>

#include "common/core/error.hpp"

namespace rackproof::host {

int set_threads_of_rank(const Cpu& cpu, const DeviceRequest& request) {
  const int threads = threads_of_rank(cpu, read_control_group().cpu_quota, request.ranks_on_node, request.threads,
                                      std::getenv("OMP_NUM_THREADS"));
  // OpenMP starts no more than OMP_THREAD_LIMIT, whatever it is asked for, and oneDNN 2.6 leaves out the work of those
  // that are missing.
  const int limit = omp_get_thread_limit();
  if (request.threads > limit) {
    throw usage_error(fmt::format("--threads {}: OMP_THREAD_LIMIT allows {}; raise it, or ask for no more threads",
                                  request.threads, limit));
  }
  omp_set_dynamic(0);
  omp_set_num_threads(std::min(threads, limit));
  return std::min(threads, limit);
}

}  // namespace rackproof::host
