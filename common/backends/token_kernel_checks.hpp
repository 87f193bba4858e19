// What every device demands of the arguments of its token kernels.
#pragma once

#include "common/backends/token_kernels.hpp"

namespace rackproof {

/// Throw Error (internal) for what the functors cannot do: a type, a size beyond their scratch, a position beyond the
/// cache.
void require_valid(const EmbeddingArgs& args);
void require_valid(const ResidualNormArgs& args);
void require_valid(const RopeArgs& args);
void require_valid(const AttentionArgs& args);
void require_valid(const SwigluArgs& args);
void require_valid(const CandidatesArgs& args);

}  // namespace rackproof
