#include "suites/allreduce/buffer_plan.hpp"

#include <algorithm>
#include <numeric>

namespace rackproof::allreduce {
namespace {

constexpr std::uint64_t up_to(std::uint64_t value, std::uint64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

constexpr std::uint64_t most_kept_in_place = 64;

/// A page and a line: far enough that no prefetcher fetches the next message, and never the same set of a cache.
constexpr std::uint64_t step_bytes = 4096 + line;

std::uint64_t pace_for(std::uint64_t stride, std::uint64_t slots) {
  std::uint64_t pace = std::max<std::uint64_t>(1, step_bytes / stride);
  while (std::gcd(pace, slots) != 1) ++pace;
  return pace;
}

}  // namespace

BufferPlan plan_buffers(const Footprint& message, bool cold, std::uint64_t cache, std::uint64_t memory) {
  const bool in_place = message.in_place;
  BufferPlan plan;
  plan.stride = up_to(in_place ? std::max(message.send, message.receive) : message.send, line);
  plan.output_stride = in_place ? plan.stride : up_to(message.receive, line);
  const std::uint64_t bytes_a_slot = in_place ? plan.stride : plan.stride + plan.output_stride;
  if (cold) {
    const std::uint64_t most = memory == 0 ? most_buffer_bytes : std::min(most_buffer_bytes, memory / 4);
    std::uint64_t wanted = 2 * cache / bytes_a_slot + 1;
    if (in_place) wanted += std::clamp<std::uint64_t>(wanted / 8, 1, most_kept_in_place);
    plan.slots = std::max<std::uint64_t>(2, std::min(wanted, most / bytes_a_slot));
  } else {
    plan.slots = 1;
  }
  plan.kept = plan.slots;
  if (in_place) plan.kept = std::clamp<std::uint64_t>(plan.slots / 9, 1, most_kept_in_place);
  plan.pace = pace_for(std::min(plan.stride, plan.output_stride), plan.slots);
  plan.input_bytes = plan.slots * plan.stride + (in_place ? 0 : shifts * line);
  plan.output_bytes = in_place ? 0 : plan.slots * plan.output_stride;
  return plan;
}

std::uint64_t least_memory(const Footprint& message) {
  const std::uint64_t most = std::max(message.send, message.receive);
  const std::uint64_t slot =
      message.in_place ? up_to(most, line) : up_to(message.send, line) + up_to(message.receive, line);
  return 2 * slot + most;
}

}  // namespace rackproof::allreduce
