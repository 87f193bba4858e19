// Residual add and RMSNorm in one pass over the row. One block a row.
#pragma once

#include "common/backends/kernels/arithmetic.hpp"
#include "common/backends/token_kernels.hpp"

namespace rackproof::kernels::RACKPROOF_ISA {

template <typename Element>
struct ResidualNorm {
  ResidualNormArgs args;

  [[nodiscard]] RACKPROOF_KERNEL std::int64_t blocks() const { return args.count; }
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t work() const { return 4 * args.hidden; }
  static constexpr std::int64_t most_lanes = 1024;
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t lanes() const { return args.hidden; }

  template <typename Team>
  RACKPROOF_KERNEL void operator()(const Team& team, std::int64_t block, float* /*scratch*/) const {
    const std::int64_t row = block * args.row_stride * args.hidden;
    float* residual = args.residual + row;
    if (args.delta != nullptr) {
      const float* delta = args.delta + row;
      team.for_each(args.hidden, [=](std::int64_t i) { residual[i] += delta[i]; });
    }
    const float squares = team.reduce_sum(args.hidden, [=](std::int64_t i) { return residual[i] * residual[i]; });
    const float scale = 1.0F / __builtin_sqrtf(squares / static_cast<float>(args.hidden) + args.epsilon);
    const float* weight = args.weight;
    Element* output = static_cast<Element*>(args.output) + block * args.hidden;
    team.for_each(args.hidden, [=](std::int64_t i) { store(residual[i] * scale * weight[i], output[i]); });
  }
};

}  // namespace rackproof::kernels::RACKPROOF_ISA
