#include "common/backends/host/matvec.hpp"

#include "common/core/error.hpp"

namespace rackproof::host {

namespace baseline {
const MatvecKernels& matvec();
}
#ifdef RACKPROOF_X86_64
namespace avx2 {
const MatvecKernels& matvec();
}
namespace avx512 {
const MatvecKernels& matvec();
}
#endif

const MatvecKernels& matvec_kernels(Isa isa) {
  switch (isa) {
    case Isa::baseline:
      return baseline::matvec();
#ifdef RACKPROOF_X86_64
    case Isa::avx2:
      return avx2::matvec();
    case Isa::avx512:
      return avx512::matvec();
#else
    default:
      break;
#endif
  }
  throw Error(ExitCode::internal, "host", 0, "", "this binary has no kernels for the instruction set asked for");
}

}  // namespace rackproof::host
