#include "common/backends/cuda/matmul_rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace rackproof::cuda {
namespace {

struct Offer {
  DataType input;
  Scaling scaling;
  DataType output;
};

constexpr std::array<Offer, 12> offers{{{DataType::f64, Scaling::none, DataType::f64},
                                        {DataType::f32, Scaling::none, DataType::f32},
                                        {DataType::tf32, Scaling::none, DataType::f32},
                                        {DataType::f16, Scaling::none, DataType::f32},
                                        {DataType::f16, Scaling::none, DataType::f16},
                                        {DataType::bf16, Scaling::none, DataType::f32},
                                        {DataType::bf16, Scaling::none, DataType::bf16},
                                        {DataType::i8, Scaling::none, DataType::i32},
                                        {DataType::f8e4m3, Scaling::tensor, DataType::f32},
                                        {DataType::f8e4m3, Scaling::block, DataType::f32},
                                        {DataType::f8e4m3, Scaling::mx, DataType::f32},
                                        {DataType::f4e2m1, Scaling::nv, DataType::f32}}};

constexpr int hopper = 90;

/// The compute capability from which on the type is there.
int least_capability(DataType type) {
  switch (type) {
    case DataType::f16:
    case DataType::i8:
      return 75;
    case DataType::tf32:
    case DataType::bf16:
      return 80;
    case DataType::f8e4m3:
    case DataType::f8e5m2:
      return 89;
    case DataType::f4e2m1:
      return 100;
    default:
      return 0;
  }
}

std::string dotted(int capability) { return fmt::format("{}.{}", capability / 10, capability % 10); }

std::string refuse_chip(const MatmulProblem& problem, int capability) {
  if (problem.scaling == Scaling::block && capability != hopper) {
    return fmt::format("block scales in f32 exist on compute capability 9.0 (Hopper) alone; this GPU has {}",
                       dotted(capability));
  }
  const int least = problem.scaling == Scaling::mx ? 100 : least_capability(problem.input);
  if (capability >= least) return {};
  return fmt::format("{}{} needs a GPU of compute capability {}; this one has {}", name(problem.input),
                     problem.scaling == Scaling::mx ? " with mx scales" : "", dotted(least), dotted(capability));
}

std::string refuse_version(const MatmulProblem& problem, int cublas_version) {
  int least = 0;
  if (problem.scaling == Scaling::mx || problem.scaling == Scaling::nv) least = 120800;
  if (problem.scaling == Scaling::block) least = 120900;
  if (cublas_version >= least) return {};
  return fmt::format("{} scales need CUDA {}.{}; this build has cuBLAS {}.{}", name(problem.scaling), least / 10000,
                     least / 100 % 100, cublas_version / 10000, cublas_version / 100 % 100);
}

std::string refuse_extents(const MatmulProblem& problem) {
  const auto require = [](const char* which, std::int64_t extent, std::int64_t multiple, const char* what) {
    return extent % multiple == 0
               ? std::string()
               : fmt::format("cuBLASLt multiplies {} with {} in multiples of {} alone", what, which, multiple);
  };
  const std::string what =
      problem.scaling == Scaling::block ? "f8e4m3 with block scales" : std::string(name(problem.input));
  // Rows of 16 bytes; i8: of 4.
  std::int64_t k_multiple = 1;
  std::int64_t n_multiple = 1;
  std::int64_t m_multiple = 1;
  if (problem.input == DataType::i8) k_multiple = n_multiple = 4;
  if (problem.scaling != Scaling::none) k_multiple = n_multiple = 16;
  if (problem.scaling == Scaling::nv) k_multiple = 32;
  if (problem.scaling == Scaling::block) m_multiple = 4;
  std::string reason = require("k", problem.k, k_multiple, what.c_str());
  if (reason.empty()) reason = require("n", problem.n, n_multiple, what.c_str());
  if (reason.empty()) reason = require("m", problem.m, m_multiple, what.c_str());
  return reason;
}

}  // namespace

std::string refuse_by_rule(const MatmulProblem& problem, int capability, int cublas_version) {
  const bool offered = std::any_of(offers.begin(), offers.end(), [&](const Offer& offer) {
    return offer.input == problem.input && offer.scaling == problem.scaling && offer.output == problem.output;
  });
  if (!offered) {
    return fmt::format("no product of {} with scaling {} that gives {}", name(problem.input), name(problem.scaling),
                       name(problem.output));
  }
  if (std::string reason = refuse_chip(problem, capability); !reason.empty()) return reason;
  if (std::string reason = refuse_version(problem, cublas_version); !reason.empty()) return reason;
  const bool k_major = problem.layout == WeightLayout::packed || problem.transposed_weights;
  const bool narrow = problem.input == DataType::i8 || problem.scaling != Scaling::none;
  if (narrow && !k_major) {
    return fmt::format("cuBLASLt multiplies {} with K-major weights alone, which is what packed is",
                       name(problem.input));
  }
  return refuse_extents(problem);
}

// Of NVIDIA's matrix units, bit by bit on the hardware: Fasi, Higham, Mikaitis and Pranesh, Numerical behavior of
// NVIDIA tensor cores, PeerJ CS 7:e330, 2021 (V100, A100: products exact, addition aligned to the largest and
// truncated, f64 as IEEE 754 has it); Xie et al., MMA-Sim, arXiv 2511.10909, 2025, and Khattak and Mikaitis, Accurate
// models of NVIDIA tensor cores, arXiv 2512.07004, 2025 (up to H100 and B200). One step adds to the sum as many
// products as fit 16 bytes of an operand (to 8.9) or 32 (from 9.0; 64 products of e2m1), aligned to the largest with 24
// (8.x), 25 (from 9.0) or 35 (e2m1 with scales) bits of fraction, and truncates to f32. f8 on 8.9 and 9.0 is aligned
// with 13 bits and truncated to 13 (also DeepSeek-V3 Technical Report, arXiv 2412.19437, 3.3.2: about 14 bits on H800).
// cuBLASLt by default adds such sums up in f32 every so often (CUBLASLT_MATMUL_DESC_FAST_ACCUM = 0), but not documented
// how often, so nothing is made of it; with block scales it must, every 128.
Accumulation accumulation_of(const MatmulProblem& problem, int capability) {
  if (problem.input == DataType::f64 || problem.input == DataType::f32 || problem.input == DataType::i8) return {};
  const int bytes = capability >= hopper ? 32 : 16;
  if (problem.input == DataType::f4e2m1) return {0x1p-23, 64, 0};
  if (problem.input == DataType::f8e4m3) {
    const bool few_bits = capability < 100;
    return {few_bits ? 0x1p-13 : 0x1p-23, bytes, problem.scaling == Scaling::block ? 128 : 0};
  }
  return {0x1p-23, bytes / static_cast<int>(size_of(problem.input)), 0};
}

}  // namespace rackproof::cuda
