// The BLAS that f64 products run on: chosen when rackproof is built (RACKPROOF_BLAS).
#pragma once

#ifdef RACKPROOF_WITH_BLIS
#include "common/backends/host/blis.hpp"
#else
#include "common/backends/host/openblas.hpp"
#endif

namespace rackproof::host {

#ifdef RACKPROOF_WITH_BLIS
using Blas = Blis;
#else
using Blas = OpenBlas;
#endif

}  // namespace rackproof::host
