#include "common/backends/host/cpu.hpp"

#include <fmt/format.h>
#include <hwloc.h>
#include <sys/utsname.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <memory>
#include <sstream>
#include <string_view>
#include <vector>

#include "common/core/error.hpp"

namespace rackproof::host {
namespace {

struct TopologyDeleter {
  void operator()(hwloc_topology_t topology) const { hwloc_topology_destroy(topology); }
};
using Topology = std::unique_ptr<hwloc_topology, TopologyDeleter>;

struct BitmapDeleter {
  void operator()(hwloc_bitmap_t bitmap) const { hwloc_bitmap_free(bitmap); }
};
using Bitmap = std::unique_ptr<hwloc_bitmap_s, BitmapDeleter>;

Topology load_topology() {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) throw infrastructure_error("hwloc could not be started; is memory exhausted?");
  Topology topology(raw);
  if (hwloc_topology_load(raw) != 0) {
    throw infrastructure_error("hwloc could not read this machine's processors; is /sys mounted?");
  }
  return topology;
}

int count_intersecting(hwloc_topology_t topology, hwloc_obj_type_t type, hwloc_const_cpuset_t set) {
  int count = 0;
  for (hwloc_obj_t object = hwloc_get_next_obj_by_type(topology, type, nullptr); object != nullptr;
       object = hwloc_get_next_obj_by_type(topology, type, object)) {
    if (hwloc_bitmap_intersects(object->cpuset, set) != 0) ++count;
  }
  return count;
}

int count_cores(hwloc_topology_t topology, hwloc_const_cpuset_t set) {
  const int cores = count_intersecting(topology, HWLOC_OBJ_CORE, set);
  return std::max(1, cores > 0 ? cores : count_intersecting(topology, HWLOC_OBJ_PU, set));
}

/// Sum over the caches of the highest level that reaches `set`.
std::size_t last_level_cache(hwloc_topology_t topology, hwloc_const_cpuset_t set) {
  for (const hwloc_obj_type_t type : {HWLOC_OBJ_L3CACHE, HWLOC_OBJ_L2CACHE, HWLOC_OBJ_L1CACHE}) {
    std::size_t bytes = 0;
    for (hwloc_obj_t object = hwloc_get_next_obj_by_type(topology, type, nullptr); object != nullptr;
         object = hwloc_get_next_obj_by_type(topology, type, object)) {
      if (hwloc_bitmap_intersects(object->cpuset, set) != 0) bytes += object->attr->cache.size;
    }
    if (bytes > 0) return bytes;
  }
  return 0;
}

std::string info(hwloc_obj_t object, const char* key) {
  const char* value = object != nullptr ? hwloc_obj_get_info_by_name(object, key) : nullptr;
  if (value == nullptr) return "";
  std::string text = printable(value);
  text.erase(text.find_last_not_of(' ') + 1);
  text.erase(0, text.find_first_not_of(' '));
  return text;
}

/// What firmware writes where nobody filled in a serial number.
bool is_placeholder(const std::string& serial) {
  if (serial.find_first_not_of("0 .-") == std::string::npos) return true;
  std::string lower;
  for (const char c : serial) lower += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return lower == "none" || lower == "not specified" || lower == "default string" || lower == "unknown" ||
         lower == "system serial number" || lower.starts_with("to be filled");
}

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return file ? text.str() : "";
}

std::optional<std::uint64_t> leading_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> read_number(const std::filesystem::path& path) { return leading_number(read_text(path)); }

/// The number after `key` at the start of a line: "MemAvailable:   123 kB", "inactive_file 123".
std::optional<std::uint64_t> number_after(const std::string& text, std::string_view key) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(key)) continue;
    const std::size_t digits = line.find_first_not_of(" \t:", key.size());
    if (digits == key.size() || digits == std::string::npos) continue;
    return leading_number(std::string_view(line).substr(digits));
  }
  return std::nullopt;
}

template <typename T>
void lower(std::optional<T>& limit, T candidate) {
  if (!limit.has_value() || candidate < *limit) limit = candidate;
}

void read_level_v2(const std::filesystem::path& folder, ControlGroup& group) {
  const auto limit = read_number(folder / "memory.max");  // "max" is no number: no limit
  const auto used = read_number(folder / "memory.current");
  if (limit && used) {
    const std::uint64_t reclaimable = number_after(read_text(folder / "memory.stat"), "inactive_file").value_or(0);
    const std::uint64_t busy = *used - std::min(*used, reclaimable);
    lower<std::size_t>(group.memory_room, *limit - std::min(*limit, busy));
  }
  std::istringstream cpu(read_text(folder / "cpu.max"));
  double quota = 0.0;
  double period = 0.0;
  if (cpu >> quota >> period && period > 0.0) lower(group.cpu_quota, quota / period);
}

