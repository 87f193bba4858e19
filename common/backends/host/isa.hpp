// The instruction sets that own kernels are compiled for. One is chosen at run time.
#pragma once

#include <string_view>
#include <vector>

namespace rackproof::host {

enum class Isa {
  baseline,  ///< what the compiler's default is: SSE2 on x86-64, NEON on AArch64
  avx2,      ///< x86-64-v3
  avx512     ///< x86-64-v4
};

[[nodiscard]] std::string_view name(Isa isa);
/// Those that this CPU can run and this binary carries, best last.
[[nodiscard]] std::vector<Isa> supported_isas();
[[nodiscard]] inline Isa best_isa() { return supported_isas().back(); }

}  // namespace rackproof::host
