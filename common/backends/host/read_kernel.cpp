#include "common/backends/host/read_kernel.hpp"

#include "common/core/error.hpp"

namespace rackproof::host {

namespace baseline {
std::uint64_t read_all(const std::uint64_t* words, std::size_t count);
}
#ifdef RACKPROOF_X86_64
namespace avx2 {
std::uint64_t read_all(const std::uint64_t* words, std::size_t count);
}
namespace avx512 {
std::uint64_t read_all(const std::uint64_t* words, std::size_t count);
}
#endif

ReadKernel read_kernel(Isa isa) {
  switch (isa) {
    case Isa::baseline:
      return baseline::read_all;
#ifdef RACKPROOF_X86_64
    case Isa::avx2:
      return avx2::read_all;
    case Isa::avx512:
      return avx512::read_all;
#else
    default:
      break;
#endif
  }
  throw Error(ExitCode::internal, "host", 0, "", "this binary has no kernels for the instruction set asked for");
}

}  // namespace rackproof::host
