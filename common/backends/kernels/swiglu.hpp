// SwiGLU. One block a row.
#pragma once

#include "common/backends/kernels/arithmetic.hpp"
#include "common/backends/token_kernels.hpp"

namespace rackproof::kernels::RACKPROOF_ISA {

template <typename Element>
struct Swiglu {
  SwigluArgs args;

  [[nodiscard]] RACKPROOF_KERNEL std::int64_t blocks() const { return args.count; }
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t work() const { return 20 * args.width; }

  template <typename Team>
  RACKPROOF_KERNEL void operator()(const Team& team, std::int64_t block, float* /*scratch*/) const {
    const float* gate = args.gate_up + block * 2 * args.width;
    const float* up = gate + args.width;
    Element* output = static_cast<Element*>(args.output) + block * args.width;
    team.for_each(args.width,
                  [=](std::int64_t i) { store(gate[i] / (1.0F + exponential(-gate[i])) * up[i], output[i]); });
  }
};

}  // namespace rackproof::kernels::RACKPROOF_ISA