void read_memory_level_v1(const std::filesystem::path& folder, ControlGroup& group) {
  const auto limit = read_number(folder / "memory.limit_in_bytes");
  const auto used = read_number(folder / "memory.usage_in_bytes");
  // "No limit" is the largest multiple of the page size below 2^63.
  if (!limit || !used || *limit > (std::uint64_t{1} << 62U)) return;
  const std::uint64_t reclaimable = number_after(read_text(folder / "memory.stat"), "total_inactive_file").value_or(0);
  const std::uint64_t busy = *used - std::min(*used, reclaimable);
  lower<std::size_t>(group.memory_room, *limit - std::min(*limit, busy));
}

void read_cpu_level_v1(const std::filesystem::path& folder, ControlGroup& group) {
  std::istringstream quota_text(read_text(folder / "cpu.cfs_quota_us"));
  double quota = 0.0;
  const auto period = read_number(folder / "cpu.cfs_period_us");
  if (quota_text >> quota && quota > 0.0 && period && *period > 0) {
    lower(group.cpu_quota, quota / static_cast<double>(*period));
  }
}

/// Calls `visit` for mount/path and every folder above it, down to `mount`.
template <typename Visit>
void for_each_level(const std::filesystem::path& mount, std::string_view path, Visit visit) {
  std::filesystem::path inside = std::filesystem::path(path).relative_path();
  while (!inside.empty()) {
    visit(mount / inside);
    inside = inside.parent_path();
  }
  visit(mount);
}

}  // namespace

Cpu read_cpu() {
  const Topology topology = load_topology();
  const hwloc_obj_t machine = hwloc_get_root_obj(topology.get());
  const Bitmap bound(hwloc_bitmap_alloc());
  if (!bound) throw infrastructure_error("out of memory while reading this machine's processors");
  if (hwloc_get_cpubind(topology.get(), bound.get(), HWLOC_CPUBIND_THREAD) != 0) {
    hwloc_bitmap_copy(bound.get(), machine->cpuset);
  }
  Cpu cpu;
  cpu.model = info(hwloc_get_obj_by_type(topology.get(), HWLOC_OBJ_PACKAGE, 0), "CPUModel");
  if (cpu.model.empty()) cpu.model = info(machine, "CPUModel");
  if (cpu.model.empty()) {
    utsname system{};
    cpu.model = uname(&system) == 0 ? fmt::format("{} processor", system.machine) : "unknown processor";
  }
  for (const char* key : {"DMIProductSerial", "DMIBoardSerial", "DMIChassisSerial"}) {
    const std::string serial = info(machine, key);
    if (cpu.serial.empty() && !serial.empty() && !is_placeholder(serial)) cpu.serial = serial;
  }
  cpu.cores = count_cores(topology.get(), machine->cpuset);
  cpu.bound_cores = count_cores(topology.get(), bound.get());
  cpu.cache_bytes = last_level_cache(topology.get(), machine->cpuset);
  cpu.bound_cache_bytes = last_level_cache(topology.get(), bound.get());
  return cpu;
}

int threads_of_rank(const Cpu& cpu, std::optional<double> cpu_quota, int ranks_on_node, int requested,
                    const char* omp_num_threads) {
  if (requested > 0) return requested;
  if (omp_num_threads != nullptr) {
    // A list is meant for nested regions: the first is the outermost.
    const auto wanted = leading_number(omp_num_threads);
    if (wanted && *wanted > 0 && *wanted <= 65536) return static_cast<int>(*wanted);
  }
  int cores = cpu.cores;
  if (cpu_quota) cores = std::min(cores, std::max(1, static_cast<int>(std::ceil(*cpu_quota))));
  return std::min(cpu.bound_cores, std::max(1, cores / std::max(1, ranks_on_node)));
}

ControlGroup read_control_group(const std::filesystem::path& root) {
  ControlGroup group;
  const std::filesystem::path mount = root / "sys/fs/cgroup";
  // Lines are "number:controllers:path"; v2 has number 0 and no controllers.
  std::istringstream lines(read_text(root / "proc/self/cgroup"));
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = fmt::format(",{},", line.substr(first + 1, second - first - 1));
    const std::string path = line.substr(second + 1);
    if (controllers == ",,") {
      for_each_level(mount, path, [&](const auto& folder) { read_level_v2(folder, group); });
    }
    if (controllers.find(",memory,") != std::string::npos) {
      for_each_level(mount / "memory", path, [&](const auto& folder) { read_memory_level_v1(folder, group); });
    }
    if (controllers.find(",cpu,") != std::string::npos) {
      for_each_level(mount / "cpu", path, [&](const auto& folder) { read_cpu_level_v1(folder, group); });
    }
  }
  return group;
}

std::size_t memory_available_now(const std::filesystem::path& root) {
  const auto kib = number_after(read_text(root / "proc/meminfo"), "MemAvailable");
  std::size_t bytes = kib ? *kib * 1024 : 0;
  const auto room = read_control_group(root).memory_room;
  if (room) bytes = kib ? std::min(bytes, *room) : *room;
  return bytes;
}

}  // namespace rackproof::host
