// A team of one lane, without vectors: what the host twins of the kernels run on (launch.cuh).
#pragma once

#include <cstdint>

#include "common/backends/kernels/arithmetic.hpp"

namespace rackproof::cuda {

class SerialTeam {
 public:
  static constexpr std::int64_t width = 1;
  using Wide = float;
  RACKPROOF_KERNEL static Wide load_wide(const float* from) { return *from; }
  RACKPROOF_KERNEL static Wide load_wide(const kernels::RACKPROOF_ISA::Bf16* from) {
    return kernels::RACKPROOF_ISA::load(*from);
  }
  RACKPROOF_KERNEL static void store_wide(Wide value, float* to) { *to = value; }

  RACKPROOF_KERNEL static constexpr std::int64_t lane() { return 0; }
  RACKPROOF_KERNEL static constexpr std::int64_t lanes() { return 1; }
  RACKPROOF_KERNEL static void barrier() {}

  template <typename Body>
  RACKPROOF_KERNEL void for_each(std::int64_t n, Body body) const {
    for (std::int64_t i = 0; i < n; ++i) body(i);
  }
  template <typename Body>
  RACKPROOF_KERNEL void for_each_wide(std::int64_t n, Body body) const {
    for_each(n, body);
  }
  template <typename Body>
  RACKPROOF_KERNEL void for_each_part(std::int64_t n, Body body) const {
    for (std::int64_t i = 0; i < n; ++i) body(*this, i);
  }
  template <typename Body>
  RACKPROOF_KERNEL float reduce_sum(std::int64_t n, Body body) const {
    float sum = 0.0F;
    for (std::int64_t i = 0; i < n; ++i) sum += body(i);
    return sum;
  }
  template <typename Body>
  RACKPROOF_KERNEL float reduce_max(std::int64_t n, Body body) const {
    float largest = -3.4e38F;
    for (std::int64_t i = 0; i < n; ++i) {
      const float value = body(i);
      largest = value > largest ? value : largest;
    }
    return largest;
  }
};

}  // namespace rackproof::cuda
