#include "common/backends/cuda/checksum.hpp"
#include "common/backends/cuda/launch.cuh"
#include "common/backends/kernels/checksum.hpp"

namespace rackproof::cuda {

void start_checksum(const std::uint32_t* words, std::int64_t count, std::uint64_t* sum, cudaStream_t stream,
                    const Require& require) {
  using kernels::RACKPROOF_ISA::Checksum;
  launch(Checksum{words, count, sum}, Checksum::scratch(), "start of the checksum kernel", stream, require);
}

}  // namespace rackproof::cuda
