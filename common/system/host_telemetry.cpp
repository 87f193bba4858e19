#include "common/system/host_telemetry.hpp"

#include <sched.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

namespace rackproof {
namespace {

namespace fs = std::filesystem;

constexpr float not_known = std::numeric_limits<float>::quiet_NaN();

std::optional<double> read_number(const fs::path& path) {
  double value = 0.0;
  std::ifstream file(path);
  if (!(file >> value)) return std::nullopt;
  return value;
}

/// Of at most 8 cores: reading more would take longer than it tells.
std::vector<fs::path> frequency_files(const fs::path& root) {
  constexpr std::size_t most = 8;
  std::vector<fs::path> files;
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof(mask), &mask) != 0) return files;
  for (int cpu = 0; cpu < CPU_SETSIZE && files.size() < most; ++cpu) {
    if (!CPU_ISSET(cpu, &mask)) continue;
    const fs::path file = root / "sys/devices/system/cpu" / ("cpu" + std::to_string(cpu)) / "cpufreq/scaling_cur_freq";
    if (read_number(file)) files.push_back(file);
  }
  return files;
}

/// A package of RAPL: "intel-rapl:0", not its parts "intel-rapl:0:1".
struct Package {
  fs::path energy;     ///< uJ, starts again at `range`
  double range = 0.0;  ///< uJ
};

std::vector<Package> packages(const fs::path& root) {
  std::vector<Package> found;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(root / "sys/class/powercap", failure)) {
    const std::string name = entry.path().filename().string();
    const std::size_t colon = name.find(':');
    if (colon == std::string::npos || name.find(':', colon + 1) != std::string::npos) continue;
    const Package package{entry.path() / "energy_uj", read_number(entry.path() / "max_energy_range_uj").value_or(0.0)};
    if (read_number(package.energy)) found.push_back(package);
  }
  return found;
}

/// s that the hypervisor took so far: the eighth number of the first line.
std::optional<double> read_steal(const fs::path& root) {
  std::ifstream file(root / "proc/stat");
  std::string label;
  if (!(file >> label) || label != "cpu") return std::nullopt;
  double ticks = 0.0;
  for (int column = 0; column < 8; ++column) {
    if (!(file >> ticks)) return std::nullopt;
  }
  const long per_second = ::sysconf(_SC_CLK_TCK);
  return per_second > 0 ? std::optional(ticks / static_cast<double>(per_second)) : std::nullopt;
}

class HostTelemetry final : public TelemetrySource {
 public:
  HostTelemetry(const Clock& clock, const fs::path& root)
      : clock_(&clock), root_(root), frequencies_(frequency_files(root)), packages_(packages(root)) {
    steal_before_ = read_steal(root_);
    energy_.resize(packages_.size(), std::numeric_limits<double>::quiet_NaN());
  }

  [[nodiscard]] std::vector<TelemetryQuantity> quantities() const override {
    using Kind = TelemetryQuantity::Kind;
    std::vector<TelemetryQuantity> all;
    if (!frequencies_.empty()) all.push_back({"cpu_clock", "MHz", "clock of the rank's cores, mean", Kind::level});
    if (!packages_.empty()) all.push_back({"cpu_power", "W", "power of the node's processors", Kind::level});
    if (steal_before_) {
      all.push_back({"cpu_steal", "s", "time that the hypervisor took from the node's processors", Kind::counter});
    }
    return all;
  }

  void read(std::span<float> values) override {
    std::size_t at = 0;
    if (!frequencies_.empty()) values[at++] = clock_of_cores();
    if (!packages_.empty()) values[at++] = power();
    if (steal_before_) {
      const auto now = read_steal(root_);
      values[at] = now ? static_cast<float>(*now - *steal_before_) : not_known;
    }
  }

 private:
  [[nodiscard]] float clock_of_cores() const {
    double sum = 0.0;
    int count = 0;
    for (const fs::path& file : frequencies_) {
      if (const auto kilohertz = read_number(file)) {
        sum += 1e-3 * *kilohertz;
        ++count;
      }
    }
    return count == 0 ? not_known : static_cast<float>(sum / count);
  }

  /// Since the last reading.
  float power() {
    const double now = clock_->now();
    double joules = 0.0;
    for (std::size_t i = 0; i < packages_.size(); ++i) {
      const double energy = read_number(packages_[i].energy).value_or(std::numeric_limits<double>::quiet_NaN());
      double difference = energy - energy_[i];
      if (difference < 0.0) difference += packages_[i].range;
      joules += 1e-6 * difference;
      energy_[i] = energy;
    }
    const double seconds = now - read_before_;
    read_before_ = now;
    return seconds > 0.0 ? static_cast<float>(joules / seconds) : not_known;
  }

  const Clock* clock_;
  fs::path root_;
  std::vector<fs::path> frequencies_;
  std::vector<Package> packages_;
  std::vector<double> energy_;  ///< uJ, at the last reading
  double read_before_ = std::numeric_limits<double>::quiet_NaN();
  std::optional<double> steal_before_;  ///< s, at the beginning
};

}  // namespace

std::unique_ptr<TelemetrySource> make_host_telemetry(const Clock& clock, const fs::path& root) {
  auto source = std::make_unique<HostTelemetry>(clock, root);
  if (source->quantities().empty()) return nullptr;
  return source;
}

}  // namespace rackproof
