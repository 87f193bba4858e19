// What a node feels: clock and power of its processors, time that a hypervisor took.
#pragma once

#include <filesystem>
#include <memory>

#include "common/core/clock.hpp"
#include "common/system/telemetry.hpp"

namespace rackproof {

/// cpu_clock: MHz, mean over at most 8 of the cores that this process may run on (cpufreq); cpu_power: W, all packages
/// (RAPL, readable by root alone on most systems); steal: s, all processors together, since the first reading. What the
/// node does not tell is left out; null where it tells nothing. `clock` must outlive the result; `root` stands for "/".
[[nodiscard]] std::unique_ptr<TelemetrySource> make_host_telemetry(const Clock& clock,
                                                                   const std::filesystem::path& root = "/");

}  // namespace rackproof
