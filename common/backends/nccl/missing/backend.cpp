// In place of the NCCL backend, in builds without it.
#include "common/backends/backend.hpp"

#include "common/core/error.hpp"

namespace rackproof {
namespace {

class MissingNcclBackend final : public Backend {
 public:
  [[nodiscard]] std::string name() const override { return "nccl"; }
  /// Below all others: it is reached by name alone, to say what is missing.
  [[nodiscard]] int collective_priority(std::string_view device_backend) const override {
    return device_backend == "cuda" ? 1 : 0;
  }

 private:
  [[nodiscard]] std::unique_ptr<Collective> do_open_collective(const mpi::Communicator& /*ranks*/, Device& /*device*/,
                                                               const CollectiveOptions& /*options*/) const override {
    throw usage_error(
        "--collective-backends nccl: this build has no NCCL; install its development package (libnccl-dev, 2.18 or "
        "later) beside the CUDA Toolkit and configure with -DRACKPROOF_CUDA=ON");
  }
};

}  // namespace

std::unique_ptr<Backend> make_nccl_backend();
std::unique_ptr<Backend> make_nccl_backend() { return std::make_unique<MissingNcclBackend>(); }

}  // namespace rackproof
