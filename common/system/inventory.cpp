#include "common/system/inventory.hpp"

#include <fmt/format.h>
#include <hwloc.h>
#include <sched.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/core/error.hpp"
#include "common/system/identity.hpp"
#include "common/system/libraries.hpp"

namespace rackproof {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// CPU flags by which the math libraries choose their kernels, as /proc/cpuinfo names them.
constexpr std::array x86_features = std::to_array<std::string_view>(
    {"sse4_2",   "avx",      "f16c",     "fma",      "avx2",         "avx_vnni",    "avx512f",
     "avx512dq", "avx512cd", "avx512bw", "avx512vl", "avx512_vnni",  "avx512_bf16", "avx512_fp16",
     "amx_tile", "amx_bf16", "amx_int8", "amx_fp16", "constant_tsc", "nonstop_tsc"});
constexpr std::array aarch64_features =
    std::to_array<std::string_view>({"asimd", "fphp", "asimdhp", "asimddp", "atomics", "bf16", "i8mm", "sve", "svebf16",
                                     "svei8mm", "sve2", "sme", "smebf16", "smei8i32", "sme2"});

/// MIDR_EL1 implementers and parts: arch/arm64/include/asm/cputype.h of Linux.
const std::map<std::string, std::string, std::less<>> arm_implementers = {
    {"0x41", "Arm"},      {"0x46", "Fujitsu"}, {"0x48", "HiSilicon"}, {"0x4e", "NVIDIA"},
    {"0x51", "Qualcomm"}, {"0x61", "Apple"},   {"0x6d", "Microsoft"}, {"0xc0", "Ampere"}};
const std::map<std::pair<std::string_view, std::string_view>, std::string> arm_parts = {
    {{"0x41", "0xd08"}, "Cortex-A72"},  {{"0x41", "0xd0c"}, "Neoverse-N1"}, {{"0x41", "0xd40"}, "Neoverse-V1"},
    {{"0x41", "0xd49"}, "Neoverse-N2"}, {{"0x41", "0xd4f"}, "Neoverse-V2"}, {{"0x41", "0xd84"}, "Neoverse-V3"},
    {{"0x41", "0xd8e"}, "Neoverse-N3"}, {{"0x46", "0x001"}, "A64FX"},       {{"0xc0", "0xac3"}, "Ampere-1"},
    {{"0xc0", "0xac4"}, "Ampere-1a"}};

std::string trimmed(std::string_view text) {
  constexpr std::string_view blanks(" \t\r\n\0", 5);
  const std::size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(blanks) + 1 - begin));
}

/// The whole file, trimmed; empty where it cannot be read.
std::string read_text(const fs::path& path) {
  std::ifstream file(path);
  std::string text;
  if (file) text.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  return trimmed(text);
}

void add_text(json& object, const char* name, const std::string& value) {
  if (!value.empty()) object[name] = printable(value, 4096);
}

/// "name : value" lines up to the first blank line: the first processor of /proc/cpuinfo, all of /proc/meminfo.
std::map<std::string, std::string, std::less<>> read_fields(const fs::path& path) {
  std::map<std::string, std::string, std::less<>> fields;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line) && !trimmed(line).empty();) {
    const std::size_t colon = line.find(':');
    if (colon != std::string::npos) fields[trimmed(line.substr(0, colon))] = trimmed(line.substr(colon + 1));
  }
  return fields;
}

std::string field(const std::map<std::string, std::string, std::less<>>& fields, std::string_view name) {
  const auto found = fields.find(name);
  return found == fields.end() ? std::string() : found->second;
}

std::optional<std::int64_t> leading_integer(const std::string& text) {
  const auto digits = static_cast<std::size_t>(
      std::find_if_not(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; }) - text.begin());
  if (digits == 0 || digits > 18) return std::nullopt;
  return std::stoll(text.substr(0, digits));
}

json operating_system(const fs::path& root) {
  json os = json::object();
  std::ifstream release(root / "etc/os-release");
  for (std::string line; std::getline(release, line);) {
    constexpr std::string_view name = "PRETTY_NAME=";
    if (!line.starts_with(name)) continue;
    std::string value = trimmed(std::string_view(line).substr(name.size()));
    if (value.size() >= 2 && value.front() == value.back() && (value.front() == '"' || value.front() == '\'')) {
      value = value.substr(1, value.size() - 2);
    }
    add_text(os, "name", value);
  }
  add_text(os, "kernel", read_text(root / "proc/sys/kernel/osrelease"));
  utsname machine{};
  if (uname(&machine) == 0) add_text(os, "architecture", machine.machine);
  return os;
}

/// "performance", or "performance,powersave" where cores differ.
std::string values_over_cores(const fs::path& root, const char* file) {
  std::set<std::string> values;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(root / "sys/devices/system/cpu", failure)) {
    const std::string name = entry.path().filename().string();
    if (name.size() < 4 || !name.starts_with("cpu") || name[3] < '0' || name[3] > '9') continue;
    const std::string value = read_text(entry.path() / "cpufreq" / file);
    if (!value.empty()) values.insert(value);
  }
  return fmt::format("{}", fmt::join(values, ","));
}

