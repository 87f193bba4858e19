// f32, bf16 and int8 products by oneDNN, and by own kernels where there are very few rows.
#pragma once

#include <dnnl.hpp>
#include <memory>

#include "common/backends/device.hpp"
#include "common/backends/host/memory.hpp"

namespace rackproof::host {

/// Throws Error (usage) where oneDNN has no kernel for the types on this processor.
[[nodiscard]] std::unique_ptr<Matmul> make_onednn_matmul(const dnnl::engine& engine, const MatmulProblem& problem,
                                                         const AllocatedBytes& allocated);

/// Can oneDNN multiply matrices of this type here, and i8 exactly? (Without VNNI its sums saturate.)
[[nodiscard]] bool onednn_multiplies(const dnnl::engine& engine, DataType type);

}  // namespace rackproof::host
