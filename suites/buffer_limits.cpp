#include "suites/buffer_limits.hpp"

#include <array>

namespace rackproof {

BufferLimits agree_on_buffer_limits(const Context& context) {
  // The largest of each over ranks.
  std::array<double, 2> cache_and_less_memory{};
  agree(context.collective, [&] {
    cache_and_less_memory = {static_cast<double>(context.device.cache_bytes()),
                             -static_cast<double>(context.device.memory_available())};
  });
  if (const mpi::Communicator* ranks = context.collective.ranks()) ranks->all_reduce_max(cache_and_less_memory);
  return {static_cast<std::uint64_t>(cache_and_less_memory[0]), static_cast<std::uint64_t>(-cache_and_less_memory[1])};
}

}  // namespace rackproof
