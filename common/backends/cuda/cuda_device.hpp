// One GPU as a device.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <memory>
#include <string>

#include "common/backends/backend.hpp"
#include "common/backends/cuda/handles.hpp"
#include "common/backends/device.hpp"

namespace rackproof::cuda {

/// GPUs that this process sees; 0 where there is no driver, or none that this runtime can use.
[[nodiscard]] int count_devices();

/// The GPU of one rank: by its local rank among those that the process sees; the only one where it sees but one
/// (Slurm's CUDA_VISIBLE_DEVICES, one a task). All work goes to one stream of it.
class CudaDevice final : public Device {
 public:
  explicit CudaDevice(const DeviceRequest& request);

  [[nodiscard]] std::string name() const override { return properties_.name; }
  [[nodiscard]] std::string serial() const override;
  [[nodiscard]] std::string id() const override;
  [[nodiscard]] std::map<std::string, std::string> facts() const override;
  [[nodiscard]] int threads() const override { return threads_; }
  [[nodiscard]] std::size_t memory_available() const override;
  [[nodiscard]] std::size_t cache_bytes() const override;
  [[nodiscard]] bool supports(DataType type) const override;
  [[nodiscard]] std::unique_ptr<Buffer> allocate(std::size_t bytes) override;
  void copy_to_device(void* device, const void* host, std::size_t bytes) override;
  void copy_to_host(void* host, const void* device, std::size_t bytes) override;
  void copy(void* to, const void* from, std::size_t bytes) override;
  [[nodiscard]] std::unique_ptr<Matmul> matmul(const MatmulProblem& problem) override;
  [[nodiscard]] TokenKernels& token_kernels() override;
  void synchronize() override;
  [[nodiscard]] Peaks measure_peaks() override;

  /// All that this device is asked for goes here; other backends put their work here too.
  [[nodiscard]] cudaStream_t stream() const { return stream_.get(); }
  [[nodiscard]] int index() const { return index_; }
  [[nodiscard]] const cudaDeviceProp& properties() const { return properties_; }
  /// Where errors of this device are, with its UUID.
  [[nodiscard]] Place place() const;
  /// Called again and again while synchronize() waits; what it throws ends the wait. Empty: nothing. A collective's
  /// library can fail or hang in ways that its stream never tells.
  void while_waiting(std::function<void()> action) { while_waiting_ = std::move(action); }

 private:
  int index_;
  int threads_;
  cudaDeviceProp properties_;
  Stream stream_;
  std::function<void()> while_waiting_;
};

}  // namespace rackproof::cuda
