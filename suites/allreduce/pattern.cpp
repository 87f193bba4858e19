#include "suites/allreduce/pattern.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "common/core/bfloat16.hpp"
#include "common/core/error.hpp"
#include "common/core/random.hpp"

namespace rackproof::allreduce {
namespace {

/// "allr" in ASCII: this suite's own stream of random numbers.
constexpr std::uint64_t purpose = 0x616c6c72;
constexpr unsigned shift_bits = 24;
constexpr unsigned extra_bits = 20;
constexpr unsigned owner_bits = 20;
constexpr std::size_t most_deviations = 256;

[[noreturn]] void no_such_type(DataType type) {
  throw Error(ExitCode::internal, "allreduce", 0, "", fmt::format("no exact pattern for {}", name(type)));
}

template <typename T>
void write(std::byte* place, T value) {
  std::memcpy(place, &value, sizeof(T));
}

/// `value` as an element of the type.
void encode(DataType type, std::int64_t value, std::byte* place) {
  switch (type) {
    case DataType::f64:
      return write(place, static_cast<double>(value));
    case DataType::f32:
      return write(place, static_cast<float>(value));
    case DataType::bf16:
      return write(place, to_bf16(static_cast<float>(value)));
    case DataType::i32:
      return write(place, static_cast<std::int32_t>(value));
    case DataType::i8:
      break;
  }
  no_such_type(type);
}

template <typename T>
T read(const std::byte* place) {
  T value;
  std::memcpy(&value, place, sizeof(T));
  return value;
}

double decode(DataType type, const std::byte* place) {
  switch (type) {
    case DataType::f64:
      return read<double>(place);
    case DataType::f32:
      return static_cast<double>(read<float>(place));
    case DataType::bf16:
      return static_cast<double>(from_bf16(read<bf16_bits>(place)));
    case DataType::i32:
      return read<std::int32_t>(place);
    case DataType::i8:
      break;
  }
  no_such_type(type);
}

template <typename Value>
std::vector<std::byte> table(DataType type, Value value_at) {
  const std::size_t size = size_of(type);
  std::vector<std::byte> bytes(Pattern::period * size);
  for (std::uint64_t i = 0; i < Pattern::period; ++i) encode(type, value_at(i), bytes.data() + i * size);
  return bytes;
}

}  // namespace

Pattern::Pattern(DataType type, int ranks, std::uint64_t seed)
    : type_(type), ranks_(ranks), stream_(random_stream(seed, purpose)) {
  if (ranks > most_ranks) {
    throw usage_error(fmt::format("all-reduce can be checked on up to {} ranks, not on {}", most_ranks, ranks));
  }
  switch (type) {
    case DataType::bf16:
      active_ = 15;
      extras_ = 1 << 7;
      break;
    case DataType::f32:
      active_ = 4095;
      extras_ = 1 << extra_bits;
      break;
    case DataType::f64:
    case DataType::i32:
      active_ = 46340;
      extras_ = 1 << extra_bits;
      break;
    case DataType::i8:
      no_such_type(type);
  }
  active_ = std::min<std::int64_t>(active_, ranks);
}

Pattern::Draw Pattern::draw(std::uint64_t index) const noexcept {
  const std::uint64_t bits = random_bits(stream_, index % period);
  const auto field = [bits](unsigned first, unsigned width) { return (bits >> first) & ((1ULL << width) - 1); };
  // Multiply and shift instead of a remainder: as even, and faster.
  const auto n = static_cast<std::uint64_t>(ranks_);
  return {static_cast<std::int64_t>(field(0, shift_bits) * n >> shift_bits),
          static_cast<std::int64_t>(field(shift_bits + extra_bits, owner_bits) * n >> owner_bits),
          static_cast<std::int64_t>(field(shift_bits, extra_bits) * static_cast<std::uint64_t>(extras_) >> extra_bits)};
}

std::int64_t Pattern::value(int rank, std::uint64_t index) const noexcept {
  const Draw drawn = draw(index);
  std::int64_t place = rank + drawn.shift;
  if (place >= ranks_) place -= ranks_;
  return (place < active_ ? place + 1 : 0) + (rank == drawn.owner ? drawn.extra : 0);
}

std::int64_t Pattern::sum(std::uint64_t index) const noexcept {
  return active_ * (active_ + 1) / 2 + draw(index).extra;
}

std::vector<std::byte> Pattern::contributions(int rank) const {
  return table(type_, [&](std::uint64_t i) { return value(rank, i); });
}

std::vector<std::byte> Pattern::sums() const {
  return table(type_, [&](std::uint64_t i) { return sum(i); });
}

Checker::Checker(const Pattern& pattern) : pattern_(&pattern), sums_(pattern.sums()) {}

void Checker::check(std::uint64_t first, std::uint64_t position, const std::byte* received, std::uint64_t count) {
  const DataType type = pattern_->type();
  const std::size_t size = size_of(type);
  checked_ += count;
  in_periods(first, count, [&](std::uint64_t offset, std::uint64_t place, std::uint64_t piece) {
    const std::byte* const got = received + offset * size;
    const std::byte* const wanted = sums_.data() + place * size;
    if (std::memcmp(got, wanted, piece * size) == 0) return;
    for (std::uint64_t i = 0; i < piece; ++i) {
      if (std::memcmp(got + i * size, wanted + i * size, size) == 0) continue;
      ++wrong_;
      const Deviation deviation{first + offset + i, position + offset + i, decode(type, wanted + i * size),
                                decode(type, got + i * size)};
      const double distance = std::abs(deviation.received - deviation.expected);
      error_ = std::max(error_, std::isnan(distance) ? std::numeric_limits<double>::infinity() : 1.0 + distance);
      // Of -0 for 0 the distance is 0, and yet it is wrong.
      error_ = std::max(error_, std::nextafter(1.0, 2.0));
      if (deviations_.size() < most_deviations) deviations_.push_back(deviation);
    }
  });
}

std::string Checker::report() const {
  if (wrong_ == 0) return "";
  const Deviation& first = deviations_.front();
  return fmt::format("{} of {} sums are wrong; the first is element {}: expected {}, received {}{}", wrong_, checked_,
                     first.position, first.expected, first.received, culprit());
}

std::string Checker::culprit() const {
  const std::size_t size = size_of(pattern_->type());
  std::vector<std::byte> element(size);
  /// Does `sign` x the contribution of `rank`, added to the sum, give what was received?
  const auto explains = [&](const Deviation& d, int rank, std::int64_t sign) {
    const std::int64_t contribution = pattern_->value(rank, d.index);
    encode(pattern_->type(), pattern_->sum(d.index) + sign * contribution, element.data());
    return contribution != 0 && decode(pattern_->type(), element.data()) == d.received;
  };
  for (const int sign : {-1, 1}) {
    const char* const what = sign < 0 ? "had been left out" : "had been counted twice";
    std::vector<int> suspects;
    for (int rank = 0; rank < pattern_->ranks(); ++rank) {
      if (std::all_of(deviations_.begin(), deviations_.end(),
                      [&](const Deviation& d) { return explains(d, rank, sign); })) {
        suspects.push_back(rank);
      }
    }
    // One element can fit several ranks; more than three names are no help.
    if (!suspects.empty() && suspects.size() <= 3) {
      return fmt::format(", as if rank {} {}", fmt::join(suspects, " or "), what);
    }
  }
  return "";
}

}  // namespace rackproof::allreduce
