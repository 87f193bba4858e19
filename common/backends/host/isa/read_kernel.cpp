// Compiled once for each instruction set; see matvec_kernels.cpp for what may not be done here.
#include "common/backends/host/read_kernel.hpp"

namespace rackproof::host::RACKPROOF_ISA {

std::uint64_t read_all(const std::uint64_t* words, std::size_t count);

std::uint64_t read_all(const std::uint64_t* words, std::size_t count) {
  // Eight words are one cache line; a loop over signed numbers, because OpenMP shares that out without a division.
  const auto lines = static_cast<std::int64_t>(count / 8);
  std::uint64_t total = 0;
#pragma omp parallel for simd schedule(static) reduction(^ : total)
  for (std::int64_t i = 0; i < lines * 8; ++i) total ^= words[i];
  for (std::size_t i = static_cast<std::size_t>(lines) * 8; i < count; ++i) total ^= words[i];
  return total;
}

}  // namespace rackproof::host::RACKPROOF_ISA
