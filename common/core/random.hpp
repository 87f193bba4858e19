// Seeded random numbers that any rank can compute at any index without the ones before: a shard of a weight
// matrix is the same numbers whatever the number of ranks.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/core/bfloat16.hpp"

namespace rackproof {

/// 64 well-mixed bits for (stream, index): the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) over
/// a Weyl sequence.
[[gnu::always_inline]] inline std::uint64_t random_bits(std::uint64_t stream, std::uint64_t index) {
  std::uint64_t z = stream + (index + 1) * 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31U);
}

/// A stream of its own for (seed, purpose), for example the weights of layer 3.
[[nodiscard]] std::uint64_t random_stream(std::uint64_t seed, std::uint64_t purpose);

/// Uniform in [0, 1) with 53 bits.
[[nodiscard]] inline double random_uniform(std::uint64_t stream, std::uint64_t index) {
  return static_cast<double>(random_bits(stream, index) >> 11U) * 0x1.0p-53;
}

/// 0 ... count - 1 in an order that the stream decides (Fisher and Yates): not std::shuffle, which may differ between
/// libraries, for ranks must agree.
[[nodiscard]] std::vector<int> shuffled(int count, std::uint64_t stream);

/// values[i] = scale x N(0, 1) of index first + i, by the inverse cumulative distribution at 4096 quantiles
/// (largest |value| 3.7 x scale): smooth enough to benchmark with, fast enough for gigabytes.
void fill_normal(std::span<float> values, std::uint64_t stream, std::uint64_t first, float scale);
void fill_normal(std::span<double> values, std::uint64_t stream, std::uint64_t first, double scale);
void fill_normal(std::span<bf16_bits> values, std::uint64_t stream, std::uint64_t first, float scale);
/// Rounded and clamped to [-127, 127].
void fill_normal(std::span<std::int8_t> values, std::uint64_t stream, std::uint64_t first, float scale);

}  // namespace rackproof
