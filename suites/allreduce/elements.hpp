// Elements of any type as numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/core/data_type.hpp"

namespace rackproof::allreduce {

/// The types that messages may have.
[[nodiscard]] const std::vector<DataType>& exchanged_types();

/// Writes `value`, which the type can hold, as one element.
void encode(DataType type, double value, std::byte* place);
/// The element as a number: exact, but for whole numbers of more than 53 bits.
[[nodiscard]] double decode(DataType type, const std::byte* place);
/// False where an integer type has no such number; the others round, or take infinity.
[[nodiscard]] bool can_hold(DataType type, double value);

/// The contents of all messages repeat after this many elements, a prime: data that lands at a wrong place differs,
/// unless it is off by a multiple of it.
inline constexpr std::uint64_t period = 131071;

/// One period of elements value_at(0), value_at(1), ...
template <typename Value>
std::vector<std::byte> table(DataType type, Value value_at) {
  const std::size_t size = size_of(type);
  std::vector<std::byte> bytes(period * size);
  for (std::uint64_t i = 0; i < period; ++i) encode(type, value_at(i), bytes.data() + i * size);
  return bytes;
}

/// Calls action(offset, place, count) for the pieces of elements [first, first + count) that lie together in a table of
/// one period: piece `offset` of the vector is at element `place` of the table.
template <typename Action>
void in_periods(std::uint64_t first, std::uint64_t count, Action action) {
  for (std::uint64_t offset = 0; offset < count;) {
    const std::uint64_t place = (first + offset) % period;
    const std::uint64_t piece = count - offset < period - place ? count - offset : period - place;
    action(offset, place, piece);
    offset += piece;
  }
}

}  // namespace rackproof::allreduce
