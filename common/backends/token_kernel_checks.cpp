#include "common/backends/token_kernel_checks.hpp"

#include "common/core/error.hpp"

namespace rackproof {
namespace {

void require(bool condition, const char* what) {
  if (!condition) throw Error(ExitCode::internal, "tokens", 0, "", what);
}

void require_type(DataType type) {
  require(type == DataType::f32 || type == DataType::bf16, "token kernels exist for f32 and bf16");
}

void require_cache(const KeyValueCache& cache, std::int64_t start, std::int64_t length, std::int64_t heads) {
  require_type(cache.type);
  require(cache.head_dim >= 16 && cache.head_dim <= max_head_dim && cache.head_dim % 16 == 0,
          "the size of a head must be a multiple of 16, at most 256");
  require(start >= 0 && start + length <= cache.pages * kv_page, "the positions go beyond the key and value cache");
  require(cache.kv_heads >= 1 && heads % cache.kv_heads == 0, "query heads must be a multiple of key heads");
}

}  // namespace

void require_valid(const EmbeddingArgs& args) { require_type(args.type); }
void require_valid(const ResidualNormArgs& args) { require_type(args.output_type); }
void require_valid(const RopeArgs& args) { require_cache(args.cache, args.start, args.length, args.heads); }
void require_valid(const AttentionArgs& args) { require_cache(args.cache, args.start, args.length, args.heads); }
void require_valid(const SwigluArgs& args) { require_type(args.output_type); }
void require_valid(const CandidatesArgs& args) {
  require(args.candidates >= 1 && args.candidates <= max_candidates, "candidates must be 1 to 1024");
}

}  // namespace rackproof
