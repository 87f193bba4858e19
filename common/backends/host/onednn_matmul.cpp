#include "common/backends/host/onednn_matmul.hpp"

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/backends/host/matvec.hpp"
#include "common/backends/host/onednn.hpp"
#include "common/core/bfloat16.hpp"
#include "common/core/error.hpp"

namespace rackproof::host {
namespace onednn {

std::string version() {
  const auto* version = dnnl::version();
  return fmt::format("oneDNN {}.{}.{}", version->major, version->minor, version->patch);
}

}  // namespace onednn

namespace {

using dnnl::memory;

memory::data_type to_onednn(DataType type) {
  switch (type) {
    case DataType::f32:
      return memory::data_type::f32;
    case DataType::bf16:
      return memory::data_type::bf16;
    case DataType::i32:
      return memory::data_type::s32;
    case DataType::i8:
      return memory::data_type::s8;
    default:
      throw Error(ExitCode::internal, "dnnl", 0, "", fmt::format("oneDNN multiplies no {} here", name(type)));
  }
}

std::string describe(const MatmulProblem& problem) {
  return fmt::format("{} x {} -> {} with m = {}, n = {}, k = {}", name(problem.input), name(problem.input),
                     name(problem.output), problem.m, problem.n, problem.k);
}

memory::desc row_major(std::int64_t rows, std::int64_t columns, DataType type) {
  return {{rows, columns}, to_onednn(type), memory::format_tag::ab};
}

/// What is the same for every m: the layout of the weights.
memory::desc weights_of(const dnnl::engine& engine, const MatmulProblem& problem) {
  const auto type = to_onednn(problem.input);
  if (problem.layout == WeightLayout::plain) {
    return {{problem.k, problem.n}, type, problem.transposed_weights ? memory::format_tag::ba : memory::format_tag::ab};
  }
  const std::int64_t m = problem.weights_for_m > 0 ? problem.weights_for_m : problem.m;
  return onednn::matmul_plan(engine, row_major(m, problem.k, problem.input),
                             {{problem.k, problem.n}, type, memory::format_tag::any},
                             row_major(m, problem.n, problem.output))
      .weights_desc();
}

/// Base of both: packing.
class WeightedMatmul : public Matmul {
 public:
  WeightedMatmul(const dnnl::engine& engine, const MatmulProblem& problem, memory::desc weights)
      : engine_(engine), problem_(problem), weights_(std::move(weights)) {}

  [[nodiscard]] std::size_t weight_bytes() const override { return weights_.get_size(); }

  void pack(const void* plain, void* packed) override {
    if (problem_.layout == WeightLayout::plain) {
      std::memcpy(packed, plain, weight_bytes());
      return;
    }
    onednn::check("reorder", "packing weights of " + describe(problem_), [&] {
      // oneDNN takes no pointer to const; a reorder does not write to its source.
      memory from(row_major(problem_.k, problem_.n, problem_.input), engine_, const_cast<void*>(plain));
      memory to(weights_, engine_, packed);
      dnnl::stream stream(engine_);
      dnnl::reorder(from, to).execute(stream, from, to);
      stream.wait();
    });
  }

 protected:
  [[nodiscard]] const MatmulProblem& problem() const { return problem_; }

 private:
  dnnl::engine engine_;
  MatmulProblem problem_;
  memory::desc weights_;
};

class LibraryMatmul final : public WeightedMatmul {
 public:
  LibraryMatmul(const dnnl::engine& engine, const MatmulProblem& problem, const memory::desc& weights,
                const AllocatedBytes& allocated)
      : WeightedMatmul(engine, problem, weights),
        plan_(onednn::matmul_plan(engine, row_major(problem.m, problem.k, problem.input), weights,
                                  row_major(problem.m, problem.n, problem.output))),
        primitive_(plan_),
        stream_(engine),
        scratch_(plan_.scratchpad_desc().get_size(), allocated, 0),
        a_(plan_.src_desc(), engine, nullptr),
        b_(plan_.weights_desc(), engine, nullptr),
        c_(plan_.dst_desc(), engine, nullptr),
        scratch_memory_(plan_.scratchpad_desc(), engine, scratch_.data()),
        arguments_{{{DNNL_ARG_SRC, a_.get()},
                    {DNNL_ARG_WEIGHTS, b_.get()},
                    {DNNL_ARG_DST, c_.get()},
                    {DNNL_ARG_SCRATCHPAD, scratch_memory_.get()}}} {}

