#include "common/backends/cuda/cublaslt_matmul.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>

#include "common/backends/cuda/matmul_rules.hpp"
#include "common/backends/cuda/scale_layout.hpp"

namespace rackproof::cuda {
namespace {

/// How many of the heuristic's algorithms are kept, for whoever measures them.
constexpr int most_algorithms = 8;
/// What operands must be aligned to. No kernel of the library's needs more (TMA: 16 bytes).
constexpr std::uint32_t operand_alignment = 16;

bool is_k_major(const MatmulProblem& problem) {
  return problem.layout == WeightLayout::packed || problem.transposed_weights;
}

cudaDataType_t to_cuda(DataType type) {
  switch (type) {
    case DataType::f64:
      return CUDA_R_64F;
    case DataType::f32:
    case DataType::tf32:
      return CUDA_R_32F;
    case DataType::f16:
      return CUDA_R_16F;
    case DataType::bf16:
      return CUDA_R_16BF;
    case DataType::i8:
      return CUDA_R_8I;
    case DataType::i32:
      return CUDA_R_32I;
    case DataType::f8e4m3:
      return CUDA_R_8F_E4M3;
#if CUBLAS_VERSION >= 120800
    case DataType::f4e2m1:
      return CUDA_R_4F_E2M1;
#endif
    default:
      throw Error(ExitCode::internal, "cublasLt", 0, "", fmt::format("no products of {}", name(type)));
  }
}

struct Compute {
  cublasComputeType_t type;
  cudaDataType_t scale;  ///< of alpha and beta
};

Compute compute_of(DataType input) {
  switch (input) {
    case DataType::f64:
      return {CUBLAS_COMPUTE_64F, CUDA_R_64F};
    case DataType::tf32:
      return {CUBLAS_COMPUTE_32F_FAST_TF32, CUDA_R_32F};
    case DataType::i8:
      return {CUBLAS_COMPUTE_32I, CUDA_R_32I};
    default:
      return {CUBLAS_COMPUTE_32F, CUDA_R_32F};
  }
}

std::string describe(const MatmulProblem& problem) {
  return fmt::format("{} x {} -> {} (scaling {}) with m = {}, n = {}, k = {}, {} weights", name(problem.input),
                     name(problem.input), name(problem.output), name(problem.scaling), problem.m, problem.n, problem.k,
                     is_k_major(problem) ? "K-major" : "plain");
}

/// to[j][l] = from[l][j], in blocks that fit the cache.
template <typename T>
void transpose(const std::byte* from_bytes, std::byte* to_bytes, std::int64_t k, std::int64_t n) {
  const auto* const from = reinterpret_cast<const T*>(from_bytes);
  auto* const to = reinterpret_cast<T*>(to_bytes);
  constexpr std::int64_t block = 64;
#pragma omp parallel for schedule(static)
  for (std::int64_t first = 0; first < n; first += block) {
    for (std::int64_t top = 0; top < k; top += block) {
      for (std::int64_t j = first; j < std::min(n, first + block); ++j) {
        for (std::int64_t l = top; l < std::min(k, top + block); ++l) to[j * k + l] = from[l * n + j];
      }
    }
  }
}

void transpose_elements(std::size_t size, const std::vector<std::byte>& from, std::vector<std::byte>& to,
                        std::int64_t k, std::int64_t n) {
  switch (size) {
    case 1:
      return transpose<std::uint8_t>(from.data(), to.data(), k, n);
    case 2:
      return transpose<std::uint16_t>(from.data(), to.data(), k, n);
    case 4:
      return transpose<std::uint32_t>(from.data(), to.data(), k, n);
    default:
      return transpose<std::uint64_t>(from.data(), to.data(), k, n);
  }
}

std::size_t matrix_bytes(const MatmulProblem& problem, Side side) {
  const std::int64_t rows = side == Side::left ? problem.m : problem.n;
  if (problem.scaling == Scaling::none) return bytes_of(static_cast<std::size_t>(rows * problem.k), problem.input);
  return static_cast<std::size_t>(scaled_operand(problem.scaling, side, rows, problem.k).bytes);
}

}  // namespace

CublasLtMatmul::CublasLtMatmul(CudaDevice& device, const CublasLt& library, const MatmulProblem& problem)
    : device_(device),
      library_(library),
      problem_(problem),
      desc_(library.make_matmul_desc(compute_of(problem.input).type, compute_of(problem.input).scale)),
      weights_(is_k_major(problem)
                   ? library.make_matrix_layout(to_cuda(problem.input), problem.k, problem.n, problem.k)
                   : library.make_matrix_layout(to_cuda(problem.input), problem.n, problem.k, problem.n)),
      input_(library.make_matrix_layout(to_cuda(problem.input), problem.k, problem.m, problem.k)),
      output_(library.make_matrix_layout(to_cuda(problem.output), problem.n, problem.m, problem.n)) {
  const cublasOperation_t operation = is_k_major(problem) ? CUBLAS_OP_T : CUBLAS_OP_N;
  library_.set(desc_, CUBLASLT_MATMUL_DESC_TRANSA, operation);
  set_scale_modes();
  find_algorithms();
}

void CublasLtMatmul::set_scale_modes() {
  if (problem_.scaling == Scaling::none) return;
  // The heuristic wants pointers; run() sets those of its operands.
  const void* const some = library_.workspace();
  library_.set(desc_, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, some);
  library_.set(desc_, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, some);
#if CUBLAS_VERSION >= 120800
  std::int32_t of_weights = CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F;
  std::int32_t of_input = CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F;
  if (problem_.scaling == Scaling::mx) of_weights = of_input = CUBLASLT_MATMUL_MATRIX_SCALE_VEC32_UE8M0;
  if (problem_.scaling == Scaling::nv) of_weights = of_input = CUBLASLT_MATMUL_MATRIX_SCALE_VEC16_UE4M3;
#if CUBLAS_VERSION >= 120900
  if (problem_.scaling == Scaling::block) {
    of_weights = CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F;
    of_input = CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F;
  }
#endif
  library_.set(desc_, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, of_weights);
  library_.set(desc_, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, of_input);
#endif
}

void CublasLtMatmul::find_algorithms() {
  const MatmulPreference preference = library_.make_preference();
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    library_.check(library_.call().matmul_preference_set_attribute(preference.get(), attribute, &value, sizeof(value)),
                   "cublasLtMatmulPreferenceSetAttribute");
  };
  const std::size_t room = library_.workspace_bytes();
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, room);
  for (const auto operand : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                             CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    prefer(operand, operand_alignment);
  }
  std::array<cublasLtMatmulHeuristicResult_t, most_algorithms> results{};
  int count = 0;
  const cublasStatus_t status = library_.call().matmul_algo_get_heuristic(
      library_.handle(), desc_.get(), weights_.get(), input_.get(), output_.get(), output_.get(), preference.get(),
      most_algorithms, results.data(), &count);
  const bool has_none = status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE ||
                        status == CUBLAS_STATUS_ARCH_MISMATCH;
  if (!has_none) library_.check(status, "cublasLtMatmulAlgoGetHeuristic");
  for (const auto& result : std::span(results).first(has_none ? 0U : static_cast<std::size_t>(std::max(0, count)))) {
    if (result.state == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= room) found_.push_back(result);
  }
  if (found_.empty()) {
    refusal_ = fmt::format("{} has no algorithm on {} for {} ({})", library_.version(), device_.name(),
                           describe(problem_), library_.call().get_status_string(status));
  }
}

