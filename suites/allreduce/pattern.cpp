#include "suites/allreduce/pattern.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "common/core/error.hpp"
#include "common/core/random.hpp"

namespace rackproof::allreduce {
namespace {

/// "allr" in ASCII: this suite's own stream of random numbers.
constexpr std::uint64_t pattern_purpose = 0x616c6c72;
constexpr unsigned shift_bits = 24;
constexpr unsigned extra_bits = 20;
constexpr unsigned owner_bits = 20;
/// More names are no help.
constexpr std::size_t most_suspects = 3;

struct Limits {
  std::int64_t active;
  std::int64_t extras;
};

bool is_unsigned(DataType type) { return type == DataType::u64 || type == DataType::u32 || type == DataType::u8; }

/// See Pattern.
Limits product_limits_of(DataType type) {
  switch (type) {
    case DataType::f8e4m3:
      return {2, 8};
    case DataType::f8e5m2:
      return {4, 4};
    case DataType::f16:
      return {4, 32};
    case DataType::i32:
    case DataType::u32:
      return {6, 32};
    case DataType::i64:
    case DataType::u64:
      return {10, 32};
    default:
      return {14, 32};
  }
}

/// See Pattern.
Limits limits_of(DataType type, Reduction reduction) {
  if (reduction == Reduction::prod) return product_limits_of(type);
  const bool sum = reduction == Reduction::sum;
  switch (type) {
    case DataType::i8:
    case DataType::u8:
      return {63, 64};
    case DataType::f8e4m3:
      return sum ? Limits{4, 7} : Limits{8, 8};
    case DataType::f8e5m2:
      return sum ? Limits{3, 3} : Limits{4, 4};
    case DataType::bf16:
      return {sum ? 15 : 127, 128};
    case DataType::f16:
      return {sum ? 44 : 1023, 1024};
    case DataType::f32:
      return {4095, 1 << extra_bits};
    default:
      return {46340, 1 << extra_bits};
  }
}

}  // namespace

Pattern::Pattern(DataType type, Reduction reduction, int ranks, std::uint64_t seed)
    : type_(type), reduction_(reduction), ranks_(ranks), stream_(random_stream(seed, pattern_purpose)) {
  if (!can_reduce(type, reduction)) {
    throw Error(ExitCode::internal, "allreduce", 0, "",
                fmt::format("no exact pattern for the {} of {}", name(reduction), name(type)));
  }
  if (ranks > most_ranks) {
    throw usage_error(fmt::format("all-reduce can be checked on up to {} ranks, not on {}", most_ranks, ranks));
  }
  const Limits limits = limits_of(type, reduction);
  active_ = std::min<std::int64_t>(limits.active, ranks);
  extras_ = limits.extras;
  // As large as the largest that is taken off it.
  if (reduction == Reduction::min && is_unsigned(type)) base_ = active_ + extras_;
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

std::int64_t Pattern::place(int rank, const Draw& drawn) const noexcept {
  const std::int64_t place = rank + drawn.shift;
  return place < ranks_ ? place : place - ranks_;
}

double Pattern::value(int rank, std::uint64_t index) const {
  const Draw drawn = draw(index);
  const std::int64_t at = place(rank, drawn);
  const std::int64_t own = at < active_ ? at + 1 : 0;
  const bool owns = rank == drawn.owner;
  switch (reduction_) {
    case Reduction::sum:
      return static_cast<double>(own + (owns ? drawn.extra : 0));
    case Reduction::max:
      return static_cast<double>(own + drawn.extra);
    case Reduction::min:
      return static_cast<double>(base_ - own - drawn.extra);
    case Reduction::prod:
      break;
  }
  return std::ldexp(owns ? static_cast<double>(2 * drawn.extra + 1) : 1.0, static_cast<int>(own));
}

double Pattern::result(std::uint64_t index) const {
  const std::int64_t extra = draw(index).extra;
  const std::int64_t triangle = active_ * (active_ + 1) / 2;
  switch (reduction_) {
    case Reduction::sum:
      return static_cast<double>(triangle + extra);
    case Reduction::max:
      return static_cast<double>(active_ + extra);
    case Reduction::min:
      return static_cast<double>(base_ - active_ - extra);
    case Reduction::prod:
      break;
  }
  return std::ldexp(static_cast<double>(2 * extra + 1), static_cast<int>(triangle));
}

double Pattern::without(int rank, std::uint64_t index) const {
  switch (reduction_) {
    case Reduction::sum:
      return result(index) - value(rank, index);
    case Reduction::prod:
      return result(index) / value(rank, index);
    case Reduction::max:
    case Reduction::min:
      break;
  }
  // The runner-up of the one rank that decides; -1 of max is +1 of min.
  const bool decides = place(rank, draw(index)) == active_ - 1;
  const double step = reduction_ == Reduction::max ? -1.0 : 1.0;
  return result(index) + (decides ? step : 0.0);
}

double Pattern::twice(int rank, std::uint64_t index) const {
  if (reduction_ == Reduction::sum) return result(index) + value(rank, index);
  if (reduction_ == Reduction::prod) return result(index) * value(rank, index);
  return result(index);
}

std::vector<std::byte> Pattern::contributions(int rank) const {
  return table(type_, [&](std::uint64_t i) { return value(rank, i); });
}

std::vector<std::byte> Pattern::results() const {
  return table(type_, [&](std::uint64_t i) { return result(i); });
}

Checker::Checker(const Pattern& pattern)
    : pattern_(&pattern), results_(pattern.results()), comparison_(pattern.type()) {}

void Checker::check(std::uint64_t first, std::uint64_t position, const std::byte* received, std::uint64_t count) {
  comparison_.compare(results_, first, Content::all_ranks, first, position, received, count);
}

std::string Checker::report() const {
  if (wrong() == 0) return "";
  const Deviation& first = comparison_.deviations().front();
  return fmt::format("{} of {} {}s are wrong; the first is element {}: expected {}, received {}{}", wrong(), checked(),
                     name(pattern_->reduction()), first.position, first.expected, first.received, culprit());
}

namespace {

/// The ranks for which `wrong_result(rank, index)` is what was received, of all deviations.
template <typename Result>
std::vector<int> suspects(const std::vector<Deviation>& deviations, const Pattern& pattern, Result wrong_result) {
  const DataType type = pattern.type();
  std::array<std::byte, sizeof(double)> element{};
  std::vector<int> found;
  for (int rank = 0; rank < pattern.ranks(); ++rank) {
    const bool explains = std::all_of(deviations.begin(), deviations.end(), [&](const Deviation& d) {
      const double result = wrong_result(rank, d.index);
      if (result == d.expected || !can_hold(type, result)) return false;
      encode(type, result, element.data());
      return decode(type, element.data()) == d.received;
    });
    if (explains) found.push_back(rank);
  }
  return found;
}

/// What the rank would have sent with that bit the other way round.
double flipped(const Pattern& pattern, int rank, std::uint64_t index, unsigned bit) {
  std::array<std::byte, sizeof(double)> element{};
  encode(pattern.type(), pattern.value(rank, index), element.data());
  // Little-endian: bit 0 is the least significant.
  element.at(bit / 8) ^= std::byte{1} << (bit % 8);
  return decode(pattern.type(), element.data());
}

}  // namespace

std::string Checker::culprit() const {
  const auto& deviations = comparison_.deviations();
  const auto told = [](const std::vector<int>& ranks, const std::string& what) -> std::optional<std::string> {
    if (ranks.empty() || ranks.size() > most_suspects) return std::nullopt;
    return fmt::format(", as if rank {} {}", fmt::join(ranks, " or "), what);
  };
  const auto left_out = [&](int rank, std::uint64_t index) { return pattern_->without(rank, index); };
  if (const auto text = told(suspects(deviations, *pattern_, left_out), "had been left out")) return *text;
  const auto doubled = [&](int rank, std::uint64_t index) { return pattern_->twice(rank, index); };
  if (const auto text = told(suspects(deviations, *pattern_, doubled), "had been counted twice")) return *text;
  // Of one element nearly any rank's bit can be the reason; of many, that of one rank.
  if (pattern_->reduction() != Reduction::sum) return "";
  const auto bits = static_cast<unsigned>(8 * size_of(pattern_->type()));
  for (unsigned bit = 0; bit < bits; ++bit) {
    const auto result = [&](int rank, std::uint64_t index) {
      return left_out(rank, index) + flipped(*pattern_, rank, index, bit);
    };
    const std::string what = fmt::format("had sent bit {} the other way round", bit);
    if (const auto text = told(suspects(deviations, *pattern_, result), what)) return *text;
  }
  return "";
}

}  // namespace rackproof::allreduce
