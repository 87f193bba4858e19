// NCCL between NVIDIA GPUs.
#include "common/backends/backend.hpp"

#include "common/backends/nccl/nccl_collective.hpp"

namespace rackproof {
namespace {

class NcclBackend final : public Backend {
 public:
  [[nodiscard]] std::string name() const override { return "nccl"; }
  [[nodiscard]] int collective_priority(std::string_view device_backend) const override {
    return device_backend == "cuda" ? 20 : 0;
  }

 private:
  [[nodiscard]] std::unique_ptr<Collective> do_open_collective(const mpi::Communicator& ranks, Device& device,
                                                               const CollectiveOptions& options) const override {
    auto* const gpu = dynamic_cast<cuda::CudaDevice*>(&device);
    if (gpu == nullptr) {
      throw usage_error("--collective-backends nccl: NCCL serves NVIDIA GPUs alone; use mpi with this device");
    }
    return std::make_unique<nccl::NcclCollective>(ranks, *gpu, options);
  }
};

}  // namespace

std::unique_ptr<Backend> make_nccl_backend();
std::unique_ptr<Backend> make_nccl_backend() { return std::make_unique<NcclBackend>(); }

}  // namespace rackproof
