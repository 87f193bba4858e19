#include "common/backends/backend.hpp"

#include "common/backends/mpi/device_collective.hpp"
#include "common/backends/mpi/mpi_collective.hpp"

namespace rackproof {
namespace {

class MpiBackend final : public Backend {
 public:
  [[nodiscard]] std::string name() const override { return "mpi"; }
  [[nodiscard]] int collective_priority(std::string_view device_backend) const override {
    return device_backend == "host" || device_backend == "cuda" ? 10 : 0;
  }

 private:
  [[nodiscard]] std::unique_ptr<Collective> do_open_collective(const mpi::Communicator& ranks, Device& device,
                                                               const CollectiveOptions& /*options*/) const override {
    if (device.is_host()) return std::make_unique<MpiCollective>(ranks);
    // The same way on every rank, whatever the libraries of some say.
    double takes_pointers = mpi_takes_cuda_pointers() ? 1.0 : 0.0;
    ranks.all_reduce_min({&takes_pointers, 1});
    return std::make_unique<MpiDeviceCollective>(ranks, device, takes_pointers > 0.0);
  }
};

}  // namespace

std::unique_ptr<Backend> make_mpi_backend();
std::unique_ptr<Backend> make_mpi_backend() { return std::make_unique<MpiBackend>(); }

}  // namespace rackproof
