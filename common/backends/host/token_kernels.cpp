#include "common/backends/host/token_kernels.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "common/backends/host/token_kernel_table.hpp"
#include "common/backends/token_kernel_checks.hpp"
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

class HostTokenKernels final : public TokenKernels {
 public:
  HostTokenKernels(int threads, host::Isa isa)
      : table_(host::token_kernel_table(isa)),
        isa_(isa),
        threads_(std::max(threads, 1)),
        scratch_(static_cast<std::size_t>(threads_ * host::host_scratch_floats)),
        partial_(threads_ > 1 ? static_cast<std::size_t>(threads_ * host::host_partial_floats) : 0) {}

  void run(const EmbeddingArgs& args) override {
    require_valid(args);
    table_.embedding(args, teams());
  }
  void run(const ResidualNormArgs& args) override {
    require_valid(args);
    table_.residual_norm(args, teams());
  }
  void run(const RopeArgs& args) override {
    require_valid(args);
    table_.rope(args, teams());
  }
  void run(const AttentionArgs& args) override {
    require_valid(args);
    table_.attention(args, teams());
  }
  void run(const SwigluArgs& args) override {
    require_valid(args);
    table_.swiglu(args, teams());
  }
  void run(const CandidatesArgs& args) override {
    require_valid(args);
    table_.candidates(args, teams());
  }
  [[nodiscard]] std::string implementation() const override { return fmt::format("functors, {}", host::name(isa_)); }

 private:
  [[nodiscard]] host::HostTeams teams() { return {threads_, scratch_.data(), partial_.data()}; }

  const host::TokenKernelTable& table_;
  host::Isa isa_;
  int threads_;
  std::vector<float> scratch_;
  std::vector<float> partial_;
};

}  // namespace

std::unique_ptr<TokenKernels> make_host_token_kernels(int threads, host::Isa isa) {
  return std::make_unique<HostTokenKernels>(threads, isa);
}

}  // namespace rackproof
