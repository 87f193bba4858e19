// The part of NVML that is used, for its header is not in every CUDA Toolkit: functions, numbers and meanings as
// NVIDIA's NVML API reference gives them (docs.nvidia.com/deploy/nvml-api).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace rackproof::cuda::nvml {

using Device = struct DeviceOfLibrary*;  ///< nvmlDevice_t

/// nvmlReturn_t: those that are told apart.
enum Result : int {
  success = 0,
  not_supported = 3,
  no_permission = 4,
  driver_not_loaded = 9,
  gpu_is_lost = 15,
  reset_required = 16
};
enum Clock : int { clock_sm = 1, clock_memory = 2 };                    // nvmlClockType_t
enum TemperatureSensor : int { temperature_gpu = 0 };                   // nvmlTemperatureSensors_t
enum MemoryError : int { error_corrected = 0, error_uncorrected = 1 };  // nvmlMemoryErrorType_t
enum EccCounter : int { ecc_volatile = 0 };  // nvmlEccCounterType_t: since the driver was loaded
enum NvlinkError : int {                     // nvmlNvLinkErrorCounter_t
  nvlink_replay = 0,
  nvlink_recovery = 1,
  nvlink_crc_flit = 2,
  nvlink_crc_data = 3
};
inline constexpr unsigned most_nvlinks = 18;    // NVML_NVLINK_MAX_LINKS
inline constexpr unsigned serial_length = 30;   // NVML_DEVICE_SERIAL_BUFFER_SIZE
inline constexpr unsigned version_length = 80;  // NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE

/// Why a clock is below its highest (nvmlClocksEventReasons): the bits, and what they mean.
struct ClockReason {
  std::uint32_t bit;
  std::string_view name;
  bool is_a_brake;  ///< it says that the GPU was held back: by power, heat or hardware
};
inline constexpr std::array<ClockReason, 9> clock_reasons{{{0x1, "idle", false},
                                                           {0x2, "applications_clocks_setting", false},
                                                           {0x4, "power_cap", true},
                                                           {0x8, "hardware_slowdown", true},
                                                           {0x10, "sync_boost", false},
                                                           {0x20, "software_thermal_slowdown", true},
                                                           {0x40, "hardware_thermal_slowdown", true},
                                                           {0x80, "hardware_power_brake", true},
                                                           {0x100, "display_clock_setting", false}}};

/// The functions by their names in the library; null where this version of it lacks one (init and handle apart).
struct Api {
  int (*init)() = nullptr;                                // nvmlInit_v2
  int (*shutdown)() = nullptr;                            // nvmlShutdown
  const char* (*error_string)(int) = nullptr;             // nvmlErrorString
  int (*handle_by_uuid)(const char*, Device*) = nullptr;  // nvmlDeviceGetHandleByUUID
  int (*handle_by_pci)(const char*, Device*) = nullptr;   // nvmlDeviceGetHandleByPciBusId_v2
  int (*driver_version)(char*, unsigned) = nullptr;       // nvmlSystemGetDriverVersion
  int (*serial)(Device, char*, unsigned) = nullptr;       // nvmlDeviceGetSerial
  int (*power)(Device, unsigned*) = nullptr;              // nvmlDeviceGetPowerUsage, mW
  int (*power_limit)(Device, unsigned*) = nullptr;        // nvmlDeviceGetEnforcedPowerLimit, mW
  int (*energy)(Device, unsigned long long*) = nullptr;   // nvmlDeviceGetTotalEnergyConsumption, mJ
  int (*clock)(Device, int, unsigned*) = nullptr;         // nvmlDeviceGetClockInfo, MHz
  int (*temperature)(Device, int, unsigned*) = nullptr;   // nvmlDeviceGetTemperature, Celsius
  int (*reasons)(Device,
                 unsigned long long*) = nullptr;  // nvmlDeviceGetCurrentClocksEventReasons, or ...ThrottleReasons
  int (*ecc_errors)(Device, int, int, unsigned long long*) = nullptr;                  // nvmlDeviceGetTotalEccErrors
  int (*remapped_rows)(Device, unsigned*, unsigned*, unsigned*, unsigned*) = nullptr;  // nvmlDeviceGetRemappedRows:
                                                                                       // corrected, uncorrected,
                                                                                       // pending, failed
  int (*nvlink_state)(Device, unsigned, int*) = nullptr;                               // nvmlDeviceGetNvLinkState
  int (*nvlink_errors)(Device, unsigned, int, unsigned long long*) = nullptr;  // nvmlDeviceGetNvLinkErrorCounter
  int (*pcie_generation)(Device, unsigned*) = nullptr;                         // nvmlDeviceGetCurrPcieLinkGeneration
  int (*pcie_width)(Device, unsigned*) = nullptr;                              // nvmlDeviceGetCurrPcieLinkWidth
};

}  // namespace rackproof::cuda::nvml
