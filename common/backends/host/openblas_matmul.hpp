// f64 products by OpenBLAS.
#pragma once

#include <memory>

#include "common/backends/device.hpp"
#include "common/backends/host/openblas.hpp"

namespace rackproof::host {

/// OpenBLAS has no packed weights: packed is the same as plain. Throws Error (usage) for a dimension above 2^31 - 1.
[[nodiscard]] std::unique_ptr<Matmul> make_openblas_matmul(std::shared_ptr<const OpenBlas> library,
                                                           const MatmulProblem& problem);

}  // namespace rackproof::host