json cpu_from_files(const fs::path& root) {
  json cpu = json::object();
  const auto fields = read_fields(root / "proc/cpuinfo");
  const std::string flags = " " + field(fields, "flags") + " " + field(fields, "Features") + " ";
  const auto has = [&flags](std::string_view name) {
    return flags.find(fmt::format(" {} ", name)) != std::string::npos;
  };

  const std::string implementer = field(fields, "CPU implementer");
  if (implementer.empty()) {
    add_text(cpu, "vendor", field(fields, "vendor_id"));
    add_text(cpu, "model", field(fields, "model name"));
    add_text(cpu, "family", field(fields, "cpu family"));
    add_text(cpu, "model_number", field(fields, "model"));
    add_text(cpu, "stepping", field(fields, "stepping"));
    add_text(cpu, "microcode", field(fields, "microcode"));
    cpu["hypervisor"] = has("hypervisor");
  } else {
    const std::string part = field(fields, "CPU part");
    const auto vendor = arm_implementers.find(implementer);
    add_text(cpu, "vendor", vendor == arm_implementers.end() ? "implementer " + implementer : vendor->second);
    const auto model = arm_parts.find({implementer, part});
    add_text(cpu, "model", model == arm_parts.end() ? "part " + part : model->second);
    add_text(cpu, "family", "ARMv" + field(fields, "CPU architecture"));
    add_text(cpu, "model_number", part);
    const std::string variant = field(fields, "CPU variant");  // "0x1": r1
    add_text(cpu, "stepping",
             "r" + (variant.starts_with("0x") ? variant.substr(2) : variant) + "p" + field(fields, "CPU revision"));
  }
  // Architectures without a CPU flag for it tell in the device tree.
  const std::string tree = read_text(root / "proc/device-tree/hypervisor/compatible");
  if (!tree.empty()) cpu["hypervisor"] = true;
  add_text(cpu, "hypervisor_vendor", !tree.empty() ? tree : read_text(root / "sys/hypervisor/type"));

  cpu["features"] = json::array();
  const auto add_features = [&](const auto& names) {
    for (const std::string_view name : names) {
      if (has(name)) cpu["features"].push_back(name);
    }
  };
  if (implementer.empty()) {
    add_features(x86_features);
  } else {
    add_features(aarch64_features);
  }

  add_text(cpu, "governor", values_over_cores(root, "scaling_governor"));
  add_text(cpu, "driver", values_over_cores(root, "scaling_driver"));
  const std::string no_turbo = read_text(root / "sys/devices/system/cpu/intel_pstate/no_turbo");
  const std::string boost = read_text(root / "sys/devices/system/cpu/cpufreq/boost");
  if (!no_turbo.empty()) {
    cpu["turbo"] = no_turbo == "0";
  } else if (!boost.empty()) {
    cpu["turbo"] = boost == "1";
  }
  return cpu;
}

struct DestroyTopology {
  void operator()(hwloc_topology_t topology) const { hwloc_topology_destroy(topology); }
};
using TopologyHandle = std::unique_ptr<std::remove_pointer_t<hwloc_topology_t>, DestroyTopology>;

/// The whole running machine, whatever part of it this process may use; empty where hwloc fails.
TopologyHandle load_topology() {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return nullptr;
  TopologyHandle topology(raw);
  // Without the second flag hwloc moves this thread from core to core to ask each one.
  hwloc_topology_set_flags(raw, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED | HWLOC_TOPOLOGY_FLAG_DONT_CHANGE_BINDING);
  hwloc_topology_set_icache_types_filter(raw, HWLOC_TYPE_FILTER_KEEP_ALL);
  if (hwloc_topology_load(raw) != 0) return nullptr;
  return topology;
}

