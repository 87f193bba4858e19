#include "common/backends/cuda/nvml_telemetry.hpp"

#include <array>
#include <limits>
#include <optional>

namespace rackproof::cuda {
namespace {

constexpr float not_known = std::numeric_limits<float>::quiet_NaN();

template <typename T>
float number(const std::optional<T>& value, double scale = 1.0) {
  return value ? static_cast<float>(scale * static_cast<double>(*value)) : not_known;
}

class NvmlTelemetry final : public TelemetrySource {
 public:
  explicit NvmlTelemetry(const NvmlGpu& gpu) : gpu_(gpu) {}

  [[nodiscard]] std::vector<TelemetryQuantity> quantities() const override {
    using Kind = TelemetryQuantity::Kind;
    std::vector<TelemetryQuantity> all{
        {"power", "W", "power of the GPU", Kind::level},
        {"energy", "J", "energy that the GPU took since the first reading", Kind::counter},
        {"clock", "MHz", "clock of the multiprocessors", Kind::level},
        {"memory_clock", "MHz", "clock of the memory", Kind::level},
        {"temperature", "degC", "temperature of the GPU", Kind::level},
        {"throttle", "", "why the clock was below its highest", Kind::bits},
        {"ecc_corrected", "", "memory errors that were corrected, since the driver was loaded", Kind::counter},
        {"ecc_uncorrected", "", "memory errors that were not, since the driver was loaded", Kind::counter},
        {"remapped_rows", "", "rows of memory that were replaced, ever", Kind::counter},
        {"row_remap_pending", "", "rows of memory are to be replaced, which takes a reset of the GPU", Kind::counter},
        {"row_remap_failed", "", "rows of memory could not be replaced, ever", Kind::counter},
        {"nvlinks", "", "NVLinks that are up", Kind::counter},
        {"nvlink_errors", "", "replays, recoveries and checksum errors of all NVLinks", Kind::counter},
        {"pcie_generation", "", "generation that the PCIe link runs at", Kind::counter},
        {"pcie_width", "", "lanes of the PCIe link", Kind::counter}};
    for (const nvml::ClockReason& reason : nvml::clock_reasons) {
      all[throttle_position].bits.emplace_back(reason.bit, reason.name);
    }
    return all;
  }

  void read(std::span<float> values) override {
    const std::optional<double> energy = gpu_.energy();
    if (energy && !first_energy_) first_energy_ = energy;
    if (readings_++ % readings_a_slow_one == 0) read_slowly();
    std::size_t at = 0;
    values[at++] = number(gpu_.power());
    values[at++] = energy ? static_cast<float>(*energy - *first_energy_) : not_known;
    values[at++] = number(gpu_.clock(nvml::clock_sm), 1e-6);
    values[at++] = number(gpu_.clock(nvml::clock_memory), 1e-6);
    values[at++] = number(gpu_.temperature());
    values[at++] = number(gpu_.clock_reasons());
    for (const float value : slow_values_) values[at++] = value;
  }

 private:
  static constexpr std::size_t throttle_position = 5;
  static constexpr std::size_t readings_a_slow_one = 10;

  void read_slowly() {
    const auto rows = gpu_.remapped_rows();
    const auto links = gpu_.nvlinks();
    slow_values_ = {number(gpu_.ecc_errors(nvml::error_corrected)),
                    number(gpu_.ecc_errors(nvml::error_uncorrected)),
                    rows ? static_cast<float>(rows->corrected + rows->uncorrected) : not_known,
                    rows ? static_cast<float>(rows->pending) : not_known,
                    rows ? static_cast<float>(rows->failed) : not_known,
                    links ? static_cast<float>(links->active) : not_known,
                    links ? static_cast<float>(links->errors) : not_known,
                    number(gpu_.pcie_generation()),
                    number(gpu_.pcie_width())};
  }

  NvmlGpu gpu_;
  std::size_t readings_ = 0;
  std::optional<double> first_energy_;
  std::array<float, 9> slow_values_{};
};

}  // namespace

std::unique_ptr<TelemetrySource> make_nvml_telemetry(const NvmlGpu& gpu) {
  return std::make_unique<NvmlTelemetry>(gpu);
}

}  // namespace rackproof::cuda
