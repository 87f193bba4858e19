// The GPUs that the fakes pretend to be: RACKPROOF_FAKE_GPUS=8xH100 ("none": there is no driver, "0": a driver but no
// GPU), RACKPROOF_FAKE_MEMORY=2GiB (a GPU's capacity; default 1 GiB), RACKPROOF_FAKE_DRIVER=12.2 (the CUDA version that
// the driver is for; default that of the runtime). Their figures are those of public data sheets,
// for what reads them; how fast a fake works is the host's.
#pragma once

#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

namespace rackproof::fake {

/// Sources: NVIDIA's data sheets and architecture papers of V100 (GV100), A100 (GA100), H100 and H200 (GH100), GH200,
/// B200, GB200 and GB300 (GB100); compute capabilities from the CUDA programming guide.
struct Kind {
  const char* key;   ///< in RACKPROOF_FAKE_GPUS
  const char* name;  ///< as the driver names the part
  int major, minor;  ///< compute capability
  int multiprocessors;
  int l2_mebibytes;
  int shared_kibibytes;  ///< that a block may ask for
  int clock_mhz, memory_clock_mhz, bus_bits;
  unsigned pci_device;
  bool grace;  ///< on the same board as a Grace CPU, coherent with it
};

inline constexpr std::array<Kind, 8> kinds{{
    {"A100", "NVIDIA A100-SXM4-80GB", 8, 0, 108, 40, 163, 1410, 1593, 5120, 0x20b2, false},
    {"H100", "NVIDIA H100 80GB HBM3", 9, 0, 132, 50, 227, 1980, 2619, 5120, 0x2330, false},
    {"H200", "NVIDIA H200", 9, 0, 132, 50, 227, 1980, 3201, 6144, 0x2335, false},
    {"GH200", "NVIDIA GH200 480GB", 9, 0, 132, 50, 227, 1980, 2619, 6144, 0x2342, true},
    {"B200", "NVIDIA B200", 10, 0, 148, 126, 227, 1965, 3996, 8192, 0x2901, false},
    {"GB200", "NVIDIA GB200", 10, 0, 152, 126, 227, 2062, 3996, 8192, 0x2941, true},
    {"GB300", "NVIDIA GB300", 10, 3, 152, 126, 227, 2062, 3996, 8192, 0x31c2, true},
    {"V100", "Tesla V100-SXM2-16GB", 7, 0, 80, 6, 96, 1530, 877, 4096, 0x1db1, false},
}};

struct Fleet {
  bool driver = true;
  int driver_version = 0;  ///< 12020 for CUDA 12.2; 0: that of the runtime
  int count = 8;
  Kind kind = kinds[1];
  std::size_t memory = std::size_t{1} << 30U;  ///< bytes a GPU
};

namespace detail {

inline std::size_t parse_bytes(const std::string& text) {
  std::size_t used = 0;
  const double number = std::stod(text, &used);
  const std::string unit = text.substr(used);
  if (unit == "GiB") return static_cast<std::size_t>(number * (1U << 30U));
  if (unit == "MiB") return static_cast<std::size_t>(number * (1U << 20U));
  if (unit == "KiB") return static_cast<std::size_t>(number * (1U << 10U));
  throw std::runtime_error("RACKPROOF_FAKE_MEMORY: '" + text + "' is no size such as 512MiB");
}

/// 12020 for "12.2".
inline int parse_version(const std::string& text) {
  int major = 0;
  int minor = 0;
  if (std::sscanf(text.c_str(), "%d.%d", &major, &minor) == 2) return 1000 * major + 10 * minor;
  throw std::runtime_error("RACKPROOF_FAKE_DRIVER: '" + text + "' is no version such as 12.2");
}

}  // namespace detail

inline Fleet parse_fleet(const std::string& gpus, const std::string& memory) {
  Fleet fleet;
  if (!memory.empty()) fleet.memory = detail::parse_bytes(memory);
  if (gpus.empty()) return fleet;
  if (gpus == "none" || gpus == "0") {
    fleet.driver = gpus == "0";
    fleet.count = 0;
    return fleet;
  }
  const std::size_t times = gpus.find('x');
  const std::string key = times == std::string::npos ? gpus : gpus.substr(times + 1);
  fleet.count = times == std::string::npos ? 1 : std::atoi(gpus.c_str());
  for (const Kind& kind : kinds) {
    if (key != kind.key || fleet.count < 1 || fleet.count > 16) continue;
    fleet.kind = kind;
    return fleet;
  }
  throw std::runtime_error("RACKPROOF_FAKE_GPUS: '" + gpus + "' is not such as 8xH100, none or 0");
}

/// As the environment says; 8 x H100 where it does not.
inline Fleet own_fleet() {
  const char* gpus = std::getenv("RACKPROOF_FAKE_GPUS");
  const char* memory = std::getenv("RACKPROOF_FAKE_MEMORY");
  Fleet fleet = parse_fleet(gpus == nullptr ? "" : gpus, memory == nullptr ? "" : memory);
  if (const char* driver = std::getenv("RACKPROOF_FAKE_DRIVER")) fleet.driver_version = detail::parse_version(driver);
  return fleet;
}

/// What identifies the parts; equal in all fakes and in all processes of a host, and different between hosts.
struct Identity {
  std::array<std::uint8_t, 16> uuid{};
  std::string serial;  ///< 13 digits, as boards have
  int pci_bus = 0;     ///< of domain 0, device 0
  [[nodiscard]] std::string uuid_text() const {
    std::string text = "GPU-";
    for (std::size_t i = 0; i < uuid.size(); ++i) {
      if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
      std::array<char, 3> byte{};
      (void)std::snprintf(byte.data(), byte.size(), "%02x", static_cast<unsigned>(uuid[i]));
      text += byte.data();
    }
    return text;
  }
  /// "0000:1b:00.0", of 12 characters; NVML writes eight digits of the domain.
  [[nodiscard]] std::string pci_text() const {
    std::array<char, 16> text{};
    (void)std::snprintf(text.data(), text.size(), "0000:%02X:00.0", static_cast<unsigned>(pci_bus) & 0xffU);
    return text.data();
  }
};

/// Of the GPU with that index on this host, all of them counted.
inline Identity identity_of(int index) {
  std::array<char, 256> host{};
  (void)gethostname(host.data(), host.size() - 1);
  std::uint64_t hash = 14695981039346656037U;  // FNV-1a
  for (const char c : std::string_view(host.data())) hash = (hash ^ static_cast<std::uint8_t>(c)) * 1099511628211U;
  Identity identity;
  identity.uuid = {0xfa, 0x4e, 0x67, 0x70};
  for (std::size_t i = 0; i < 8; ++i) identity.uuid[4 + i] = static_cast<std::uint8_t>(hash >> (8 * i));
  identity.uuid[15] = static_cast<std::uint8_t>(index);
  std::array<char, 24> serial{};
  (void)std::snprintf(serial.data(), serial.size(), "165%08llu%02d",
                      static_cast<unsigned long long>(hash % 100'000'000U), index);
  identity.serial = serial.data();
  identity.pci_bus = 0x18 + 8 * index;
  return identity;
}

}  // namespace rackproof::fake
