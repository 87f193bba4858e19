#include "common/backends/backend.hpp"

#include "common/backends/mpi/mpi_collective.hpp"

namespace rackproof {
namespace {

class MpiBackend final : public Backend {
 public:
  [[nodiscard]] std::string name() const override { return "mpi"; }
  [[nodiscard]] int collective_priority(std::string_view device_backend) const override {
    return device_backend == "host" ? 10 : 0;
  }
  [[nodiscard]] std::unique_ptr<Collective> open_collective(const mpi::Communicator& ranks,
                                                            Device& /*device*/) const override {
    return std::make_unique<MpiCollective>(ranks);
  }
};

}  // namespace

std::unique_ptr<Backend> make_mpi_backend();
std::unique_ptr<Backend> make_mpi_backend() { return std::make_unique<MpiBackend>(); }

}  // namespace rackproof
