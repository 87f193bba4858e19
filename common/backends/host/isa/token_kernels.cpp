// The token functors on a VectorTeam. Compiled once for each instruction set. Nothing here may call an inline function
// of another header that the compiler does not inline: the linker would keep one copy, perhaps the one that this CPU
// cannot run.
#include <omp.h>

#include "common/backends/host/token_kernel_table.hpp"
#include "common/backends/kernels/attention.hpp"
#include "common/backends/kernels/candidates.hpp"
#include "common/backends/kernels/embedding.hpp"
#include "common/backends/kernels/residual_norm.hpp"
#include "common/backends/kernels/rope.hpp"
#include "common/backends/kernels/swiglu.hpp"
#include "common/backends/team.hpp"

namespace rackproof::host::RACKPROOF_ISA {
namespace {

namespace kernels = rackproof::kernels::RACKPROOF_ISA;

static_assert(host_scratch_floats >= kernels::Attention<float>::scratch(max_head_dim));
static_assert(host_scratch_floats >= kernels::Candidates::scratch());
static_assert(host_scratch_floats >= kernels::AttentionCombine<float>::scratch());
static_assert(host_partial_floats >= kernels::attention_rows * kernels::partial_floats(max_head_dim));

/// Operations below which a second thread does not pay: starting a parallel region costs 2 to 10 us, and one thread
/// does some 10^10 of these operations a second.
constexpr double parallel_threshold = 3.0e5;
/// A split attention has two more of those starts, and its sums to put together.
constexpr double split_threshold = 10.0 * parallel_threshold;

template <typename Functor>
void launch(const Functor& functor, const HostTeams& teams) {
  const std::int64_t blocks = functor.blocks();
  const bool alone = teams.threads <= 1 || blocks <= 1 ||
                     static_cast<double>(blocks) * static_cast<double>(functor.work()) < parallel_threshold;
  const kernels::VectorTeam team;
  if (alone) {
    for (std::int64_t block = 0; block < blocks; ++block) functor(team, block, teams.scratch);
    return;
  }
#pragma omp parallel for num_threads(teams.threads) schedule(static, 1)
  for (std::int64_t block = 0; block < blocks; ++block) {
    functor(team, block, teams.scratch + omp_get_thread_num() * host_scratch_floats);
  }
}

template <template <typename> class Functor, typename Args>
void launch_typed(const Args& args, DataType type, const HostTeams& teams) {
  if (type == DataType::bf16) {
    launch(Functor<kernels::Bf16>{args}, teams);
  } else {
    launch(Functor<float>{args}, teams);
  }
}

void embedding(const EmbeddingArgs& args, const HostTeams& teams) {
  launch_typed<kernels::Embedding>(args, args.type, teams);
}
void residual_norm(const ResidualNormArgs& args, const HostTeams& teams) {
  launch_typed<kernels::ResidualNorm>(args, args.output_type, teams);
}
void rope(const RopeArgs& args, const HostTeams& teams) { launch_typed<kernels::Rope>(args, args.cache.type, teams); }
template <typename Element>
void attention_of(const AttentionArgs& args, const HostTeams& teams) {
  kernels::Attention<Element> functor{args};
  if (static_cast<double>(functor.blocks()) * static_cast<double>(functor.work()) >= split_threshold) {
    functor.splits = functor.splits_for(teams.threads);
    functor.partial = teams.partial;
  }
  launch(functor, teams);
  if (functor.splits > 1) launch(kernels::AttentionCombine<Element>{functor}, teams);
}
void attention(const AttentionArgs& args, const HostTeams& teams) {
  if (args.cache.type == DataType::bf16) {
    attention_of<kernels::Bf16>(args, teams);
  } else {
    attention_of<float>(args, teams);
  }
}
void swiglu(const SwigluArgs& args, const HostTeams& teams) {
  launch_typed<kernels::Swiglu>(args, args.output_type, teams);
}
void candidates(const CandidatesArgs& args, const HostTeams& teams) { launch(kernels::Candidates{args}, teams); }

constexpr TokenKernelTable table{embedding, residual_norm, rope, attention, swiglu, candidates};

}  // namespace

const TokenKernelTable& token_kernels();
const TokenKernelTable& token_kernels() { return table; }

}  // namespace rackproof::host::RACKPROOF_ISA