  void run(const void* a, const void* weights, void* c) override {
    onednn::check("matmul", "running a planned product", [&] {
      a_.set_data_handle(const_cast<void*>(a));
      b_.set_data_handle(const_cast<void*>(weights));
      c_.set_data_handle(c);
      // The C call: the C++ one copies its arguments to the heap each time.
      dnnl::error::wrap_c_api(dnnl_primitive_execute(primitive_.get(), stream_.get(),
                                                     static_cast<int>(arguments_.size()), arguments_.data()),
                              "matmul");
      stream_.wait();
    });
  }

  [[nodiscard]] std::string implementation() const override { return onednn::version() + " " + plan_.impl_info_str(); }

 private:
  dnnl::matmul::primitive_desc plan_;
  dnnl::matmul primitive_;
  dnnl::stream stream_;
  HostBuffer scratch_;
  memory a_;
  memory b_;
  memory c_;
  memory scratch_memory_;
  std::array<dnnl_exec_arg_t, 4> arguments_;
};

/// m <= matvec_max_rows: own kernels, on the weights as oneDNN packed them or on B^T.
class FewRowsMatmul final : public WeightedMatmul {
 public:
  FewRowsMatmul(const dnnl::engine& engine, const MatmulProblem& problem, const memory::desc& weights,
                const std::optional<BlockedLayout>& layout, const AllocatedBytes& allocated)
      : WeightedMatmul(engine, problem, weights),
        kernels_(matvec_kernels(best_isa())),
        layout_(layout),
        shape_{problem.m, problem.n, problem.k, padded(problem.k, layout ? layout->block_k : 1)},
        // As large as the rows padded with zeros; allocated once, for run() must not allocate.
        rows_(static_cast<std::size_t>(shape_.m * shape_.a_stride) * sizeof(float), allocated, 0) {
    std::memset(rows_.data(), 0, rows_.bytes());
  }

  static bool can_do(const MatmulProblem& problem, const std::optional<BlockedLayout>& layout) {
    const bool types =
        (problem.input == DataType::f32 && problem.output == DataType::f32) ||
        (problem.input == DataType::bf16 && (problem.output == DataType::f32 || problem.output == DataType::bf16));
    if (!types || problem.m > matvec_max_rows) return false;
    if (problem.layout == WeightLayout::plain) return problem.transposed_weights;
    if (!layout) return false;
    return problem.input == DataType::f32 ? MatvecKernels::can_read<float>(*layout)
                                          : MatvecKernels::can_read<bf16_bits>(*layout);
  }

  void run(const void* a, const void* weights, void* c) override {
    auto* rows = rows_.as<float>();
    if (problem().input == DataType::f32) {
      for (std::int64_t r = 0; r < shape_.m; ++r) {
        std::memcpy(rows + r * shape_.a_stride, static_cast<const float*>(a) + r * shape_.k,
                    static_cast<std::size_t>(shape_.k) * sizeof(float));
      }
      const auto* b = static_cast<const float*>(weights);
      auto* out = static_cast<float*>(c);
      if (layout_) {
        kernels_.blocked_f32(shape_, *layout_, rows, b, out);
      } else {
        kernels_.transposed_f32(shape_, rows, b, out);
      }
      return;
    }
    for (std::int64_t r = 0; r < shape_.m; ++r) {
      const auto* from = static_cast<const bf16_bits*>(a) + r * shape_.k;
      for (std::int64_t i = 0; i < shape_.k; ++i) rows[r * shape_.a_stride + i] = from_bf16(from[i]);
    }
    const auto* b = static_cast<const bf16_bits*>(weights);
    if (problem().output == DataType::f32) {
      auto* out = static_cast<float*>(c);
      if (layout_) {
        kernels_.blocked_bf16_f32(shape_, *layout_, rows, b, out);
      } else {
        kernels_.transposed_bf16_f32(shape_, rows, b, out);
      }
    } else {
      auto* out = static_cast<bf16_bits*>(c);
      if (layout_) {
        kernels_.blocked_bf16_bf16(shape_, *layout_, rows, b, out);
      } else {
        kernels_.transposed_bf16_bf16(shape_, rows, b, out);
      }
    }
  }

