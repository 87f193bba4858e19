#include "common/backends/host/token_kernels.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "common/backends/host/token_kernel_table.hpp"
#include "common/core/error.hpp"

namespace rackproof {
namespace host {

namespace baseline {
const TokenKernelTable& token_kernels();
}
#ifdef RACKPROOF_X86_64
namespace avx2 {
const TokenKernelTable& token_kernels();
}
namespace avx512 {
const TokenKernelTable& token_kernels();
}
#endif

const TokenKernelTable& token_kernel_table(Isa isa) {
  switch (isa) {
    case Isa::baseline:
      return baseline::token_kernels();
#ifdef RACKPROOF_X86_64
    case Isa::avx2:
      return avx2::token_kernels();
    case Isa::avx512:
      return avx512::token_kernels();
#else
    default:
      break;
#endif
  }
  throw Error(ExitCode::internal, "host", 0, "", "this binary has no kernels for the instruction set asked for");
}

}  // namespace host

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

class HostTokenKernels final : public TokenKernels {
 public:
  HostTokenKernels(int threads, host::Isa isa)
      : table_(host::token_kernel_table(isa)),
        isa_(isa),
        threads_(std::max(threads, 1)),
        scratch_(static_cast<std::size_t>(threads_ * host::host_scratch_floats)) {}

  void run(const EmbeddingArgs& args) override {
    require_type(args.type);
    table_.embedding(args, teams());
  }
  void run(const ResidualNormArgs& args) override {
    require_type(args.output_type);
    table_.residual_norm(args, teams());
  }
  void run(const RopeArgs& args) override {
    require_cache(args.cache, args.start, args.length, args.heads);
    table_.rope(args, teams());
  }
  void run(const AttentionArgs& args) override {
    require_cache(args.cache, args.start, args.length, args.heads);
    table_.attention(args, teams());
  }
  void run(const SwigluArgs& args) override {
    require_type(args.output_type);
    table_.swiglu(args, teams());
  }
  void run(const CandidatesArgs& args) override {
    require(args.candidates >= 1 && args.candidates <= max_candidates, "candidates must be 1 to 1024");
    table_.candidates(args, teams());
  }
  [[nodiscard]] std::string implementation() const override { return fmt::format("functors, {}", host::name(isa_)); }

 private:
  [[nodiscard]] host::HostTeams teams() { return {threads_, scratch_.data()}; }

  const host::TokenKernelTable& table_;
  host::Isa isa_;
  int threads_;
  std::vector<float> scratch_;
};

}  // namespace

std::unique_ptr<TokenKernels> make_host_token_kernels(int threads, host::Isa isa) {
  return std::make_unique<HostTokenKernels>(threads, isa);
}

}  // namespace rackproof
