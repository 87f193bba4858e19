#include "common/system/pci.hpp"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <tuple>

namespace rackproof {
namespace {

namespace fs = std::filesystem;

std::string in_lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

int read_numa_node(const fs::path& device) {
  int node = -1;
  std::ifstream file(device / "numa_node");
  return file >> node && node >= 0 ? node : -1;
}

/// "0000:1b:00.0"
bool is_address(const std::string& name) { return name.size() >= 12 && name[4] == ':' && name[7] == ':'; }

/// From the host bridge down: "pci0000:15", "0000:15:01.0", "0000:16:00.0". Empty for what is no PCI device.
std::vector<std::string> path_of(const fs::path& device) {
  std::error_code failure;
  std::vector<std::string> path;
  const fs::path real = fs::canonical(device, failure);
  if (failure) return path;
  for (const fs::path& part : real) {
    const std::string name = part.string();
    if (path.empty() ? name.starts_with("pci") && name.find(':') != std::string::npos : is_address(name)) {
      path.push_back(name);
    }
  }
  return path;
}

struct Placement {
  PciDistance distance = PciDistance::system;
  std::size_t shared = 0;  ///< bridges that both lie behind, the host bridge among them
};

Placement placement(const fs::path& one, const fs::path& other) {
  const std::vector<std::string> a = path_of(one);
  const std::vector<std::string> b = path_of(other);
  const auto differ = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  Placement found;
  found.shared = static_cast<std::size_t>(differ.first - a.begin());
  const int numa = read_numa_node(one);
  if (found.shared > 1) {
    found.distance = PciDistance::same_switch;
  } else if (found.shared == 1) {
    found.distance = PciDistance::host_bridge;
  } else if (numa >= 0 && numa == read_numa_node(other)) {
    found.distance = PciDistance::numa_node;
  }
  return found;
}

NearestInterfaces nearest_of_class(const fs::path& device, const fs::path& folder) {
  NearestInterfaces nearest;
  std::size_t shared = 0;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(folder, failure)) {
    const fs::path other = entry.path() / "device";
    if (path_of(other).empty()) continue;  // virtual, or on another bus
    const Placement found = placement(device, other);
    const auto rank = [](PciDistance distance, std::size_t bridges) {
      return std::tuple(-static_cast<int>(distance), bridges);
    };
    const bool better = nearest.names.empty() || rank(found.distance, found.shared) > rank(nearest.distance, shared);
    const bool equal = found.distance == nearest.distance && found.shared == shared;
    if (better) nearest.names.clear();
    if (!better && !equal) continue;
    nearest.names.push_back(entry.path().filename().string());
    nearest.distance = found.distance;
    shared = found.shared;
  }
  std::sort(nearest.names.begin(), nearest.names.end());
  return nearest;
}

fs::path device_folder(const std::string& address, const fs::path& root) {
  return root / "sys/bus/pci/devices" / in_lower_case(address);
}

}  // namespace

std::string to_string(PciDistance distance) {
  switch (distance) {
    case PciDistance::same_switch:
      return "PCIe switch";
    case PciDistance::host_bridge:
      return "host bridge";
    case PciDistance::numa_node:
      return "NUMA node";
    case PciDistance::system:
      return "system";
  }
  return "?";
}

int numa_node_of_pci(const std::string& address, const fs::path& root) {
  return read_numa_node(device_folder(address, root));
}

NearestInterfaces nearest_interfaces(const std::string& address, const fs::path& root) {
  const fs::path device = device_folder(address, root);
  if (path_of(device).empty()) return {};
  NearestInterfaces found = nearest_of_class(device, root / "sys/class/infiniband");
  if (found.names.empty()) found = nearest_of_class(device, root / "sys/class/net");
  return found;
}

}  // namespace rackproof
