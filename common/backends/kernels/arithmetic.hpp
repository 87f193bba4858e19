// Scalar arithmetic of the functors. This folder does without the standard library's containers, algorithms and
// exceptions, because it is compiled for the host once per instruction set, and for GPUs.
//
// Beside its work, a functor says how it is best launched on a GPU: lanes() of a thread block have something to do, and
// more than most_lanes do not pay or would find too few registers.
#pragma once

#include <cstdint>

#include "common/core/data_type.hpp"

// The instruction set that this translation unit is compiled for (CMake says so). Each has a namespace of its own, so
// that the linker never takes a function compiled for one instruction set into the code of another.
#ifndef RACKPROOF_ISA
#define RACKPROOF_ISA portable
#endif

// RACKPROOF_KERNEL: always inlined. RACKPROOF_KERNEL_CALL: where the compiler may decide.
#ifdef __CUDACC__
#define RACKPROOF_KERNEL __host__ __device__ __forceinline__
#define RACKPROOF_KERNEL_CALL __host__ __device__
#else
#define RACKPROOF_KERNEL __attribute__((always_inline)) inline
#define RACKPROOF_KERNEL_CALL
#endif

namespace rackproof::kernels::RACKPROOF_ISA {

/// The storage of bf16: a type of its own, so that overloads tell it from an integer.
struct Bf16 {
  std::uint16_t bits;
};

RACKPROOF_KERNEL float float_of_bits(std::uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

RACKPROOF_KERNEL std::uint32_t bits_of_float(float value) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  return bits;
}

RACKPROOF_KERNEL float load(float value) { return value; }
RACKPROOF_KERNEL float load(Bf16 value) { return float_of_bits(static_cast<std::uint32_t>(value.bits) << 16U); }

RACKPROOF_KERNEL void store(float value, float& to) { to = value; }
/// To nearest, ties to even; NaN stays NaN, overflow becomes infinity: as common/core/bfloat16.hpp has it.
RACKPROOF_KERNEL void store(float value, Bf16& to) {
  const std::uint32_t bits = bits_of_float(value);
  const std::uint32_t rounded = bits + 0x7fffU + ((bits >> 16U) & 1U);
  const bool nan = (bits & 0x7fffffffU) > 0x7f800000U;
  to.bits = static_cast<std::uint16_t>(nan ? (bits >> 16U) | 0x40U : rounded >> 16U);
}

RACKPROOF_KERNEL std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
RACKPROOF_KERNEL std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
RACKPROOF_KERNEL float larger(float a, float b) { return a > b ? a : b; }

/// a where `first`, else b; on a host by bits, where a compiler can take no branch for it.
RACKPROOF_KERNEL float choose(bool first, float a, float b) {
#ifdef __CUDACC__
  return first ? a : b;
#else
  const std::uint32_t mask = 0U - static_cast<std::uint32_t>(first);
  return float_of_bits((bits_of_float(a) & mask) | (bits_of_float(b) & ~mask));
#endif
}

/// exp(x) for x in [-87, 88], the range of normal f32 results, or NaN; within 3e-7 relative, the same on every device.
/// exp(x) = 2^n exp(r), n = round(x / ln 2), r in [-ln 2 / 2, ln 2 / 2]; exp(r) by its Taylor polynomial of degree 7
/// (remainder below (ln 2 / 2)^8 / 8! = 5e-9).
RACKPROOF_KERNEL float exponential_of_clamped(float x) {
  constexpr float magic = 12582912.0F;  // 1.5 x 2^23: adding it rounds to an integer in the low bits
  const float shifted = x * 1.44269504F + magic;
  const float n = shifted - magic;
  // ln 2 in two parts, of which the first has enough zero bits to make n x it exact (Cody and Waite, 1980).
  const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  float sum = 1.0F / 5040.0F;
  sum = sum * r + 1.0F / 720.0F;
  sum = sum * r + 1.0F / 120.0F;
  sum = sum * r + 1.0F / 24.0F;
  sum = sum * r + 1.0F / 6.0F;
  sum = sum * r + 0.5F;
  sum = sum * r + 1.0F;
  sum = sum * r + 1.0F;
  // n + 127 into the exponent field; unsigned arithmetic, so that NaN's arbitrary bits do no harm.
  const std::uint32_t exponent = (bits_of_float(shifted) - bits_of_float(magic) + 127U) << 23U;
  return sum * float_of_bits(exponent);
}

/// exp(x) of any x, clamped to that range; NaN stays NaN. Without a branch, so that lanes vectorise.
RACKPROOF_KERNEL float exponential(float x) {
  x = x < -87.0F ? -87.0F : x;
  x = x > 88.0F ? 88.0F : x;
  return exponential_of_clamped(x);
}

/// x / (1 + exp(-x)). With the clamps of exponential() GCC 12 would follow each side of them to the end, and divide
/// three times where once will do.
RACKPROOF_KERNEL float silu(float x) {
  const float above = choose(x < -88.0F, -88.0F, x);
  return x / (1.0F + exponential_of_clamped(-choose(above > 87.0F, 87.0F, above)));
}

}  // namespace rackproof::kernels::RACKPROOF_ISA