void add_topology(json& cpu) {
  const TopologyHandle topology = load_topology();
  if (!topology) return;
  const auto count = [&](const char* name, hwloc_obj_type_t type) {
    const int number = hwloc_get_nbobjs_by_type(topology.get(), type);
    if (number > 0) cpu[name] = number;
  };
  count("sockets", HWLOC_OBJ_PACKAGE);
  count("cores", HWLOC_OBJ_CORE);
  count("threads", HWLOC_OBJ_PU);
  count("numa_nodes", HWLOC_OBJ_NUMANODE);
  cpu["numa"] = json::array();
  for (hwloc_obj_t node = hwloc_get_next_obj_by_type(topology.get(), HWLOC_OBJ_NUMANODE, nullptr); node != nullptr;
       node = hwloc_get_next_obj_by_type(topology.get(), HWLOC_OBJ_NUMANODE, node)) {
    std::vector<int> threads;
    for (int thread = hwloc_bitmap_first(node->cpuset); thread >= 0; thread = hwloc_bitmap_next(node->cpuset, thread)) {
      threads.push_back(thread);
    }
    cpu["numa"].push_back({{"node", node->os_index}, {"threads", threads}});
  }

  std::map<std::tuple<int, std::string, std::uint64_t>, int> caches;  // cores of a machine may differ
  for (const hwloc_obj_type_t type : {HWLOC_OBJ_L1CACHE, HWLOC_OBJ_L1ICACHE, HWLOC_OBJ_L2CACHE, HWLOC_OBJ_L2ICACHE,
                                      HWLOC_OBJ_L3CACHE, HWLOC_OBJ_L3ICACHE, HWLOC_OBJ_L4CACHE, HWLOC_OBJ_L5CACHE}) {
    for (hwloc_obj_t cache = hwloc_get_next_obj_by_type(topology.get(), type, nullptr); cache != nullptr;
         cache = hwloc_get_next_obj_by_type(topology.get(), type, cache)) {
      const auto& facts = cache->attr->cache;
      const char* kind = "unified";
      if (facts.type == HWLOC_OBJ_CACHE_DATA) kind = "data";
      if (facts.type == HWLOC_OBJ_CACHE_INSTRUCTION) kind = "instruction";
      ++caches[{static_cast<int>(facts.depth), kind, facts.size}];
    }
  }
  cpu["caches"] = json::array();
  for (const auto& [cache, number] : caches) {
    const auto& [level, type, bytes] = cache;
    cpu["caches"].push_back({{"level", level}, {"type", type}, {"bytes", bytes}, {"count", number}});
  }
}

json memory(const fs::path& root) {
  json memory = json::object();
  const auto fields = read_fields(root / "proc/meminfo");
  const auto add = [&](const char* name, const char* source, std::int64_t unit) {
    if (const auto value = leading_integer(field(fields, source))) memory[name] = *value * unit;
  };
  add("total_bytes", "MemTotal", 1024);
  add("huge_pages", "HugePages_Total", 1);
  add("huge_page_bytes", "Hugepagesize", 1024);
  // "always [madvise] never": the chosen one is in brackets.
  const std::string modes = read_text(root / "sys/kernel/mm/transparent_hugepage/enabled");
  const std::size_t open = modes.find('[');
  const std::size_t close = modes.find(']');
  if (open < close && close != std::string::npos) {
    add_text(memory, "transparent_huge_pages", modes.substr(open + 1, close - open - 1));
  }
  return memory;
}

json dmi(const fs::path& root) {
  json dmi = json::object();
  for (const char* name :
       {"sys_vendor", "product_name", "product_version", "product_serial", "product_uuid", "board_vendor", "board_name",
        "board_version", "board_serial", "chassis_vendor", "chassis_version", "chassis_serial", "chassis_asset_tag",
        "bios_vendor", "bios_version", "bios_date"}) {
    add_text(dmi, name, read_text(root / "sys/class/dmi/id" / name));
  }
  // Boards without DMI (AArch64 with a device tree).
  if (dmi.empty()) {
    add_text(dmi, "product_name", read_text(root / "proc/device-tree/model"));
    add_text(dmi, "product_serial", read_text(root / "proc/device-tree/serial-number"));
  }
  return dmi;
}

struct FreeCpuSet {
  void operator()(cpu_set_t* set) const { CPU_FREE(set); }
};

}  // namespace

json machine_inventory(const fs::path& root) {
  json machine = {{"hostname", host_name()},
                  {"os", operating_system(root)},
                  {"cpu", cpu_from_files(root)},
                  {"memory", memory(root)},
                  {"dmi", dmi(root)}};
  add_text(machine, "boot_id", read_text(root / "proc/sys/kernel/random/boot_id"));
  add_topology(machine["cpu"]);
  return machine;
}

// The kernel's mask may be wider than cpu_set_t's 1024.
std::vector<int> process_cores() {
  for (int width = 1024; width <= 1024 * 1024; width *= 2) {
    const std::unique_ptr<cpu_set_t, FreeCpuSet> set(CPU_ALLOC(static_cast<std::size_t>(width)));
    const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(width));
    if (!set) break;
    if (sched_getaffinity(0, bytes, set.get()) != 0) {
      if (errno == EINVAL) continue;
      break;
    }
    std::vector<int> cores;
    for (int core = 0; core < width; ++core) {
      if (CPU_ISSET_S(static_cast<std::size_t>(core), bytes, set.get())) cores.push_back(core);
    }
    return cores;
  }
  return {};
}

json process_inventory() {
  json process = json::object();
  add_text(process, "executable", path_of_self());
  add_text(process, "build_id", build_id_of_self());
  process["affinity"] = process_cores();
  process["libraries"] = json::array();
  for (const LoadedLibrary& library : loaded_libraries()) {
    json entry = {{"path", library.path}};
    add_text(entry, "requested", library.requested);
    add_text(entry, "build_id", library.build_id);
    add_text(entry, "version", library.version);
    process["libraries"].push_back(std::move(entry));
  }
  return process;
}

json inventory() { return {{"machine", machine_inventory()}, {"process", process_inventory()}}; }

}  // namespace rackproof
