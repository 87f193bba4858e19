// What the driver says of a GPU, through NVML, which is loaded when first needed and may be missing.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "common/backends/cuda/nvml_api.hpp"

namespace rackproof::cuda {

/// libnvidia-ml.so.1, loaded and initialised; shut down and unloaded at the end.
class Nvml {
 public:
  /// Null where the library is missing, or finds no driver.
  [[nodiscard]] static std::shared_ptr<const Nvml> load();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;
  ~Nvml();

  [[nodiscard]] const nvml::Api& api() const noexcept { return api_; }
  /// Null where NVML does not know it. `uuid`: "GPU-..." or "MIG-..."; `pci_bus_id`: "0000:1b:00.0".
  [[nodiscard]] nvml::Device find(const std::string& uuid, const std::string& pci_bus_id) const;
  /// "580.65.06"; empty where unknown.
  [[nodiscard]] std::string driver_version() const;

 private:
  explicit Nvml(void* library) : library_(library) {}
  void* library_;
  nvml::Api api_;
};

/// One GPU as NVML sees it. What the GPU does not tell is absent.
class NvmlGpu {
 public:
  NvmlGpu(std::shared_ptr<const Nvml> nvml, nvml::Device device) : nvml_(std::move(nvml)), device_(device) {}

  [[nodiscard]] std::string serial() const;                            ///< of the board; empty where unknown
  [[nodiscard]] std::optional<double> power() const;                   ///< W, now (Ampere and later: mean of a second)
  [[nodiscard]] std::optional<double> power_limit() const;             ///< W
  [[nodiscard]] std::optional<double> energy() const;                  ///< J since the driver was loaded
  [[nodiscard]] std::optional<double> clock(nvml::Clock clock) const;  ///< Hz
  [[nodiscard]] std::optional<double> temperature() const;             ///< degrees Celsius
  [[nodiscard]] std::optional<unsigned> clock_reasons() const;         ///< bits of nvml::clock_reasons
  [[nodiscard]] std::optional<double> ecc_errors(nvml::MemoryError kind) const;  ///< since the driver was loaded
  /// Rows of memory that were replaced, for corrected and uncorrected errors together; and whether that failed.
  struct RemappedRows {
    unsigned corrected = 0;
    unsigned uncorrected = 0;
    bool pending = false;
    bool failed = false;
  };
  [[nodiscard]] std::optional<RemappedRows> remapped_rows() const;
  /// Links that are up; and replays, recoveries and checksum errors of all of them.
  struct NvLinks {
    unsigned active = 0;
    double errors = 0.0;
  };
  [[nodiscard]] std::optional<NvLinks> nvlinks() const;
  [[nodiscard]] std::optional<unsigned> pcie_generation() const;  ///< now: falls when idle
  [[nodiscard]] std::optional<unsigned> pcie_width() const;
  /// The GPU has fallen off the bus, or needs a reset.
  [[nodiscard]] bool is_lost() const;

 private:
  std::shared_ptr<const Nvml> nvml_;
  nvml::Device device_;
};

}  // namespace rackproof::cuda
