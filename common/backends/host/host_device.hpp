// The host's cores and memory as a device.
#pragma once

#include <atomic>
#include <dnnl.hpp>
#include <memory>
#include <string>

#include "common/backends/backend.hpp"
#include "common/backends/device.hpp"
#include "common/backends/host/blas.hpp"
#include "common/backends/host/cpu.hpp"
#include "common/backends/host/memory.hpp"

namespace rackproof::host {

/// One rank's share of its node. Sets the threads of OpenMP and the BLAS for the process: one such device a process.
class HostDevice final : public Device {
 public:
  explicit HostDevice(const DeviceRequest& request);

  [[nodiscard]] std::string name() const override;
  [[nodiscard]] std::string serial() const override { return cpu_.serial; }
  [[nodiscard]] std::string id() const override;
  [[nodiscard]] int threads() const override { return threads_; }
  /// The smaller of what the node has now, and this rank's share of what it had at the start less what the buffers
  /// of this device hold: so that the rank that allocates last finds its share.
  [[nodiscard]] std::size_t memory_available() const override;
  [[nodiscard]] std::size_t cache_bytes() const override;
  /// f64, f32, i32 always; bf16 where oneDNN has kernels for it, i8 where these are exact.
  [[nodiscard]] bool supports(DataType type) const override;
  [[nodiscard]] std::string refuses(const MatmulProblem& problem) const override;

  [[nodiscard]] std::unique_ptr<Buffer> allocate(std::size_t bytes) override;
  void copy_to_device(void* device, const void* host, std::size_t bytes) override;
  void copy_to_host(void* host, const void* device, std::size_t bytes) override;
  /// By all threads, each its contiguous part.
  void copy(void* to, const void* from, std::size_t bytes) override;
  [[nodiscard]] bool is_host() const override { return true; }
  [[nodiscard]] std::unique_ptr<Matmul> matmul(const MatmulProblem& problem) override;
  [[nodiscard]] TokenKernels& token_kernels() override { return *token_kernels_; }
  void synchronize() override {}
  [[nodiscard]] Peaks measure_peaks() override;

 private:
  DeviceRequest request_;
  Cpu cpu_;
  int threads_;
  std::size_t memory_share_;  ///< bytes, at the start
  AllocatedBytes allocated_;
  dnnl::engine engine_;
  std::shared_ptr<const Blas> blas_;
  bool has_bf16_;
  bool has_i8_;
  std::unique_ptr<TokenKernels> token_kernels_;
};

}  // namespace rackproof::host
