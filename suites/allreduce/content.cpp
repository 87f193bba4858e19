#include "suites/allreduce/content.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace rackproof::allreduce {
namespace {

constexpr std::size_t most_deviations = 256;

}  // namespace

void Comparison::compare(const std::vector<std::byte>& wanted, std::uint64_t place, int source, std::uint64_t index,
                         std::uint64_t position, const std::byte* received, std::uint64_t count) {
  const std::size_t size = size_of(type_);
  checked_ += count;
  in_periods(place, count, [&](std::uint64_t offset, std::uint64_t at, std::uint64_t piece) {
    const std::byte* const got = received + offset * size;
    const std::byte* const want = wanted.data() + at * size;
    if (std::memcmp(got, want, piece * size) == 0) return;
    for (std::uint64_t i = 0; i < piece; ++i) {
      if (std::memcmp(got + i * size, want + i * size, size) == 0) continue;
      ++wrong_;
      const Deviation deviation{index + offset + i, position + offset + i, source, decode(type_, want + i * size),
                                decode(type_, got + i * size)};
      const double distance = std::abs(deviation.received - deviation.expected);
      error_ = std::max(error_, std::isnan(distance) ? std::numeric_limits<double>::infinity() : 1.0 + distance);
      // Of -0 for 0 the distance is 0, and yet it is wrong.
      error_ = std::max(error_, std::nextafter(1.0, 2.0));
      if (deviations_.size() < most_deviations) deviations_.push_back(deviation);
    }
  });
}

}  // namespace rackproof::allreduce
