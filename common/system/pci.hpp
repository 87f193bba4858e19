// Where a PCI device sits: its memory, and the network interfaces that are near to it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace rackproof {

/// How far data travels between two PCI devices, nearest first.
enum class PciDistance {
  same_switch,  ///< they share a PCIe bridge: a switch, or a port
  host_bridge,  ///< they meet in the same host bridge (root complex)
  numa_node,    ///< through the fabric of one NUMA node
  system        ///< across NUMA nodes, or unknown
};
/// "PCIe switch", "host bridge", "NUMA node", "system"
[[nodiscard]] std::string to_string(PciDistance distance);

/// The NUMA node of the device at `address` ("0000:1b:00.0", any case); -1 where unknown. `root` stands for "/".
[[nodiscard]] int numa_node_of_pci(const std::string& address, const std::filesystem::path& root = "/");

struct NearestInterfaces {
  std::vector<std::string> names;  ///< sorted; all that are equally near
  PciDistance distance = PciDistance::system;
};
/// The InfiniBand or RoCE devices (/sys/class/infiniband) nearest to the device; where the node has none, the network
/// interfaces of PCI devices (/sys/class/net). By the number of PCIe bridges that both lie behind, then by NUMA node.
/// No names where nothing is found, or the device is not there.
[[nodiscard]] NearestInterfaces nearest_interfaces(const std::string& address, const std::filesystem::path& root = "/");

}  // namespace rackproof