  [[nodiscard]] std::string implementation() const override {
    return fmt::format("rackproof matvec {} on {}", name(best_isa()),
                       layout_ ? fmt::format("{} blocks of {} x {}, interleave {}", onednn::version(), layout_->block_k,
                                             layout_->block_n, layout_->interleave)
                               : "transposed weights");
  }

 private:
  static std::int64_t padded(std::int64_t k, std::int64_t block) { return (k + block - 1) / block * block; }

  const MatvecKernels& kernels_;
  std::optional<BlockedLayout> layout_;
  MatvecKernels::Shape shape_;
  HostBuffer rows_;
};

/// Without VNNI, oneDNN adds two neighbouring i8 products in 16 bits, which saturates from 2^15 on. Shown by the
/// largest values that there are, in both layouts.
bool int8_is_exact(const dnnl::engine& engine) {
  constexpr std::int64_t size = 64;
  constexpr std::int8_t largest = 127;
  const auto allocated = std::make_shared<std::atomic<std::size_t>>(0);
  const std::vector<std::int8_t> a(size * size, largest);
  const std::vector<std::int8_t> b(size * size, largest);
  for (const WeightLayout layout : {WeightLayout::plain, WeightLayout::packed}) {
    const MatmulProblem problem{.m = size,
                                .n = size,
                                .k = size,
                                .input = DataType::i8,
                                .output = DataType::i32,
                                .layout = layout,
                                .weights_for_m = size,
                                .transposed_weights = false};
    LibraryMatmul product(engine, problem, weights_of(engine, problem), allocated);
    std::vector<std::int8_t> weights(product.weight_bytes());
    std::vector<std::int32_t> c(size * size);
    product.pack(b.data(), weights.data());
    product.run(a.data(), weights.data(), c.data());
    for (const std::int32_t sum : c) {
      if (sum != size * largest * largest) return false;
    }
  }
  return true;
}

}  // namespace

std::unique_ptr<Matmul> make_onednn_matmul(const dnnl::engine& engine, const MatmulProblem& problem,
                                           const AllocatedBytes& allocated) {
  return onednn::check("matmul", describe(problem), [&]() -> std::unique_ptr<Matmul> {
    const memory::desc weights = weights_of(engine, problem);
    const auto layout =
        problem.layout == WeightLayout::packed ? onednn::weight_layout(weights) : std::optional<BlockedLayout>();
    if (FewRowsMatmul::can_do(problem, layout)) {
      return std::make_unique<FewRowsMatmul>(engine, problem, weights, layout, allocated);
    }
    return std::make_unique<LibraryMatmul>(engine, problem, weights, allocated);
  });
}

bool onednn_multiplies(const dnnl::engine& engine, DataType type) {
  const auto out = type == DataType::i8 ? DataType::i32 : DataType::f32;
  try {
    const auto plan =
        onednn::matmul_plan(engine, row_major(64, 64, type), row_major(64, 64, type), row_major(64, 64, out));
    if (plan.get(true) == nullptr) return false;
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_unimplemented) return false;
    throw;
  }
  return type != DataType::i8 || int8_is_exact(engine);
}

}  // namespace rackproof::host
