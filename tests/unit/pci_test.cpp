#include "common/system/pci.hpp"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace rackproof {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// A made-up /sys: two sockets; on the first a switch with a GPU and mlx5_0, another switch with mlx5_1, and an
/// Ethernet card on the host bridge itself; mlx5_2 on the second.
class FakeSys : public ::testing::Test {
 protected:
  FakeSys() {
    std::string name = (fs::temp_directory_path() / "rackproof-pci-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    root_ = name;
  }
  FakeSys(const FakeSys&) = delete;
  FakeSys& operator=(const FakeSys&) = delete;
  ~FakeSys() override {
    std::error_code ignored;
    fs::remove_all(root_, ignored);
  }

  /// Adds a PCI device: the last part of `path` is its address.
  void add_device(const std::string& path, int numa_node) const {
    const fs::path folder = root_ / "sys/devices" / path;
    fs::create_directories(folder);
    std::ofstream(folder / "numa_node") << numa_node << "\n";
    fs::create_directories(root_ / "sys/bus/pci/devices");
    fs::create_directory_symlink(folder, root_ / "sys/bus/pci/devices" / folder.filename());
  }
  void add_interface(const std::string& kind, const std::string& name, const std::string& path) const {
    const fs::path folder = root_ / "sys/devices" / path / kind / name;
    fs::create_directories(folder);
    fs::create_directories(root_ / "sys/class" / kind);
    fs::create_directory_symlink(root_ / "sys/devices" / path, folder / "device");
    fs::create_directory_symlink(folder, root_ / "sys/class" / kind / name);
  }
  void add_rack_node() const {
    add_device("pci0000:15/0000:15:01.0/0000:16:00.0/0000:17:00.0/0000:18:00.0", 0);  // GPU
    add_device("pci0000:15/0000:15:01.0/0000:16:00.0/0000:17:01.0/0000:19:00.0", 0);  // behind the same switch
    add_device("pci0000:15/0000:15:03.0/0000:1a:00.0", 0);
    add_device("pci0000:80/0000:80:01.0/0000:81:00.0", 1);
    add_device("pci0000:30/0000:30:01.0/0000:31:00.0", 0);  // a GPU alone on its host bridge
  }
  fs::path root_;
};

TEST_F(FakeSys, finds_the_interface_behind_the_same_switch) {
  add_rack_node();
  add_interface("infiniband", "mlx5_0", "pci0000:15/0000:15:01.0/0000:16:00.0/0000:17:01.0/0000:19:00.0");
  add_interface("infiniband", "mlx5_1", "pci0000:15/0000:15:03.0/0000:1a:00.0");
  add_interface("infiniband", "mlx5_2", "pci0000:80/0000:80:01.0/0000:81:00.0");
  const NearestInterfaces nearest = nearest_interfaces("0000:18:00.0", root_);
  EXPECT_THAT(nearest.names, ElementsAre("mlx5_0"));
  EXPECT_EQ(to_string(nearest.distance), "PCIe switch");
}

TEST_F(FakeSys, goes_by_numa_node_where_host_bridges_differ_and_names_all_that_are_equally_near) {
  add_rack_node();
  add_interface("infiniband", "mlx5_1", "pci0000:15/0000:15:03.0/0000:1a:00.0");
  add_interface("infiniband", "mlx5_0", "pci0000:15/0000:15:01.0/0000:16:00.0/0000:17:01.0/0000:19:00.0");
  add_interface("infiniband", "mlx5_2", "pci0000:80/0000:80:01.0/0000:81:00.0");
  const NearestInterfaces nearest = nearest_interfaces("0000:31:00.0", root_);
  EXPECT_THAT(nearest.names, ElementsAre("mlx5_0", "mlx5_1"));
  EXPECT_EQ(nearest.distance, PciDistance::numa_node);
}

TEST_F(FakeSys, takes_ethernet_where_there_is_no_infiniband_and_leaves_virtual_interfaces_out) {
  add_rack_node();
  fs::create_directories(root_ / "sys/devices/virtual/net/lo");
  fs::create_directories(root_ / "sys/class/net");
  fs::create_directory_symlink(root_ / "sys/devices/virtual/net/lo", root_ / "sys/class/net/lo");
  add_interface("net", "eth0", "pci0000:15/0000:15:03.0/0000:1a:00.0");
  const NearestInterfaces nearest = nearest_interfaces("0000:18:00.0", root_);
  EXPECT_THAT(nearest.names, ElementsAre("eth0"));
  EXPECT_EQ(nearest.distance, PciDistance::host_bridge);
}

TEST_F(FakeSys, says_nothing_of_a_device_that_is_not_there) {
  add_device("pci0000:15/0000:15:03.0/0000:1a:00.0", 0);
  add_interface("net", "eth0", "pci0000:15/0000:15:03.0/0000:1a:00.0");
  EXPECT_THAT(nearest_interfaces("0000:18:00.0", root_).names, IsEmpty());
  EXPECT_EQ(numa_node_of_pci("0000:18:00.0", root_), -1);
}

TEST_F(FakeSys, reads_the_numa_node_whatever_the_case_of_the_address) {
  add_device("pci0000:80/0000:80:01.0/0000:AB:00.0", 1);
  fs::create_directory_symlink(root_ / "sys/devices/pci0000:80/0000:80:01.0/0000:AB:00.0",
                               root_ / "sys/bus/pci/devices/0000:ab:00.0");
  EXPECT_EQ(numa_node_of_pci("0000:AB:00.0", root_), 1);
}

TEST_F(FakeSys, a_node_that_knows_no_numa_says_so) {
  add_device("pci0000:00/0000:00:03.0", -1);
  EXPECT_EQ(numa_node_of_pci("0000:00:03.0", root_), -1);
}

}  // namespace
}  // namespace rackproof
