#include "common/backends/host/isa.hpp"

namespace rackproof::host {

std::string_view name(Isa isa) {
  switch (isa) {
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::baseline:
      break;
  }
#ifdef __aarch64__
  return "neon";
#else
  return "baseline";
#endif
}

std::vector<Isa> supported_isas() {
  std::vector<Isa> isas{Isa::baseline};
#ifdef RACKPROOF_X86_64
  // The features of x86-64-v3 and -v4 (System V ABI, AMD64 supplement, table 3.1) that the compiler asks about.
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
      __builtin_cpu_supports("bmi2")) {
    isas.push_back(Isa::avx2);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
      isas.push_back(Isa::avx512);
    }
  }
#endif
  return isas;
}

}  // namespace rackproof::host
