#include "common/backends/cuda/data_sheet.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

namespace rackproof::cuda {
namespace {

using Words = std::array<std::string_view, 2>;

/// TFLOP/s (dense; 0: not in the sources) and TB/s.
struct Row {
  std::string_view part;
  Words has;      ///< words of the device's name; empty ones do not count
  Words has_not;  ///< words that make it another part
  double f64;     ///< by tensor cores
  double f32;
  double tf32;
  double half;  ///< f16 and bf16
  double f8;
  double f4;
  double i8;
  double bandwidth;
  std::string_view source;
};

// Where two pages of the vendor differ, the higher figure is taken: a share of the peak is then never flattered.
constexpr std::string_view source_of_most = "ml-engineering, compute/accelerator/README.md, from the vendor's pages";
constexpr std::string_view source_of_hopper =
    "ml-engineering, compute/accelerator/README.md; f64: NVIDIA H100 data sheet";
constexpr std::string_view source_with_f4 =
    "ml-engineering, compute/accelerator/README.md; f4: the highest of the vendor's pages (B200 9000 to 10000, B300 "
    "and "
    "GB300 12600 to 15000)";
constexpr std::array<Row, 10> sheets{{
    {"A100 SXM 80 GB",
     {"A100", "80GB"},
     {"PCIe", ""},
     19.5,
     19.5,
     156,
     312,
     0,
     0,
     624,
     2.039,
     "NVIDIA A100 data sheet; ml-engineering, compute/accelerator/README.md, has 2.0 TB/s"},
    {"H100 SXM", {"H100", "HBM3"}, {"PCIe", "NVL"}, 67, 67, 494.5, 989, 1979, 0, 1979, 3.35, source_of_hopper},
    {"H100 PCIe", {"H100", "PCIe"}, {}, 51, 51, 378, 756, 1513, 0, 1513, 2.0, "NVIDIA H100 data sheet"},
    {"H200 SXM", {"H200", ""}, {"NVL", ""}, 67, 67, 494.5, 989, 1979, 0, 1979, 4.8, source_of_hopper},
    {"GH200, 96 GB HBM3", {"GH200", "480GB"}, {}, 67, 67, 494.5, 989, 1979, 0, 1979, 4.0, source_of_hopper},
    {"GH200, 144 GB HBM3e", {"GH200", "144G"}, {}, 67, 67, 494.5, 989, 1979, 0, 1979, 4.8, source_of_hopper},
    {"B200 SXM", {"B200", ""}, {}, 0, 80, 1125, 2250, 4500, 10000, 4500, 8.0, source_with_f4},
    {"GB200", {"GB200", ""}, {}, 0, 80, 1250, 2500, 5000, 10000, 5000, 8.0, source_of_most},
    {"B300 SXM", {"B300", ""}, {}, 0, 80, 1125, 2250, 4500, 15000, 0, 8.0, source_with_f4},
    {"GB300", {"GB300", ""}, {}, 0, 80, 1250, 2500, 5000, 15000, 0, 8.0, source_with_f4},
}};

std::vector<std::string_view> words_of(std::string_view name) {
  std::vector<std::string_view> words;
  while (!name.empty()) {
    const std::size_t end = std::min(name.find_first_of(" -"), name.size());
    if (end > 0) words.push_back(name.substr(0, end));
    name.remove_prefix(std::min(end + 1, name.size()));
  }
  return words;
}

bool is(const Row& row, const std::vector<std::string_view>& words) {
  const auto among = [&](std::string_view word) { return std::find(words.begin(), words.end(), word) != words.end(); };
  return std::all_of(row.has.begin(), row.has.end(), [&](auto word) { return word.empty() || among(word); }) &&
         std::none_of(row.has_not.begin(), row.has_not.end(), [&](auto word) { return !word.empty() && among(word); });
}

}  // namespace

std::optional<Peaks> data_sheet_peaks(std::string_view device_name) {
  const std::vector<std::string_view> words = words_of(device_name);
  if (std::find(words.begin(), words.end(), "MIG") != words.end()) return std::nullopt;
  const auto* const row = std::find_if(sheets.begin(), sheets.end(), [&](const Row& one) { return is(one, words); });
  if (row == sheets.end()) return std::nullopt;
  Peaks peaks;
  const auto add = [&](DataType type, double teraflops) {
    if (teraflops > 0.0) peaks.flops[type] = 1e12 * teraflops;
  };
  add(DataType::f64, row->f64);
  add(DataType::f32, row->f32);
  add(DataType::tf32, row->tf32);
  add(DataType::f16, row->half);
  add(DataType::bf16, row->half);
  add(DataType::f8e4m3, row->f8);
  add(DataType::f8e5m2, row->f8);
  add(DataType::f4e2m1, row->f4);
  add(DataType::i8, row->i8);
  peaks.memory_bandwidth = 1e12 * row->bandwidth;
  peaks.source = fmt::format("data sheet of {}, dense: {}", row->part, row->source);
  return peaks;
}

}  // namespace rackproof::cuda
