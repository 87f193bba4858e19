// What a rank sends: bytes that tell their sender and their place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace rackproof::links {

/// Every rank has an endless text of its own, in words of 8 bytes, drawn from seed and rank; it repeats after `period`
/// bytes. A message is a part of it.
inline constexpr std::uint64_t period = std::uint64_t{1} << 16U;

/// Messages lie at multiples of a cache line.
inline constexpr std::uint64_t line = 64;

/// One period of the text of `rank`.
[[nodiscard]] std::vector<std::byte> text_of(int rank, std::uint64_t seed);

/// Compares messages with what their sender must have sent, bit by bit.
class Checker {
 public:
  /// ranks: how many there are, any of which may have sent what came wrong.
  Checker(int sender, int ranks, std::uint64_t seed);

  /// `bytes` of the sender's text from `position` on were expected; both are multiples of 8. `offset` is where they lie
  /// in the message, for the report.
  void check(std::uint64_t position, std::uint64_t offset, const std::byte* received, std::uint64_t bytes);

  [[nodiscard]] std::uint64_t checked() const noexcept { return checked_; }
  [[nodiscard]] std::uint64_t wrong() const noexcept { return wrong_; }
  /// 0 where all is right, otherwise 1 + the number of wrong words.
  [[nodiscard]] double error() const noexcept { return wrong_ == 0 ? 0.0 : 1.0 + static_cast<double>(wrong_); }
  /// What is wrong, in one line: from whom it should have come, the first wrong word, and whose text it is if it is
  /// one. Empty where nothing is.
  [[nodiscard]] std::string report() const;

 private:
  int sender_;
  int ranks_;
  std::uint64_t seed_;
  std::vector<std::byte> text_;
  std::uint64_t checked_ = 0;  // words
  std::uint64_t wrong_ = 0;
  std::uint64_t first_offset_ = 0;
  std::uint64_t first_position_ = 0;
  std::uint64_t first_received_ = 0;
};

}  // namespace rackproof::links
