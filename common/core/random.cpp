#include "common/core/random.hpp"

#include <algorithm>
#include <array>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <numeric>
#include <utility>

namespace rackproof {
namespace {

constexpr std::size_t quantiles = 4096;

const std::array<float, quantiles>& normal_table() {
  static const std::array<float, quantiles> table = [] {
    std::array<float, quantiles> values{};
    const boost::math::normal_distribution<double> normal;
    for (std::size_t i = 0; i < quantiles; ++i) {
      values[i] = static_cast<float>(
          boost::math::quantile(normal, (static_cast<double>(i) + 0.5) / static_cast<double>(quantiles)));
    }
    return values;
  }();
  return table;
}

template <typename T, typename Convert>
void fill(std::span<T> values, std::uint64_t stream, std::uint64_t first, Convert convert) {
  const auto& table = normal_table();
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = convert(table[random_bits(stream, first + i) >> 52U]);
  }
}

}  // namespace

std::uint64_t random_stream(std::uint64_t seed, std::uint64_t purpose) {
  return random_bits(random_bits(seed, 0x7261636bULL), purpose);
}

std::vector<int> shuffled(int count, std::uint64_t stream) {
  std::vector<int> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t i = order.size(); i-- > 1;) {
    const auto other = static_cast<std::size_t>(random_uniform(stream, i) * static_cast<double>(i + 1));
    std::swap(order[i], order[other]);
  }
  return order;
}

void fill_normal(std::span<float> values, std::uint64_t stream, std::uint64_t first, float scale) {
  fill(values, stream, first, [scale](float z) { return z * scale; });
}

void fill_normal(std::span<double> values, std::uint64_t stream, std::uint64_t first, double scale) {
  fill(values, stream, first, [scale](float z) { return static_cast<double>(z) * scale; });
}

void fill_normal(std::span<bf16_bits> values, std::uint64_t stream, std::uint64_t first, float scale) {
  fill(values, stream, first, [scale](float z) { return to_bf16(z * scale); });
}

void fill_normal(std::span<std::int8_t> values, std::uint64_t stream, std::uint64_t first, float scale) {
  fill(values, stream, first,
       [scale](float z) { return static_cast<std::int8_t>(std::clamp(std::nearbyint(z * scale), -127.0F, 127.0F)); });
}

}  // namespace rackproof
