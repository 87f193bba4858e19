// f64 products by the BLAS that was built in.
#pragma once

#include <memory>

#include "common/backends/device.hpp"
#include "common/backends/host/blas.hpp"

namespace rackproof::host {

/// A BLAS has no packed weights: packed is the same as plain. Throws Error (usage) for a dimension above 2^31 - 1.
[[nodiscard]] std::unique_ptr<Matmul> make_blas_matmul(std::shared_ptr<const Blas> library,
                                                       const MatmulProblem& problem);

}  // namespace rackproof::host
