// What was measured: common/system/inventory.hpp and identity.hpp.
#include "common/system/inventory.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "common/system/identity.hpp"
#include "common/system/libraries.hpp"

namespace rackproof {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

/// A file system of another machine.
class MachineFiles : public testing::Test {
 protected:
  MachineFiles() {
    std::string name = (std::filesystem::temp_directory_path() / "rackproof_inventory_XXXXXX").string();
    root_ = mkdtemp(name.data());
  }
  ~MachineFiles() override {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  MachineFiles(const MachineFiles&) = delete;
  MachineFiles& operator=(const MachineFiles&) = delete;

  void write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  [[nodiscard]] json read() const { return machine_inventory(root_); }

  std::filesystem::path root_;
};

TEST_F(MachineFiles, tell_an_x86_processor_and_its_features) {
  write("proc/cpuinfo",
        "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Intel(R) Xeon(R) "
        "Platinum 8480C\nstepping\t: 8\nmicrocode\t: 0x2b000590\nflags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16 "
        "amx_int8 hypervisor\n\nprocessor\t: 1\nmodel name\t: another\n");
  const json cpu = read()["cpu"];
  EXPECT_EQ(cpu["vendor"], "GenuineIntel");
  EXPECT_EQ(cpu["model"], "Intel(R) Xeon(R) Platinum 8480C");
  EXPECT_EQ(cpu["family"], "6");
  EXPECT_EQ(cpu["model_number"], "143");
  EXPECT_EQ(cpu["stepping"], "8");
  EXPECT_EQ(cpu["microcode"], "0x2b000590");
  EXPECT_EQ(cpu["hypervisor"], true);
  EXPECT_THAT(cpu["features"], ElementsAre("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_int8"));
}

TEST_F(MachineFiles, tell_an_aarch64_processor_and_its_features) {
  write(
      "proc/cpuinfo",
      "processor\t: 0\nBogoMIPS\t: 2000.00\nFeatures\t: fp asimd sve sve2 bf16 i8mm svebf16 sveaes\nCPU implementer\t: "
      "0x41\nCPU architecture: 8\nCPU variant\t: 0x1\nCPU part\t: 0xd4f\nCPU revision\t: 2\n");
  const json cpu = read()["cpu"];
  EXPECT_EQ(cpu["vendor"], "Arm");
  EXPECT_EQ(cpu["model"], "Neoverse-V2");
  EXPECT_EQ(cpu["family"], "ARMv8");
  EXPECT_EQ(cpu["stepping"], "r1p2");
  EXPECT_THAT(cpu["features"], ElementsAre("asimd", "bf16", "i8mm", "sve", "svebf16", "sve2"));
}

TEST_F(MachineFiles, name_an_unknown_aarch64_part_by_its_numbers) {
  write("proc/cpuinfo", "CPU implementer\t: 0x99\nCPU architecture: 9\nCPU variant\t: 0x0\nCPU part\t: 0x123\n");
  const json cpu = read()["cpu"];
  EXPECT_EQ(cpu["vendor"], "implementer 0x99");
  EXPECT_EQ(cpu["model"], "part 0x123");
}

TEST_F(MachineFiles, tell_which_boot_it_is) {
  EXPECT_FALSE(read().contains("boot_id"));
  write("proc/sys/kernel/random/boot_id", "0f9c8f2e-8a4b-4d0e-9d53-0d8f5e2f7a11\n");
  EXPECT_EQ(read()["boot_id"], "0f9c8f2e-8a4b-4d0e-9d53-0d8f5e2f7a11");
}

TEST_F(MachineFiles, tell_vendor_and_serial_numbers) {
  write("sys/class/dmi/id/board_vendor", "Supermicro\n");
  write("sys/class/dmi/id/board_serial", "WM19AS012345\n");
  write("sys/class/dmi/id/product_serial", "\n");
  const json dmi = read()["dmi"];
  EXPECT_EQ(dmi, (json{{"board_vendor", "Supermicro"}, {"board_serial", "WM19AS012345"}}));
}

TEST_F(MachineFiles, of_a_board_without_dmi_tell_its_device_tree_names) {
  write("proc/device-tree/model", std::string("NVIDIA GB200\0", 13));
  EXPECT_EQ(read()["dmi"]["product_name"], "NVIDIA GB200");
}

TEST_F(MachineFiles, tell_memory_and_pages) {
  write("proc/meminfo",
        "MemTotal:       24731708 kB\nMemFree:  1 kB\nHugePages_Total:      16\nHugepagesize:       2048 kB\n");
  write("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
  EXPECT_EQ(read()["memory"], (json{{"total_bytes", 24731708LL * 1024},
                                    {"huge_pages", 16},
                                    {"huge_page_bytes", 2048 * 1024},
                                    {"transparent_huge_pages", "madvise"}}));
}

TEST_F(MachineFiles, tell_each_governor_in_use_and_turbo) {
  write("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n");
  write("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "performance\n");
  write("sys/devices/system/cpu/cpu10/cpufreq/scaling_governor", "powersave\n");
  write("sys/devices/system/cpu/cpu0/cpufreq/scaling_driver", "intel_pstate\n");
  write("sys/devices/system/cpu/intel_pstate/no_turbo", "1\n");
  const json cpu = read()["cpu"];
  EXPECT_EQ(cpu["governor"], "performance,powersave");
  EXPECT_EQ(cpu["driver"], "intel_pstate");
  EXPECT_EQ(cpu["turbo"], false);
}

TEST_F(MachineFiles, tell_the_system_by_its_pretty_name) {
  write("etc/os-release", "NAME=x\nPRETTY_NAME=\"Ubuntu 24.04.1 LTS\"\n");
  write("proc/sys/kernel/osrelease", "6.8.0-45-generic\n");
  const json os = read()["os"];
  EXPECT_EQ(os["name"], "Ubuntu 24.04.1 LTS");
  EXPECT_EQ(os["kernel"], "6.8.0-45-generic");
}

TEST_F(MachineFiles, that_are_all_missing_leave_their_facts_out) {
  const json machine = read();
  EXPECT_EQ(machine["dmi"], json::object());
  EXPECT_EQ(machine["memory"], json::object());
  EXPECT_FALSE(machine["cpu"].contains("model"));
  EXPECT_FALSE(machine["cpu"].contains("turbo"));
  EXPECT_FALSE(machine["os"].contains("name"));
}

TEST_F(MachineFiles, with_bytes_that_are_no_text_still_give_valid_json) {
  write("sys/class/dmi/id/board_serial", "A\xff\x01Z\n");
  write("proc/cpuinfo", "vendor_id : \xc3\x28\nmodel name\nflags\n");
  const json machine = read();
  EXPECT_EQ(machine["dmi"]["board_serial"], "A??Z");
  EXPECT_NO_THROW(static_cast<void>(machine.dump()));
}

TEST(machine, counts_what_the_kernel_counts) {
  const json machine = machine_inventory();
  const json& cpu = machine["cpu"];
  EXPECT_EQ(cpu["threads"].get<long>(), sysconf(_SC_NPROCESSORS_ONLN));
  EXPECT_GE(cpu["threads"].get<int>(), cpu["cores"].get<int>());
  EXPECT_GE(cpu["cores"].get<int>(), cpu["sockets"].get<int>());
  EXPECT_GE(cpu["sockets"].get<int>(), 1);
  EXPECT_GE(cpu["numa_nodes"].get<int>(), 1);
  EXPECT_EQ(machine["memory"]["total_bytes"].get<long>(), sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE));
  for (const json& cache : cpu["caches"]) EXPECT_GT(cache["bytes"].get<long>(), 0);
  EXPECT_EQ(machine["hostname"], host_name());
}

TEST(process, tells_the_cores_it_may_run_on) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  int core = 0;
  while (!CPU_ISSET(core, &before)) ++core;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(core, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  const json process = process_inventory();
  ASSERT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
  EXPECT_EQ(process["affinity"], json::array({core}));
}

TEST(machine, is_taken_whole_whatever_the_process_may_use) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  const json whole = machine_inventory();
  int core = 0;
  while (!CPU_ISSET(core, &before)) ++core;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(core, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  const json bound = machine_inventory();
  cpu_set_t after;
  ASSERT_EQ(sched_getaffinity(0, sizeof after, &after), 0);
  ASSERT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
  EXPECT_EQ(bound["cpu"]["threads"], whole["cpu"]["threads"]);
  EXPECT_TRUE(CPU_EQUAL(&one, &after)) << "taking the inventory moved this process";
}

TEST(process, tells_its_executable_and_libraries) {
  const json process = process_inventory();
  EXPECT_EQ(process["executable"], path_of_self());
  EXPECT_EQ(process["build_id"], build_id_of_self());
  EXPECT_EQ(process["libraries"].size(), loaded_libraries().size());
  EXPECT_FALSE(process["libraries"].empty());
}

TEST(format_inventory, shows_each_fact_on_its_line) {
  const json machine = {
      {"hostname", "node7"},
      {"os", {{"name", "Debian"}, {"kernel", "6.1"}, {"architecture", "aarch64"}}},
      {"dmi",
       {{"sys_vendor", "Integrator"}, {"product_name", "Rack 9"}, {"product_serial", "S1"}, {"board_serial", "B2"}}},
      {"cpu",
       {{"model", "Neoverse-V2"},
        {"vendor", "Arm"},
        {"sockets", 2},
        {"cores", 144},
        {"caches", {{{"level", 1}, {"type", "data"}, {"bytes", 65536}, {"count", 144}}}},
        {"features", {"sve", "bf16"}},
        {"hypervisor", false}}},
      {"memory", {{"total_bytes", 1LL << 39}}}};
  const json process = {{"build_id", "abc"},
                        {"affinity", {0, 1, 2, 5, 7, 8}},
                        {"libraries", {{{"path", "/usr/lib/libdnnl.so.3.1"}, {"version", "3.1.0"}}}}};
  EXPECT_EQ(format_inventory({{"machine", machine}, {"process", process}}),
            "machine\n"
            "  host            node7\n"
            "  system          Debian, kernel 6.1, aarch64\n"
            "  product         Integrator Rack 9, serial S1\n"
            "  board           serial B2\n"
            "\n"
            "processor\n"
            "  model           Neoverse-V2\n"
            "  identity        Arm\n"
            "  layout          sockets 2, cores 144\n"
            "  caches          L1d 144 x 64 KiB\n"
            "  features        sve bf16\n"
            "  hypervisor      no\n"
            "\n"
            "memory\n"
            "  total           512 GiB\n"
            "\n"
            "process\n"
            "  build id        abc\n"
            "  may run on      cores 0-2,5,7-8\n"
            "\n"
            "libraries (file, build id, version)\n"
            "  libdnnl.so.3.1  -                 3.1.0\n");
}

TEST(format_inventory, shows_a_part_alone) {
  EXPECT_THAT(format_inventory({{"machine", {{"hostname", "a"}}}}), Not(HasSubstr("process\n")));
  EXPECT_EQ(format_inventory({{"process", {{"build_id", "b"}}}}), "process\n  build id        b\n");
}

TEST(format_inventory, keeps_within_the_width_of_a_terminal) {
  json features = json::array();
  for (int i = 0; i < 60; ++i) features.push_back("feature" + std::to_string(i));
  const std::string text = format_inventory({{"machine", {{"cpu", {{"features", features}}}}}});
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    EXPECT_LE(end - begin, 100U);
    begin = end + 1;
  }
  EXPECT_THAT(text, HasSubstr("feature59\n"));
}

TEST(timestamp, is_iso_8601_in_utc_in_both_forms) {
  const std::chrono::system_clock::time_point when{std::chrono::seconds(1772719402)};
  EXPECT_EQ(utc_timestamp(when), "2026-03-05T14:03:22Z");
  EXPECT_EQ(compact_utc_timestamp(when), "20260305T140322Z");
}

TEST(uuid, is_of_version_4_and_never_the_same) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = uuid4();
    EXPECT_THAT(id, MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
    EXPECT_TRUE(seen.insert(id).second);
  }
}

}  // namespace
}  // namespace rackproof