std::size_t CublasLtMatmul::weight_bytes() const { return matrix_bytes(problem_, Side::right); }
std::size_t CublasLtMatmul::input_bytes() const { return matrix_bytes(problem_, Side::left); }

void CublasLtMatmul::pack(const void* plain, void* packed) {
  if (problem_.layout == WeightLayout::plain) {
    device_.copy(packed, plain, weight_bytes());
    return;
  }
  std::vector<std::byte> from(weight_bytes());
  std::vector<std::byte> to(from.size());
  device_.copy_to_host(from.data(), plain, from.size());
  transpose_elements(size_of(problem_.input), from, to, problem_.k, problem_.n);
  device_.copy_to_device(packed, to.data(), to.size());
}

void CublasLtMatmul::upload(const Quantised& matrix, std::size_t bytes, void* packed) {
  std::vector<std::byte> staged(bytes);
  lay_out(matrix, staged);
  device_.copy_to_device(packed, staged.data(), bytes);
}

void CublasLtMatmul::pack_input(const Quantised& a, void* packed) {
  upload(a, input_bytes(), packed);
  input_scale_ = a.matrix_scale;
}

void CublasLtMatmul::pack_weights(const Quantised& b, void* packed) {
  upload(b, weight_bytes(), packed);
  weight_scale_ = b.matrix_scale;
}

