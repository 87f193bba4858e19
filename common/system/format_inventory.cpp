#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "common/core/units.hpp"
#include "common/system/inventory.hpp"

namespace rackproof {

namespace {

using nlohmann::json;

constexpr std::size_t name_width = 16;
/// Text wraps before this column.
constexpr std::size_t line_width = 100;

const json& member(const json& object, const char* name) {
  static const json nothing;
  const auto found = object.find(name);
  return found == object.end() ? nothing : *found;
}

/// The text, number or truth of a member; empty where it is missing.
std::string text(const json& object, const char* name) {
  const json& value = member(object, name);
  if (value.is_null()) return {};
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string bytes(const json& object, const char* name) {
  const json& value = member(object, name);
  return value.is_number() ? format_bytes(value.get<double>()) : std::string();
}

/// "LABEL VALUE", or nothing where there is no value.
std::string labelled(const char* label, const std::string& value) {
  return value.empty() ? value : fmt::format("{} {}", label, value);
}

std::string joined(const std::vector<std::string>& parts, const char* separator = ", ") {
  std::string all;
  for (const std::string& part : parts) {
    if (!part.empty()) all.append(all.empty() ? "" : separator).append(part);
  }
  return all;
}

/// One fact, wrapped at blanks; nothing where there is no value.
void add_fact(std::string& out, const char* name, const std::string& value) {
  if (value.empty()) return;
  std::string line = fmt::format("  {:<{}}", name, name_width);
  const std::size_t indent = line.size();
  std::size_t begin = 0;
  while (begin < value.size()) {
    const std::size_t end = std::min(value.find(' ', begin), value.size());
    const bool first = line.size() == indent;
    if (!first && line.size() + 1 + (end - begin) > line_width) {
      out += line + "\n";
      line = std::string(indent, ' ');
    } else if (!first) {
      line += ' ';
    }
    line += value.substr(begin, end - begin);
    begin = end + 1;
  }
  out += line + "\n";
}

std::string cache_list(const json& cpu) {
  std::vector<std::string> all;
  for (const json& cache : member(cpu, "caches")) {
    const std::string type = text(cache, "type");
    const char* suffix = type == "data" ? "d" : type == "instruction" ? "i" : "";
    all.push_back(
        fmt::format("L{}{} {} x {}", text(cache, "level"), suffix, text(cache, "count"), bytes(cache, "bytes")));
  }
  return joined(all);
}

/// 0,1,2,5 -> "0-2,5".
std::string ranges(const json& numbers) {
  std::string all;
  for (std::size_t i = 0; i < numbers.size();) {
    std::size_t last = i;
    while (last + 1 < numbers.size() && numbers[last + 1].get<int>() == numbers[last].get<int>() + 1) ++last;
    if (!all.empty()) all += ',';
    all += numbers[i].dump();
    if (last > i) all.append("-").append(numbers[last].dump());
    i = last + 1;
  }
  return all;
}

std::string format_machine(const json& machine) {
  std::string out = "machine\n";
  const json& os = member(machine, "os");
  add_fact(out, "host", text(machine, "hostname"));
  add_fact(out, "system", joined({text(os, "name"), labelled("kernel", text(os, "kernel")), text(os, "architecture")}));
  const json& dmi = member(machine, "dmi");
  for (const char* part : {"product", "board", "chassis", "bios"}) {
    const auto of = [&](const char* what) { return text(dmi, fmt::format("{}_{}", part, what).c_str()); };
    const std::string vendor = std::string(part) == "product" ? text(dmi, "sys_vendor") : of("vendor");
    add_fact(out, part,
             joined({joined({vendor, of("name")}, " "), labelled("version", of("version")),
                     labelled("serial", of("serial")), of("date")}));
  }

  out += "\nprocessor\n";
  const json& cpu = member(machine, "cpu");
  add_fact(out, "model", text(cpu, "model"));
  add_fact(out, "identity",
           joined({text(cpu, "vendor"), labelled("family", text(cpu, "family")),
                   labelled("model", text(cpu, "model_number")), labelled("stepping", text(cpu, "stepping")),
                   labelled("microcode", text(cpu, "microcode"))}));
  add_fact(out, "layout",
           joined({labelled("sockets", text(cpu, "sockets")), labelled("cores", text(cpu, "cores")),
                   labelled("threads", text(cpu, "threads")), labelled("NUMA nodes", text(cpu, "numa_nodes"))}));
  add_fact(out, "caches", cache_list(cpu));
  std::vector<std::string> features;
  for (const json& feature : member(cpu, "features")) features.push_back(feature.get<std::string>());
  add_fact(out, "features", joined(features, " "));
  add_fact(out, "frequency",
           joined({labelled("governor", text(cpu, "governor")), labelled("driver", text(cpu, "driver")),
                   labelled("turbo", text(cpu, "turbo"))}));
  add_fact(out, "hypervisor", joined({text(cpu, "hypervisor"), text(cpu, "hypervisor_vendor")}));

  out += "\nmemory\n";
  const json& memory = member(machine, "memory");
  add_fact(out, "total", bytes(memory, "total_bytes"));
  const std::string pages = text(memory, "huge_pages");
  add_fact(out, "huge pages",
           joined({pages.empty() ? pages : fmt::format("{} x {}", pages, bytes(memory, "huge_page_bytes")),
                   labelled("transparent:", text(memory, "transparent_huge_pages"))}));
  return out;
}

/// A line a device; nothing where there is none.
std::string format_devices(const json& devices) {
  std::string out;
  for (const json& device : devices) {
    const std::string id = text(device, "id");
    const std::string memory = text(device, "memory_bytes");
    add_fact(out, id.c_str(),
             joined({text(device, "problem"), text(device, "name"),
                     labelled("compute capability", text(device, "compute_capability")),
                     memory.empty() ? memory : format_bytes(std::stod(memory)), text(device, "uuid"),
                     labelled("serial", text(device, "serial")), labelled("PCI", text(device, "pci_bus_id")),
                     labelled("ECC", text(device, "ecc")), labelled("driver", text(device, "driver")),
                     labelled("CUDA", text(device, "cuda_driver"))}));
  }
  return out.empty() ? out : "\ndevices\n" + out;
}

std::string format_process(const json& process) {
  std::string out = "process\n";
  add_fact(out, "executable", text(process, "executable"));
  add_fact(out, "build id", text(process, "build_id"));
  add_fact(out, "may run on", labelled("cores", ranges(member(process, "affinity"))));

  constexpr std::size_t id_digits = 16;  // enough to tell two builds apart; the result file has all of them
  struct Row {
    std::string name;
    std::string build_id;
    std::string version;
  };
  std::vector<Row> rows;
  std::size_t width = 0;
  for (const json& library : member(process, "libraries")) {
    const std::string name = std::filesystem::path(text(library, "path")).filename().string();
    const std::string id = text(library, "build_id").substr(0, id_digits);
    rows.push_back({name, id.empty() ? "-" : id, text(library, "version")});
    width = std::max(width, name.size());
  }
  if (!rows.empty()) out += "\nlibraries (file, build id, version)\n";
  for (const Row& row : rows) {
    std::string line = fmt::format("  {:<{}}  {:<{}}  {}", row.name, width, row.build_id, id_digits, row.version);
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

}  // namespace

std::string format_inventory(const json& inventory) {
  const json& machine = member(inventory, "machine");
  const json& process = member(inventory, "process");
  std::string out;
  if (!machine.is_null()) out += format_machine(machine);
  out += format_devices(member(inventory, "devices"));
  if (!machine.is_null() && !process.is_null()) out += '\n';
  if (!process.is_null()) out += format_process(process);
  return out;
}

}  // namespace rackproof
