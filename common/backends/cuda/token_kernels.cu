#include <utility>

#include "common/backends/cuda/launch.cuh"
#include "common/backends/cuda/token_kernels.hpp"
#include "common/backends/kernels/attention.hpp"
#include "common/backends/kernels/candidates.hpp"
#include "common/backends/kernels/embedding.hpp"
#include "common/backends/kernels/residual_norm.hpp"
#include "common/backends/kernels/rope.hpp"
#include "common/backends/kernels/swiglu.hpp"
#include "common/backends/token_kernel_checks.hpp"

namespace rackproof::cuda {
namespace {

namespace functors = kernels::RACKPROOF_ISA;

class CudaTokenKernels final : public TokenKernels {
 public:
  CudaTokenKernels(cudaStream_t stream, int multiprocessors, std::unique_ptr<Buffer> partial, Require require)
      : stream_(stream), multiprocessors_(multiprocessors), partial_(std::move(partial)), require_(std::move(require)) {
    load_typed<float>();
    load_typed<functors::Bf16>();
    load<functors::Candidates>(require_);
  }

  void run(const EmbeddingArgs& args) override {
    require_valid(args);
    start_typed<functors::Embedding>(args, args.type, "start of the embedding kernel");
  }
  void run(const ResidualNormArgs& args) override {
    require_valid(args);
    start_typed<functors::ResidualNorm>(args, args.output_type, "start of the norm kernel");
  }
  void run(const RopeArgs& args) override {
    require_valid(args);
    start_typed<functors::Rope>(args, args.cache.type, "start of the RoPE kernel");
  }
  void run(const AttentionArgs& args) override {
    require_valid(args);
    if (args.cache.type == DataType::bf16) {
      start_attention<functors::Bf16>(args);
    } else {
      start_attention<float>(args);
    }
  }
  void run(const SwigluArgs& args) override {
    require_valid(args);
    start_typed<functors::Swiglu>(args, args.output_type, "start of the SwiGLU kernel");
  }
  void run(const CandidatesArgs& args) override {
    require_valid(args);
    start(functors::Candidates{args}, functors::Candidates::scratch(), "start of the candidates kernel");
  }
  [[nodiscard]] std::string implementation() const override { return "functors, thread blocks"; }

 private:
  template <typename Element>
  void load_typed() {
    load<functors::Embedding<Element>, functors::ResidualNorm<Element>, functors::Rope<Element>,
         functors::Attention<Element>, functors::AttentionCombine<Element>, functors::Swiglu<Element>>(require_);
  }
  template <typename Functor>
  void start(const Functor& functor, std::int64_t scratch, const char* name) {
    launch(functor, scratch, name, stream_, require_);
  }
  template <template <typename> class Functor, typename Args>
  void start_typed(const Args& args, DataType type, const char* name) {
    if (type == DataType::bf16) {
      start(Functor<functors::Bf16>{args}, 0, name);
    } else {
      start(Functor<float>{args}, 0, name);
    }
  }
  template <typename Element>
  void start_attention(const AttentionArgs& args) {
    functors::Attention<Element> attention{args};
    attention.splits = attention.splits_for(attention_blocks_at_once(multiprocessors_));
    attention.partial = partial_->as<float>();
    start(attention, functors::Attention<Element>::scratch(args.cache.head_dim), "start of the attention kernel");
    if (attention.splits == 1) return;
    using Combine = functors::AttentionCombine<Element>;
    start(Combine{attention}, Combine::scratch(), "start of the attention's last kernel");
  }

  cudaStream_t stream_;
  int multiprocessors_;
  std::unique_ptr<Buffer> partial_;
  Require require_;
};

}  // namespace

cudaError_t find_code() {
  cudaFuncAttributes attributes{};
  return cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(&run_functor<functors::Candidates>));
}

std::size_t partial_bytes(int multiprocessors) {
  return static_cast<std::size_t>(attention_blocks_at_once(multiprocessors) * functors::attention_rows *
                                  functors::partial_floats(max_head_dim)) *
         sizeof(float);
}

std::unique_ptr<TokenKernels> make_token_kernels(cudaStream_t stream, int multiprocessors,
                                                 std::unique_ptr<Buffer> partial, Require require) {
  return std::make_unique<CudaTokenKernels>(stream, multiprocessors, std::move(partial), std::move(require));
}

}  // namespace rackproof::cuda
