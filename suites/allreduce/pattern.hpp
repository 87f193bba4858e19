// Vectors whose sum over ranks is known without any exchange, and exact in every type, in any order of adding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/core/data_type.hpp"

namespace rackproof::allreduce {

/// What each rank contributes at each index: a whole number >= 0 that depends on rank, index and seed.
///
/// Of n ranks the w with the lowest (rank + c_i) mod n contribute 1 to w, every one another number, and one rank o_i
/// adds e_i to that; c_i, o_i and e_i are drawn from a hash of the index. The sum is w (w + 1) / 2 + e_i. No number is
/// negative, so no partial sum, whatever the order and the grouping of ranks, exceeds that. It is at most 2^p, up to
/// which every whole number is a value of the type: 2^8 for bf16 (w <= 15, e < 128), 2^24 for f32 (w <= 4095,
/// e < 2^20), and below 2^31 for i32 and f64 (w <= 46340, e < 2^20). Up to w ranks each contribute at every index; with
/// more, other ranks take part at other indices. Holds for up to 2^20 ranks.
class Pattern {
 public:
  /// The numbers repeat after this many elements, a prime: data that lands at a wrong place differs, unless it is off
  /// by a multiple of it.
  static constexpr std::uint64_t period = 131071;
  static constexpr int most_ranks = 1 << 20;

  /// Throws Error (usage) for more than `most_ranks`.
  Pattern(DataType type, int ranks, std::uint64_t seed);

  [[nodiscard]] std::int64_t value(int rank, std::uint64_t index) const noexcept;
  [[nodiscard]] std::int64_t sum(std::uint64_t index) const noexcept;
  [[nodiscard]] int ranks() const noexcept { return ranks_; }
  [[nodiscard]] DataType type() const noexcept { return type_; }

  /// One period of a rank's contributions, or of the sums, as elements of the type.
  [[nodiscard]] std::vector<std::byte> contributions(int rank) const;
  [[nodiscard]] std::vector<std::byte> sums() const;

 private:
  struct Draw {
    std::int64_t shift;
    std::int64_t owner;
    std::int64_t extra;
  };
  [[nodiscard]] Draw draw(std::uint64_t index) const noexcept;

  DataType type_;
  int ranks_;
  std::uint64_t stream_;
  std::int64_t active_ = 0;  // w
  std::int64_t extras_ = 0;  // e is below
};

/// Calls action(offset, place, count) for the pieces of elements [first, first + count) that lie together in a table of
/// one period: piece `offset` of the vector is at element `place` of the table.
template <typename Action>
void in_periods(std::uint64_t first, std::uint64_t count, Action action) {
  for (std::uint64_t offset = 0; offset < count;) {
    const std::uint64_t place = (first + offset) % Pattern::period;
    const std::uint64_t piece = count - offset < Pattern::period - place ? count - offset : Pattern::period - place;
    action(offset, place, piece);
    offset += piece;
  }
}

/// Compares what was received with the sums, bit by bit: NaN and -0 are as wrong as any other value.
class Checker {
 public:
  /// `pattern` must outlive the object.
  explicit Checker(const Pattern& pattern);

  /// Elements [first, first + count) of the pattern; `position` is where they lie in the message, for the report.
  void check(std::uint64_t first, std::uint64_t position, const std::byte* received, std::uint64_t count);

  [[nodiscard]] std::uint64_t checked() const noexcept { return checked_; }
  [[nodiscard]] std::uint64_t wrong() const noexcept { return wrong_; }
  /// 0 where all is right; otherwise 1 + the largest |received - expected|, infinite where one is no number.
  [[nodiscard]] double error() const noexcept { return error_; }
  /// What is wrong, in one line: the first wrong element, and the rank that, left out or counted twice, explains all
  /// wrong elements (of the first 256). Empty where nothing is.
  [[nodiscard]] std::string report() const;

 private:
  struct Deviation {
    std::uint64_t index;     // in the pattern
    std::uint64_t position;  // in the message
    double expected;
    double received;
  };
  [[nodiscard]] std::string culprit() const;

  const Pattern* pattern_;
  std::vector<std::byte> sums_;
  std::uint64_t checked_ = 0;
  std::uint64_t wrong_ = 0;
  double error_ = 0.0;
  std::vector<Deviation> deviations_;
};

}  // namespace rackproof::allreduce
