// Vectors whose reduction over ranks is known without any exchange, and exact in every type, in any order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/backends/reduction.hpp"
#include "common/core/data_type.hpp"
#include "suites/allreduce/content.hpp"
#include "suites/allreduce/elements.hpp"

namespace rackproof::allreduce {

/// What each rank contributes at each index: a whole number that depends on rank, index and seed. Of n ranks the place
/// p of a rank at index i is (rank + c_i) mod n; c_i, an owner o_i and an extra e_i are drawn from a hash of the index.
///
/// sum: the w ranks with p < w contribute p + 1, the others 0, and o_i adds e_i. The sum is w (w + 1) / 2 + e_i. No
///   number is negative, so no partial sum, whatever the order and the grouping, exceeds that. It is at most 2^k, up to
///   which every whole number is a value of the type: 2^3 for f8e5m2 (w <= 3, e < 3), 2^4 for f8e4m3 (w <= 4, e < 7),
///   2^8 for bf16 (w <= 15, e < 128), 2^11 for f16 (w <= 44, e < 1024), 2^24 for f32 (w <= 4095, e < 2^20), and below
///   2^31 for f64 and the whole numbers (w <= 46340, e < 2^20).
/// max: e_i, and p + 1 more where p < w: w + e_i, of the one rank with p = w - 1. f8e5m2: w <= 4, e < 4; f8e4m3: 8, 8;
///   i8 and u8: 63, 64; bf16: 127, 128; f16: 1023, 1024.
/// min: the same, negative; of types without a sign below the largest w + e.
/// prod: 2^(p + 1) where p < w, else 1, and o_i multiplies by the odd number 2 e_i + 1: 2^(w (w + 1) / 2) (2 e_i + 1).
///   Every partial product is a power of two times an odd number that has the type's digits: below 64, f8e4m3 16,
///   f8e5m2
///   8. w <= 14 (i64 and u64: 10, i32 and u32: 6, f16 and f8e5m2: 4, f8e4m3: 2), so at most 2^111 (2^61, 2^27, 2^16,
///   2^13, 2^7).
///
/// Up to w ranks each matter at every index; with more, other ranks at other indices. Up to 2^20 ranks.
class Pattern {
 public:
  static constexpr int most_ranks = 1 << 20;

  /// Throws Error (usage) for more than `most_ranks`, Error (internal) for what can_reduce() refuses.
  Pattern(DataType type, Reduction reduction, int ranks, std::uint64_t seed);

  [[nodiscard]] double value(int rank, std::uint64_t index) const;
  [[nodiscard]] double result(std::uint64_t index) const;
  /// The result of all ranks but one; of a rank counted twice.
  [[nodiscard]] double without(int rank, std::uint64_t index) const;
  [[nodiscard]] double twice(int rank, std::uint64_t index) const;
  [[nodiscard]] int ranks() const noexcept { return ranks_; }
  [[nodiscard]] DataType type() const noexcept { return type_; }
  [[nodiscard]] Reduction reduction() const noexcept { return reduction_; }

  /// One period of a rank's contributions, or of the results, as elements of the type.
  [[nodiscard]] std::vector<std::byte> contributions(int rank) const;
  [[nodiscard]] std::vector<std::byte> results() const;

 private:
  struct Draw {
    std::int64_t shift;
    std::int64_t owner;
    std::int64_t extra;
  };
  [[nodiscard]] Draw draw(std::uint64_t index) const noexcept;
  [[nodiscard]] std::int64_t place(int rank, const Draw& drawn) const noexcept;

  DataType type_;
  Reduction reduction_;
  int ranks_;
  std::uint64_t stream_;
  std::int64_t active_ = 0;  // w
  std::int64_t extras_ = 0;  // e is below
  std::int64_t base_ = 0;    // of min, what is taken off
};

/// Compares what was received with the results, bit by bit.
class Checker {
 public:
  /// `pattern` must outlive the object.
  explicit Checker(const Pattern& pattern);

  /// Elements [first, first + count) of the pattern; `position` is where they lie in the message, for the report.
  void check(std::uint64_t first, std::uint64_t position, const std::byte* received, std::uint64_t count);

  [[nodiscard]] std::uint64_t checked() const noexcept { return comparison_.checked(); }
  [[nodiscard]] std::uint64_t wrong() const noexcept { return comparison_.wrong(); }
  [[nodiscard]] double error() const noexcept { return comparison_.error(); }
  /// What is wrong, in one line: the first wrong element, and the rank that explains all wrong elements (of the first
  /// 256) if it was left out, or counted twice, or if one and the same bit of all that it sent was wrong. Empty where
  /// nothing is wrong.
  [[nodiscard]] std::string report() const;

 private:
  [[nodiscard]] std::string culprit() const;

  const Pattern* pattern_;
  std::vector<std::byte> results_;
  Comparison comparison_;
};

}  // namespace rackproof::allreduce
