// A team that is a thread block of a GPU, whose lanes are its threads: see common/backends/team.hpp.
#pragma once

#include <cstdint>

#include "common/backends/kernels/arithmetic.hpp"

namespace rackproof::cuda {

constexpr int warp_lanes = 32;
constexpr int most_warps = 32;  // of a thread block

/// Two floats that are treated alike.
struct Floats2 {
  float x, y;
};
RACKPROOF_KERNEL Floats2 operator*(Floats2 a, float b) { return {a.x * b, a.y * b}; }
RACKPROOF_KERNEL Floats2 operator*(float a, Floats2 b) { return b * a; }
RACKPROOF_KERNEL Floats2& operator+=(Floats2& a, Floats2 b) {
  a.x += b.x;
  a.y += b.y;
  return a;
}

// Functors are compiled for the host too, where nobody calls them with these teams and there is nothing to call.
#ifdef __CUDA_ARCH__
RACKPROOF_KERNEL void wait_for_block() { __syncthreads(); }
RACKPROOF_KERNEL void wait_for_warp() { __syncwarp(); }
RACKPROOF_KERNEL float from_lane(float value, int distance) { return __shfl_xor_sync(0xffffffffU, value, distance); }
#else
RACKPROOF_KERNEL void wait_for_block() {}
RACKPROOF_KERNEL void wait_for_warp() {}
RACKPROOF_KERNEL float from_lane(float value, int /*distance*/) { return value; }
#endif

/// The larger, or the one that is a number. What functors start from where there is nothing is -3.4e38.
RACKPROOF_KERNEL float larger_number(float a, float b) { return b > a ? b : a; }

/// What teams of threads share: lanes take elements in turn, so that neighbours read neighbours.
template <typename Derived>
class LanesTeam {
 public:
  static constexpr std::int64_t width = 2;
  using Wide = Floats2;

  RACKPROOF_KERNEL static Wide load_wide(const float* from) {
    const float2 pair = *reinterpret_cast<const float2*>(from);
    return {pair.x, pair.y};
  }
  RACKPROOF_KERNEL static Wide load_wide(const kernels::RACKPROOF_ISA::Bf16* from) {
    const std::uint32_t pair = *reinterpret_cast<const std::uint32_t*>(from);
    return {kernels::RACKPROOF_ISA::float_of_bits(pair << 16U),
            kernels::RACKPROOF_ISA::float_of_bits(pair & 0xffff0000U)};
  }
  RACKPROOF_KERNEL static void store_wide(Wide value, float* to) {
    *reinterpret_cast<float2*>(to) = make_float2(value.x, value.y);
  }

  template <typename Body>
  RACKPROOF_KERNEL void for_each(std::int64_t n, Body body) const {
    for (std::int64_t i = self().lane(); i < n; i += self().lanes()) body(i);
    self().barrier();
  }
  template <typename Body>
  RACKPROOF_KERNEL void for_each_wide(std::int64_t n, Body body) const {
    for (std::int64_t i = self().lane() * width; i < n; i += self().lanes() * width) body(i);
    self().barrier();
  }
  template <typename Body>
  RACKPROOF_KERNEL float reduce_sum(std::int64_t n, Body body) const {
    self().barrier();
    float sum = 0.0F;
    for (std::int64_t i = self().lane(); i < n; i += self().lanes()) sum += body(i);
    return self().combine(sum, [](float a, float b) { return a + b; });
  }
  template <typename Body>
  RACKPROOF_KERNEL float reduce_max(std::int64_t n, Body body) const {
    self().barrier();
    float largest = -3.4e38F;
    for (std::int64_t i = self().lane(); i < n; i += self().lanes()) largest = larger_number(largest, body(i));
    return self().combine(largest, [](float a, float b) { return larger_number(a, b); });
  }

 private:
  RACKPROOF_KERNEL const Derived& self() const { return static_cast<const Derived&>(*this); }
};

/// All lanes of a warp with the combined value of all; in pairs, so that every lane gets the same bits.
template <typename Combine>
RACKPROOF_KERNEL float combine_warp(float value, Combine combine) {
  for (int distance = warp_lanes / 2; distance > 0; distance /= 2) {
    value = combine(value, from_lane(value, distance));
  }
  return value;
}

/// One warp of a block.
class WarpTeam : public LanesTeam<WarpTeam> {
 public:
  RACKPROOF_KERNEL std::int64_t lane() const { return threadIdx.x % warp_lanes; }
  RACKPROOF_KERNEL static constexpr std::int64_t lanes() { return warp_lanes; }
  RACKPROOF_KERNEL void barrier() const { wait_for_warp(); }
  template <typename Combine>
  RACKPROOF_KERNEL float combine(float own, Combine how) const {
    return combine_warp(own, how);
  }
};

/// The whole block: a multiple of 32 threads in one dimension.
class BlockTeam : public LanesTeam<BlockTeam> {
 public:
  /// `partial`: shared memory, [most_warps].
  RACKPROOF_KERNEL explicit BlockTeam(float* partial) : partial_(partial) {}
  RACKPROOF_KERNEL std::int64_t lane() const { return threadIdx.x; }
  RACKPROOF_KERNEL std::int64_t lanes() const { return blockDim.x; }
  RACKPROOF_KERNEL void barrier() const { wait_for_block(); }

  template <typename Body>
  RACKPROOF_KERNEL void for_each_part(std::int64_t n, Body body) const {
    const std::int64_t warps = blockDim.x / warp_lanes;
    for (std::int64_t i = threadIdx.x / warp_lanes; i < n; i += warps) body(WarpTeam(), i);
    barrier();
  }
  template <typename Combine>
  RACKPROOF_KERNEL float combine(float own, Combine how) const {
    const float of_warp = combine_warp(own, how);
    if (blockDim.x == warp_lanes) return of_warp;
    // Whoever still reads the values of an earlier reduction has not passed the barrier at the begin of this one.
    if (threadIdx.x % warp_lanes == 0) partial_[threadIdx.x / warp_lanes] = of_warp;
    barrier();
    float all = partial_[0];
    for (unsigned warp = 1; warp < blockDim.x / warp_lanes; ++warp) all = how(all, partial_[warp]);
    return all;
  }

 private:
  float* partial_;
};

}  // namespace rackproof::cuda
