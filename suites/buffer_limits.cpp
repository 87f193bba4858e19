#include "suites/buffer_limits.hpp"

#include <algorithm>
#include <array>
#include <vector>

namespace rackproof {

BufferLimits agree_on_buffer_limits(const Context& context) {
  Device& device = context.device;
  const std::array<double, 2> mine{static_cast<double>(device.cache_bytes()),
                                   static_cast<double>(device.memory_available())};
  std::vector<double> all(mine.size() * static_cast<std::size_t>(context.collective.size()));
  const auto send = device.allocate(sizeof(mine));
  const auto receive = device.allocate(all.size() * sizeof(double));
  device.copy_to_device(send->data(), mine.data(), sizeof(mine));
  context.collective.all_gather(send->data(), receive->data(), mine.size(), DataType::f64);
  device.copy_to_host(all.data(), receive->data(), all.size() * sizeof(double));
  double cache = mine[0];
  double memory = mine[1];
  for (std::size_t i = 0; i < all.size(); i += mine.size()) {
    cache = std::max(cache, all[i]);
    memory = std::min(memory, all[i + 1]);
  }
  return {static_cast<std::uint64_t>(cache), static_cast<std::uint64_t>(memory)};
}

}  // namespace rackproof
