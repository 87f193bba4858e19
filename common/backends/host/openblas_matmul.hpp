// f64 products by OpenBLAS.
#pragma once

#include <memory>

#include "common/backends/device.hpp"

namespace rackproof::host {

/// OpenBLAS has no packed weights: packed is the same as plain. Throws Error (usage) for a dimension above 2^31 - 1.
[[nodiscard]] std::unique_ptr<Matmul> make_openblas_matmul(const MatmulProblem& problem);
/// Threads that OpenBLAS uses from now on, in the whole process.
void set_openblas_threads(int threads);

}  // namespace rackproof::host
