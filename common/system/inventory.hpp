// What was measured: the machine and the process, as far as an ordinary user may read it.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace rackproof {

/// This machine. What cannot be read is absent, never an error. `root` is where /proc, /sys and /etc are looked up;
/// counts and caches come from hwloc and are always those of the running machine.
///   hostname                                      text
///   boot_id                                       text, of the running kernel: the same in all its containers
///   os        name, kernel, architecture          text
///   cpu       vendor, model, family, model_number, stepping, microcode, governor, driver, hypervisor_vendor  text
///             sockets, cores, threads, numa_nodes integers
///             numa                                [{node, threads}]: its number, and the hardware threads next to it
///             caches                              [{level, type ("data", "instruction", "unified"), bytes, count}]
///             features                            [text]: those that decide which kernels a library picks
///             turbo, hypervisor                   booleans
///   memory    total_bytes, huge_pages, huge_page_bytes integers; transparent_huge_pages text
///   dmi       sys_vendor, board_vendor, board_name, board_version, board_serial, product_..., chassis_..., bios_...
///             (serial numbers are readable by root alone on most systems)
[[nodiscard]] nlohmann::json machine_inventory(const std::filesystem::path& root = "/");

/// The cores (hardware threads) that this process may run on, ascending; empty where the kernel does not say.
[[nodiscard]] std::vector<int> process_cores();

/// This process.
///   executable, build_id                          text
///   affinity                                      [integer]: the cores that it may run on
///   libraries                                     [{path, requested, build_id, version}], empty members left out
[[nodiscard]] nlohmann::json process_inventory();

/// {"machine": machine_inventory(), "process": process_inventory()}
[[nodiscard]] nlohmann::json inventory();

/// What `rackproof info` prints: aligned sections, one fact a line. Takes what inventory() gives, and "devices", an
/// array of what Backend::describe_devices() says, each with its "id", or a "problem"; any part may be missing.
[[nodiscard]] std::string format_inventory(const nlohmann::json& inventory);

}  // namespace rackproof
