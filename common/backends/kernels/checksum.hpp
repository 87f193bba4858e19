// A checksum of device memory: the sum, modulo 2^64, of a mixture of each word with its place. Any one word that
// changes changes it, for the mixture is one to one; several that change hide each other with a probability of 2^-64.
// It does not depend on the order of adding, and so not on blocks and lanes.
#pragma once

#include <cstdint>

#include "common/backends/kernels/arithmetic.hpp"

namespace rackproof::kernels::RACKPROOF_ISA {

/// The finaliser of SplitMix64 (Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014).
RACKPROOF_KERNEL std::uint64_t mix_word(std::uint32_t word, std::int64_t place) {
  std::uint64_t bits = (static_cast<std::uint64_t>(place) << 32U | word) + 0x9e3779b97f4a7c15U;
  bits = (bits ^ (bits >> 30U)) * 0xbf58476d1ce4e5b9U;
  bits = (bits ^ (bits >> 27U)) * 0x94d049bb133111ebU;
  return bits ^ (bits >> 31U);
}

/// Several blocks may do so at the same time.
RACKPROOF_KERNEL void add_to(std::uint64_t* sum, std::uint64_t value) {
#ifdef __CUDA_ARCH__
  atomicAdd(reinterpret_cast<unsigned long long*>(sum), static_cast<unsigned long long>(value));
#else
  *sum += value;
#endif
}

struct Checksum {
  const std::uint32_t* words;
  std::int64_t count;
  std::uint64_t* sum;  ///< is added to

  static constexpr std::int64_t most_lanes = 256;
  static constexpr std::int64_t words_a_block = std::int64_t{1} << 16U;
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t blocks() const { return ceil_div(count, words_a_block); }
  [[nodiscard]] RACKPROOF_KERNEL std::int64_t lanes() const { return most_lanes; }
  /// Floats: a sum of each lane.
  [[nodiscard]] static constexpr std::int64_t scratch() { return 2 * most_lanes; }

  template <typename Team>
  RACKPROOF_KERNEL void operator()(const Team& team, std::int64_t block, float* scratch) const {
    auto* const partial = reinterpret_cast<std::uint64_t*>(scratch);
    const std::int64_t end = smaller(count, (block + 1) * words_a_block);
    std::uint64_t own = 0;
    for (std::int64_t i = block * words_a_block + team.lane(); i < end; i += team.lanes()) own += mix_word(words[i], i);
    partial[team.lane()] = own;
    team.barrier();
    if (team.lane() != 0) return;
    std::uint64_t all = 0;
    for (std::int64_t lane = 0; lane < team.lanes(); ++lane) all += partial[lane];
    add_to(sum, all);
  }
};

}  // namespace rackproof::kernels::RACKPROOF_ISA
