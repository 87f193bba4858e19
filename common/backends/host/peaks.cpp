#include "common/backends/host/peaks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "common/backends/host/isa.hpp"
#include "common/backends/host/read_kernel.hpp"
#include "common/core/clock.hpp"
#include "common/core/random.hpp"
#include "common/core/units.hpp"

namespace rackproof::host {
namespace {

constexpr std::size_t mebi = std::size_t{1} << 20U;

/// Normals, repeated every 64 Ki elements: the values that a processor multiplies change its clock, the length of the
/// period does not.
template <typename T>
void fill_periodic(T* data, std::size_t count, std::uint64_t stream, float scale) {
  constexpr std::size_t period = std::size_t{1} << 16U;
  std::vector<T> values(std::min(count, period));
  fill_normal(std::span<T>(values), stream, 0, scale);
  for (std::size_t at = 0; at < count; at += values.size()) {
    std::memcpy(data + at, values.data(), std::min(values.size(), count - at) * sizeof(T));
  }
}

void fill(Buffer& buffer, DataType type, std::uint64_t stream) {
  const std::size_t count = buffer.bytes() / size_of(type);
  switch (type) {
    case DataType::f64:
      return fill_periodic(buffer.as<double>(), count, stream, 1.0F);
    case DataType::f32:
      return fill_periodic(buffer.as<float>(), count, stream, 1.0F);
    case DataType::bf16:
      return fill_periodic(buffer.as<bf16_bits>(), count, stream, 1.0F);
    case DataType::i8:
      return fill_periodic(buffer.as<std::int8_t>(), count, stream, 32.0F);
    default:
      std::memset(buffer.data(), 0, buffer.bytes());
  }
}

DataType output_of(DataType input) {
  if (input == DataType::i8) return DataType::i32;
  return input == DataType::bf16 ? DataType::f32 : input;
}

/// Seconds of the fastest of at least `least` runs within `budget` seconds.
template <typename Action>
double fastest(double budget, int least, Action&& action) {
  const SteadyClock clock;
  const double start = clock.now();
  double best = 1e30;
  for (int runs = 0; runs < least || clock.now() - start < budget; ++runs) {
    const double begin = clock.now();
    action();
    best = std::min(best, clock.now() - begin);
  }
  return best;
}

/// Flop/s of a square packed product.
double matmul_rate(Device& device, DataType type, std::int64_t size, double budget) {
  const MatmulProblem problem{.m = size,
                              .n = size,
                              .k = size,
                              .input = type,
                              .output = output_of(type),
                              .layout = WeightLayout::packed,
                              .weights_for_m = size,
                              .transposed_weights = false};
  const auto plan = device.matmul(problem);
  const auto elements = static_cast<std::size_t>(size * size);
  const auto a = device.allocate(elements * size_of(type));
  const auto plain = device.allocate(elements * size_of(type));
  const auto weights = device.allocate(plan->weight_bytes());
  const auto c = device.allocate(elements * size_of(problem.output));
  fill(*a, type, 1);
  fill(*plain, type, 2);
  plan->pack(plain->data(), weights->data());
  const double cube = static_cast<double>(size) * static_cast<double>(size) * static_cast<double>(size);
  return 2.0 * cube / fastest(budget, 3, [&] { plan->run(a->data(), weights->data(), c->data()); });
}

double matmul_peak(Device& device, DataType type) {
  // The small one is over before another process is likely to interrupt it.
  double best = matmul_rate(device, type, 512, 0.02);
  best = std::max(best, matmul_rate(device, type, 1024, 0.06));
  constexpr double larger = 2048.0;
  if (2.0 * larger * larger * larger / best < 0.1) best = std::max(best, matmul_rate(device, type, 2048, 0.06));
  return best;
}

double read_peak(Device& device, std::size_t& bytes) {
  bytes = std::clamp(2 * device.cache_bytes(), 64 * mebi, 512 * mebi);
  bytes = std::max(std::min(bytes, device.memory_available() / 4) / 4096 * 4096, std::size_t{4096});
  const auto buffer = device.allocate(bytes);
  const ReadKernel read = read_kernel(best_isa());
  // Kept, so that the reads are not optimised away.
  volatile std::uint64_t sink = 0;
  const double time = fastest(0.15, 3, [&] { sink = read(buffer->as<std::uint64_t>(), bytes / 8); });
  static_cast<void>(sink);
  return static_cast<double>(bytes) / time;
}

}  // namespace

Peaks measure_host_peaks(Device& device) {
  Peaks peaks;
  for (const DataType type : {DataType::f64, DataType::f32, DataType::bf16, DataType::i8}) {
    if (device.supports(type)) peaks.flops[type] = matmul_peak(device, type);
  }
  std::size_t bytes = 0;
  peaks.memory_bandwidth = read_peak(device, bytes);
  peaks.source = fmt::format(
      "measured at start, all ranks at once: best packed product of 512^3, 1024^3 or 2048^3, best read "
      "of {}",
      format_bytes(static_cast<double>(bytes)));
  return peaks;
}

}  // namespace rackproof::host
