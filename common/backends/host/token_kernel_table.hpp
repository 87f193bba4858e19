// How the token kernels of one instruction set are called.
#pragma once

#include "common/backends/host/isa.hpp"
#include "common/backends/token_kernels.hpp"

namespace rackproof::host {

/// Scratch of one thread, in floats.
constexpr std::int64_t host_scratch_floats = 8 * (2 * max_head_dim + kv_page + 3);

/// What a block of a split attention leaves, in floats.
constexpr std::int64_t host_partial_floats = 8 * (max_head_dim + 2);

struct HostTeams {
  int threads;
  float* scratch;  ///< [threads, host_scratch_floats]
  float* partial;  ///< [threads, host_partial_floats] where there is more than one thread
};

struct TokenKernelTable {
  void (*embedding)(const EmbeddingArgs&, const HostTeams&);
  void (*residual_norm)(const ResidualNormArgs&, const HostTeams&);
  void (*rope)(const RopeArgs&, const HostTeams&);
  void (*attention)(const AttentionArgs&, const HostTeams&);
  void (*swiglu)(const SwigluArgs&, const HostTeams&);
  void (*candidates)(const CandidatesArgs&, const HostTeams&);
};

/// Throws Error (internal) for an instruction set that this binary does not carry.
[[nodiscard]] const TokenKernelTable& token_kernel_table(Isa isa);

}  // namespace rackproof::host
