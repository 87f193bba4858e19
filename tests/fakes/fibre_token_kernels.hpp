// Token kernels on teams of many lanes (fibre_team.hpp): every call runs in several orders of the lanes, which must all
// write the same bits.
#pragma once

#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/backends/kernels/attention.hpp"
#include "common/backends/kernels/candidates.hpp"
#include "common/backends/kernels/embedding.hpp"
#include "common/backends/kernels/residual_norm.hpp"
#include "common/backends/kernels/rope.hpp"
#include "common/backends/kernels/swiglu.hpp"
#include "common/backends/token_kernel_checks.hpp"
#include "common/backends/token_kernels.hpp"
#include "tests/fakes/fibre_team.hpp"

namespace rackproof {

namespace functors = kernels::RACKPROOF_ISA;

class FibreTokenKernels final : public TokenKernels {
 public:
  /// at_once: blocks that attention is split for.
  explicit FibreTokenKernels(std::int64_t lanes, std::int64_t at_once = 64,
                             FibreTeam::Missing missing = FibreTeam::Missing::nothing)
      : lanes_(lanes), at_once_(at_once), missing_(missing) {}

  void run(const EmbeddingArgs& args) override {
    require_valid(args);
    run_typed<functors::Embedding>(args, args.type, {floats(args.output, args.count * args.hidden)});
  }
  void run(const ResidualNormArgs& args) override {
    require_valid(args);
    run_typed<functors::ResidualNorm>(args, args.output_type,
                                      {floats(args.residual, args.count * args.row_stride * args.hidden),
                                       elements(args.output, args.count * args.hidden, args.output_type)});
  }
  void run(const RopeArgs& args) override {
    require_valid(args);
    const KeyValueCache& cache = args.cache;
    const std::int64_t cached = cache.batch * cache.kv_heads * cache.pages * kv_page * cache.head_dim;
    run_typed<functors::Rope>(
        args, cache.type,
        {floats(args.qkv, cache.batch * args.length * (args.heads + 2 * cache.kv_heads) * cache.head_dim),
         elements(cache.keys, cached, cache.type), elements(cache.values, cached, cache.type)});
  }
  void run(const AttentionArgs& args) override {
    require_valid(args);
    if (args.cache.type == DataType::bf16) {
      attend<functors::Bf16>(args);
    } else {
      attend<float>(args);
    }
  }
  void run(const SwigluArgs& args) override {
    require_valid(args);
    run_typed<functors::Swiglu>(args, args.output_type,
                                {elements(args.output, args.count * args.width, args.output_type)});
  }
  void run(const CandidatesArgs& args) override {
    require_valid(args);
    in_every_order(functors::Candidates{args}, functors::Candidates::scratch(),
                   {{reinterpret_cast<std::byte*>(args.output),
                     static_cast<std::size_t>(args.count * args.candidates) * sizeof(Candidate)}});
  }
  [[nodiscard]] std::string implementation() const override { return "functors, fibres"; }

 private:
  using Bytes = std::span<std::byte>;

  static Bytes elements(void* data, std::int64_t count, DataType type) {
    return {static_cast<std::byte*>(data), static_cast<std::size_t>(count) * size_of(type)};
  }
  static Bytes floats(float* data, std::int64_t count) { return elements(data, count, DataType::f32); }

  template <template <typename> class Functor, typename Args>
  void run_typed(const Args& args, DataType type, const std::vector<Bytes>& written) {
    if (type == DataType::bf16) {
      in_every_order(Functor<functors::Bf16>{args}, 0, written);
    } else {
      in_every_order(Functor<float>{args}, 0, written);
    }
  }

  template <typename Element>
  void attend(const AttentionArgs& args) {
    functors::Attention<Element> attention{args};
    attention.splits = attention.splits_for(at_once_);
    const auto output =
        elements(args.output, args.cache.batch * args.length * args.heads * args.cache.head_dim, args.cache.type);
    if (attention.splits == 1) {
      in_every_order(attention, attention.scratch(args.cache.head_dim), {output});
      return;
    }
    std::vector<float> partial(static_cast<std::size_t>(attention.blocks() * functors::attention_rows *
                                                        functors::partial_floats(args.cache.head_dim)));
    attention.partial = partial.data();
    in_every_order(attention, attention.scratch(args.cache.head_dim), {std::as_writable_bytes(std::span(partial))});
    using Combine = functors::AttentionCombine<Element>;
    in_every_order(Combine{attention}, Combine::scratch(), {output});
  }

  template <typename Functor>
  void in_every_order(const Functor& functor, std::int64_t scratch, const std::vector<Bytes>& written) {
    const std::vector<std::vector<std::byte>> before = copies(written);
    run_on_fibres(functor, lanes_, scratch, Fibres::Order::forward, missing_);
    const std::vector<std::vector<std::byte>> first = copies(written);
    for (const Fibres::Order order : {Fibres::Order::reverse, Fibres::Order::shuffled}) {
      // With one lane there is one order; with many a third takes long, and the two find what it finds.
      if (lanes_ == 1 || (lanes_ > 32 && order == Fibres::Order::shuffled)) continue;
      for (std::size_t i = 0; i < written.size(); ++i)
        std::copy(before[i].begin(), before[i].end(), written[i].begin());
      run_on_fibres(functor, lanes_, scratch, order, missing_);
      if (copies(written) != first) throw std::logic_error("the order of the lanes changes the result");
    }
  }
  static std::vector<std::vector<std::byte>> copies(const std::vector<Bytes>& written) {
    std::vector<std::vector<std::byte>> all;
    for (const Bytes& bytes : written) all.emplace_back(bytes.begin(), bytes.end());
    return all;
  }

  std::int64_t lanes_;
  std::int64_t at_once_;
  FibreTeam::Missing missing_;
};

}  // namespace rackproof
