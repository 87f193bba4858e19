#include "common/backends/cuda/measured_peaks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "common/core/random.hpp"
#include "common/core/units.hpp"

namespace rackproof::cuda {
namespace {

/// Normals, repeated: the values that are multiplied change the clock, the length of the period does not.
template <typename T>
void fill_periodic(CudaDevice& device, const Buffer& buffer, float scale) {
  constexpr std::size_t period = std::size_t{1} << 16U;
  std::vector<T> values(std::min(buffer.bytes() / sizeof(T), period));
  fill_normal(std::span<T>(values), 1, 0, scale);
  std::size_t filled = values.size() * sizeof(T);
  device.copy_to_device(buffer.data(), values.data(), filled);
  while (filled < buffer.bytes()) {
    const std::size_t more = std::min(filled, buffer.bytes() - filled);
    device.copy(buffer.as<std::byte>() + filled, buffer.data(), more);
    filled += more;
  }
}

void fill(CudaDevice& device, const Buffer& buffer, DataType type) {
  switch (type) {
    case DataType::f64:
      return fill_periodic<double>(device, buffer, 1.0F);
    case DataType::bf16:
      return fill_periodic<bf16_bits>(device, buffer, 1.0F);
    case DataType::i8:
      return fill_periodic<std::int8_t>(device, buffer, 32.0F);
    default:
      return fill_periodic<float>(device, buffer, 1.0F);
  }
}

DataType output_of(DataType input) {
  if (input == DataType::f64) return DataType::f64;
  return input == DataType::i8 ? DataType::i32 : DataType::f32;
}

/// Seconds of the fastest of several runs, by the device's clock.
template <typename Action>
double fastest(CudaDevice& device, Action&& action) {
  constexpr int runs = 12;
  const auto timer = device.make_timer();
  double best = std::numeric_limits<double>::infinity();
  for (int run = 0; run < runs; ++run) {
    timer->begin();
    action();
    timer->end();
    best = std::min(best, timer->seconds());
  }
  return best;
}

std::int64_t side_of_square(const CudaDevice& device) {
  std::int64_t side = 4096;
  constexpr std::size_t bytes_an_entry = 32;                    // A, B and C of f64, with room
  constexpr std::size_t of_libraries = std::size_t{64} << 20U;  // workspaces
  const std::size_t free = device.memory_available() - std::min(device.memory_available(), of_libraries);
  while (side > 256 && static_cast<std::size_t>(side * side) * bytes_an_entry > free) side /= 2;
  return side;
}

/// 0 where the device multiplies no such matrices.
double matmul_rate(CudaDevice& device, DataType type, std::int64_t side) {
  MatmulProblem problem;
  problem.m = problem.n = problem.k = problem.weights_for_m = side;
  problem.input = type;
  problem.output = output_of(type);
  if (!device.refuses(problem).empty()) problem.transposed_weights = true;
  if (!device.refuses(problem).empty()) return 0.0;
  const auto plan = device.matmul(problem);
  const auto entries = static_cast<std::size_t>(problem.m * problem.n);
  const auto a = device.allocate(bytes_of(entries, type));
  const auto b = device.allocate(plan->weight_bytes());
  const auto c = device.allocate(bytes_of(entries, problem.output));
  fill(device, *a, type);
  fill(device, *b, type);
  const double cube = static_cast<double>(entries) * static_cast<double>(problem.k);
  return 2.0 * cube / fastest(device, [&] { plan->run(a->data(), b->data(), c->data()); });
}

}  // namespace

Peaks measure_gpu_peaks(CudaDevice& device) {
  Peaks peaks;
  const std::int64_t side = side_of_square(device);
  for (const DataType type : {DataType::f64, DataType::f32, DataType::tf32, DataType::bf16, DataType::i8}) {
    if (const double rate = device.supports(type) ? matmul_rate(device, type, side) : 0.0; rate > 0.0) {
      peaks.flops[type] = rate;
    }
  }
  if (const auto bf16 = peaks.flops.find(DataType::bf16); bf16 != peaks.flops.end()) {
    peaks.flops[DataType::f16] = bf16->second;
  }
  const std::size_t bytes = std::max<std::size_t>(std::min(4 * device.cache_bytes(), device.memory_available() / 4), 1);
  const auto from = device.allocate(bytes);
  const auto to = device.allocate(bytes);
  peaks.memory_bandwidth =
      2.0 * static_cast<double>(bytes) / fastest(device, [&] { device.copy(to->data(), from->data(), bytes); });
  peaks.source =
      fmt::format("measured at start, for no data sheet of {} is known: best product of {}^3, best copy of {}",
                  device.name(), side, format_bytes(static_cast<double>(bytes)));
  return peaks;
}

}  // namespace rackproof::cuda