void CublasLtMatmul::run(const void* a, const void* weights, void* c) {
  for (const void* const operand : {a, weights, static_cast<const void*>(c)}) {
    if (reinterpret_cast<std::uintptr_t>(operand) % operand_alignment != 0) {
      throw Error(ExitCode::internal, "cublasLt", 0, "matmul", "an operand is not aligned to 16 bytes");
    }
  }
  if (problem_.scaling != Scaling::none) {
    const auto scales = [&](const void* operand, Side side, std::int64_t rows) {
      const std::int64_t at = scaled_operand(problem_.scaling, side, rows, problem_.k).scales_at;
      return static_cast<const void*>(static_cast<const std::byte*>(operand) + at);
    };
    library_.set(desc_, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, scales(weights, Side::right, problem_.n));
    library_.set(desc_, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, scales(a, Side::left, problem_.m));
  }
  const double one_f64 = 1.0;
  const double zero_f64 = 0.0;
  const float one_f32 = input_scale_ * weight_scale_;
  const float zero_f32 = 0.0F;
  const std::int32_t one_i32 = 1;
  const std::int32_t zero_i32 = 0;
  const void* alpha = &one_f32;
  const void* beta = &zero_f32;
  if (problem_.input == DataType::f64) {
    alpha = &one_f64;
    beta = &zero_f64;
  } else if (problem_.input == DataType::i8) {
    alpha = &one_i32;
    beta = &zero_i32;
  }
  library_.check(library_.call().matmul(library_.handle(), desc_.get(), alpha, weights, weights_.get(), a, input_.get(),
                                        beta, c, output_.get(), c, output_.get(), &found_.at(chosen_).algo,
                                        library_.workspace(), library_.workspace_bytes(), device_.stream()),
                 "cublasLtMatmul");
}

void CublasLtMatmul::choose(std::size_t algorithm) {
  if (algorithm >= found_.size()) throw Error(ExitCode::internal, "cublasLt", 0, "choose", "no such algorithm");
  chosen_ = algorithm;
}

Accumulation CublasLtMatmul::accumulation() const { return accumulation_of(problem_, device_.capability()); }

std::string CublasLtMatmul::implementation() const {
  const auto& chosen = found_.at(chosen_);
  const auto number = [&]<typename T>(cublasLtMatmulAlgoConfigAttributes_t attribute, T value) {
    std::size_t written = 0;
    const cublasStatus_t status =
        library_.call().matmul_algo_config_get_attribute(&chosen.algo, attribute, &value, sizeof(value), &written);
    return status == CUBLAS_STATUS_SUCCESS ? fmt::format("{}", value) : std::string("unknown");
  };
  return fmt::format(
      "{} choice {} of {}: algorithm {}, tile {}, stages {}, split-k {}, reduction {}, swizzle {}, custom {}, inner "
      "shape "
      "{}, cluster {}, workspace {} B",
      library_.version(), chosen_ + 1, found_.size(), number(CUBLASLT_ALGO_CONFIG_ID, std::int32_t{}),
      number(CUBLASLT_ALGO_CONFIG_TILE_ID, std::uint32_t{}), number(CUBLASLT_ALGO_CONFIG_STAGES_ID, std::uint32_t{}),
      number(CUBLASLT_ALGO_CONFIG_SPLITK_NUM, std::int32_t{}),
      number(CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, std::uint32_t{}),
      number(CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, std::uint32_t{}),
      number(CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, std::uint32_t{}),
      number(CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID, std::uint16_t{}),
      number(CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, std::uint16_t{}), chosen.workspaceSize);
}

// What of CudaDevice is about products.

CublasLt& CudaDevice::cublaslt() {
  if (!cublaslt_) cublaslt_ = std::make_unique<CublasLt>(*this);
  return *cublaslt_;
}

std::string CudaDevice::refuses(const MatmulProblem& problem) const {
  std::string reason = refuse_by_rule(problem, capability(), CUBLAS_VERSION);
  if (!reason.empty()) return reason;
  // To ask may load the library and allocate its workspace, which is no part of what a device is.
  auto& self = const_cast<CudaDevice&>(*this);
  return CublasLtMatmul(self, self.cublaslt(), problem).refusal();
}

std::unique_ptr<Matmul> CudaDevice::matmul(const MatmulProblem& problem) {
  std::string reason = refuse_by_rule(problem, capability(), CUBLAS_VERSION);
  std::unique_ptr<CublasLtMatmul> plan;
  if (reason.empty()) {
    plan = std::make_unique<CublasLtMatmul>(*this, cublaslt(), problem);
    reason = plan->refusal();
  }
  if (!reason.empty()) throw usage_error(fmt::format("{}: {}", describe(problem), reason));
  return plan;
}

}  // namespace rackproof::cuda
