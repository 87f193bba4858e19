// One GPU as a device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/backends/backend.hpp"
#include "common/backends/cuda/cublaslt.hpp"
#include "common/backends/cuda/handles.hpp"
#include "common/backends/cuda/nvml.hpp"
#include "common/backends/device.hpp"

namespace rackproof::cuda {

class Staging;

/// GPUs that this process sees and rackproof has code for; 0 where there is no driver or no GPU. Throws Error where
/// there are GPUs that cannot be used: a driver that is too old, a fabric that is not up.
[[nodiscard]] int count_devices();

/// What identifies each visible GPU (CudaDevice::facts() and its name); those too that rackproof has no code for. Opens
/// none. Throws as count_devices().
[[nodiscard]] std::vector<std::map<std::string, std::string>> describe_devices();

/// Which of `devices` visible GPUs the rank takes: by local rank, beginning anew where there are fewer. Each rank may
/// see GPUs of its own (Slurm's --gpus-per-task, a container a rank); whether two took the same one shows when all are
/// open.
[[nodiscard]] int choose_device(int devices, const DeviceRequest& request);

/// Does a GPU of this compute capability (10 major + minor) compute the type? fp8 from 8.9, fp4 from 10.0.
[[nodiscard]] bool computes(int capability, DataType type);

/// The GPU of one rank. All work goes to one stream of it. Sets the threads of OpenMP, as the host's device does.
/// Its errors name host, UUID and serial number.
class CudaDevice final : public Device {
 public:
  /// Throws Error: usage where there is no driver or an old one, no GPU, or one that this build has no code for;
  /// infrastructure where the GPU cannot be used.
  explicit CudaDevice(const DeviceRequest& request);
  ~CudaDevice() override;

  [[nodiscard]] std::string name() const override { return properties_.name; }
  /// Of the board; its UUID where the driver does not tell.
  [[nodiscard]] std::string serial() const override;
  [[nodiscard]] std::string id() const override;
  [[nodiscard]] std::map<std::string, std::string> facts() const override { return facts_; }
  [[nodiscard]] bool is_fake() const override;
  [[nodiscard]] bool is_usable() const override { return !broken_->load(); }
  [[nodiscard]] int threads() const override { return threads_; }
  /// What is free, less a reserve for what libraries take when they are first used.
  [[nodiscard]] std::size_t memory_available() const override;
  [[nodiscard]] std::size_t cache_bytes() const override;
  [[nodiscard]] bool supports(DataType type) const override;
  [[nodiscard]] std::string refuses(const MatmulProblem& problem) const override;
  [[nodiscard]] std::unique_ptr<Buffer> allocate(std::size_t bytes) override;
  /// Host memory that the GPU reaches by itself.
  [[nodiscard]] std::unique_ptr<Buffer> allocate_pinned(std::size_t bytes);
  [[nodiscard]] std::unique_ptr<Buffer> allocate_host(std::size_t bytes) override { return allocate_pinned(bytes); }
  [[nodiscard]] bool is_coherent_with_host() const override {
    return properties_.pageableMemoryAccessUsesHostPageTables != 0;
  }
  void copy_to_device(void* device, const void* host, std::size_t bytes) override;
  void copy_to_host(void* host, const void* device, std::size_t bytes) override;
  void copy(void* to, const void* from, std::size_t bytes) override;
  [[nodiscard]] bool can_checksum() const override { return true; }
  void checksum(const void* data, std::size_t bytes, std::uint64_t* sum) override;
  [[nodiscard]] std::unique_ptr<Matmul> matmul(const MatmulProblem& problem) override;
  [[nodiscard]] TokenKernels& token_kernels() override;
  /// Throws Error (infrastructure) too where the GPU is not done in DeviceRequest::hang_timeout.
  void synchronize() override;
  [[nodiscard]] std::unique_ptr<Recording> record(std::function<void()> work) override;
  [[nodiscard]] std::unique_ptr<DeviceTimer> make_timer() override;
  [[nodiscard]] std::unique_ptr<TelemetrySource> telemetry() override;
  /// The data sheet's, where it is known; else measured.
  [[nodiscard]] Peaks measure_peaks() override;

  /// All that this device is asked for goes here; other backends put their work here too.
  [[nodiscard]] cudaStream_t stream() const { return stream_.get(); }
  [[nodiscard]] int index() const { return index_; }
  [[nodiscard]] const cudaDeviceProp& properties() const { return properties_; }
  /// 10 major + minor: 90 for Hopper.
  [[nodiscard]] int capability() const { return 10 * properties_.major + properties_.minor; }
  /// Where errors of this device are: host, and "cuda:3 GPU-<UUID> serial <number>".
  [[nodiscard]] Place place() const;
  /// As check(), with this device's place; remembers when the GPU is lost.
  void require(cudaError_t code, const char* call) const;
  /// Waits until `event` has passed, as synchronize() does.
  void wait(cudaEvent_t event) const;
  /// Called again and again while synchronize() waits, with the seconds that it has waited; what it throws ends the
  /// wait. Empty: nothing. A collective's library can fail or hang in ways that its stream never tells.
  void while_waiting(std::function<void(double seconds)> action) { while_waiting_ = std::move(action); }
  /// How often synchronize() has found all work done: what was asked for at another number than now has ended.
  [[nodiscard]] std::uint64_t times_idle() const { return times_idle_; }
  /// Inside of record(): what is asked for now is done at each replay.
  [[nodiscard]] bool is_recording() const { return recording_; }
  /// Waits as synchronize() does. False where the GPU was or is given up: what would wait for it must be left alone.
  [[nodiscard]] bool settles() noexcept;
  /// The GPU, or a library of it, does not come back: it is not used again, and what lives on it is left to the end of
  /// the process.
  void give_up() const { broken_->store(true); }
  [[nodiscard]] const Broken& broken() const { return broken_; }

 private:
  /// Loaded when it is first asked for.
  [[nodiscard]] CublasLt& cublaslt();
  [[nodiscard]] std::map<std::string, std::string> find_facts() const;
  template <typename Query>
  void poll(Query&& query, const char* call) const;
  /// Throws what ends a wait that has lasted so many seconds.
  void look(double waited) const;
  /// Throws Error (usage) where this build has no code for the GPU.
  void require_code() const;
  /// Should a copy of so much host memory go through pinned memory?
  [[nodiscard]] bool wants_staging(const void* host, std::size_t bytes) const;
  [[nodiscard]] Staging& staging();

  Broken broken_;
  double hang_timeout_;
  int index_;
  int threads_;
  cudaDeviceProp properties_;
  std::string uuid_;
  std::string pci_bus_id_;
  std::shared_ptr<const Nvml> nvml_;  ///< null where there is none
  std::optional<NvmlGpu> gpu_;
  std::string serial_;
  std::map<std::string, std::string> facts_;
  Stream stream_;
  std::unique_ptr<Staging> staging_;
  std::function<void(double seconds)> while_waiting_;
  std::uint64_t times_idle_ = 0;
  bool recording_ = false;
  std::unique_ptr<CublasLt> cublaslt_;
  std::unique_ptr<TokenKernels> token_kernels_;  // made when first asked for: it takes memory
};

}  // namespace rackproof::cuda
