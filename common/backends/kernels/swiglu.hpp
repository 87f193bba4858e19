// SwiGLU. One block a row and stretch of columns, so that a single row keeps more than one block busy.
#pragma once

#include "common/backends/kernels/arithmetic.hpp"
#include "common/backends/token_kernels.hpp"

namespace rackproof::kernels::RACKPROOF_ISA {

constexpr std::int64_t swiglu_columns = 1024;

template <typename Element>
struct Swiglu {
  SwigluArgs args;

  [[nodiscard]] RACKPROOF_KERNEL std::int64_t stretches() const { return ceil_div(args.width, swiglu_columns); }
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t blocks() const { return args.count * stretches(); }
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t work() const { return 20 * smaller(args.width, swiglu_columns); }
  static constexpr std::int64_t most_lanes = 256;
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t lanes() const { return args.width; }

  template <typename Team>
  RACKPROOF_KERNEL void operator()(const Team& team, std::int64_t block, float* /*scratch*/) const {
    const std::int64_t row = block / stretches();
    const std::int64_t first = block % stretches() * swiglu_columns;
    const float* gate = args.gate_up + row * 2 * args.width + first;
    const float* up = gate + args.width;
    Element* output = static_cast<Element*>(args.output) + row * args.width + first;
    team.for_each(smaller(args.width - first, swiglu_columns),
                  [=](std::int64_t i) { store(silu(gate[i]) * up[i], output[i]); });
  }
};

}  // namespace rackproof::kernels::RACKPROOF_ISA
