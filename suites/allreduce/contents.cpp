#include "suites/allreduce/contents.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <span>
#include <string>
#include <vector>

#include "common/core/bfloat16.hpp"
#include "common/core/error.hpp"
#include "common/core/random.hpp"
#include "suites/allreduce/pattern.hpp"

namespace rackproof::allreduce {
namespace {

/// "mark" and "norm" in ASCII: streams of random numbers of their own.
constexpr std::uint64_t mark_purpose = 0x6d61726b;
constexpr std::uint64_t normal_purpose = 0x6e6f726d;

/// All ranks read one table, each from another place on: the period is a prime, so the places differ for as many ranks.
constexpr std::uint64_t places_between_ranks = 40503;
constexpr auto most_moving_ranks = static_cast<int>(period);

std::uint64_t place_of(int rank) { return static_cast<std::uint64_t>(rank) * places_between_ranks % period; }

std::vector<std::byte> from_place(const std::vector<std::byte>& table, std::uint64_t place, std::size_t size) {
  std::vector<std::byte> turned = table;
  std::rotate(turned.begin(), turned.begin() + static_cast<std::ptrdiff_t>(place * size), turned.end());
  return turned;
}

class ReducedContent final : public Content {
 public:
  ReducedContent(DataType type, Reduction reduction, int ranks, std::uint64_t seed)
      : pattern_(type, reduction, ranks, seed), checker_(pattern_) {}

  [[nodiscard]] std::vector<std::byte> contributions(int rank) const override { return pattern_.contributions(rank); }
  void check(int /*source*/, std::uint64_t index, std::uint64_t position, const std::byte* received,
             std::uint64_t count) override {
    checker_.check(index, position, received, count);
  }
  [[nodiscard]] double error() const override { return checker_.error(); }
  [[nodiscard]] std::string report() const override { return checker_.report(); }

 private:
  Pattern pattern_;
  Checker checker_;
};

class MovedContent final : public Content {
 public:
  MovedContent(DataType type, int ranks, std::uint64_t seed)
      : type_(type), ranks_(ranks), table_(marks(type, seed)), comparison_(type) {
    if (ranks > most_moving_ranks) {
      throw usage_error(
          fmt::format("moved data can be checked on up to {} ranks, not on {}", most_moving_ranks, ranks));
    }
  }

  [[nodiscard]] std::vector<std::byte> contributions(int rank) const override {
    return from_place(table_, place_of(rank), size_of(type_));
  }
  void check(int source, std::uint64_t index, std::uint64_t position, const std::byte* received,
             std::uint64_t count) override {
    comparison_.compare(table_, index + place_of(source), source, index, position, received, count);
  }
  [[nodiscard]] double error() const override { return comparison_.error(); }
  [[nodiscard]] std::string report() const override {
    if (comparison_.wrong() == 0) return "";
    const Deviation& first = comparison_.deviations().front();
    return fmt::format("{} of {} elements are wrong; the first is element {}, of rank {}: expected {}, received {}{}",
                       comparison_.wrong(), comparison_.checked(), first.position, first.source, first.expected,
                       first.received, instead());
  }

 private:
  /// Whole numbers >= 0 that the type has, as many as it has bits for, but 0xff...: that is what nobody wrote. Of f8,
  /// which has few whole numbers, all numbers >= 0.
  static std::vector<std::byte> marks(DataType type, std::uint64_t seed) {
    const std::uint64_t stream = random_stream(seed, mark_purpose);
    if (type == DataType::f8e4m3 || type == DataType::f8e5m2) {
      constexpr std::uint64_t finite = 0x7c;  // bit patterns from 0 on that are neither infinite nor NaN in both
      return table(type, [&](std::uint64_t i) {
        const auto pattern = static_cast<std::byte>(random_bits(stream, i) % finite);
        return decode(type, &pattern);
      });
    }
    const unsigned bits = mark_bits(type);
    return table(type, [&](std::uint64_t i) { return static_cast<double>(random_bits(stream, i) >> (64U - bits)); });
  }

  static unsigned mark_bits(DataType type) {
    switch (type) {
      case DataType::i8:
      case DataType::u8:
        return 7;
      case DataType::bf16:
        return 8;
      case DataType::f16:
        return 11;
      case DataType::f32:
        return 24;
      default:
        return 31;
    }
  }

  /// The rank whose data all wrong elements are.
  [[nodiscard]] std::string instead() const {
    const std::size_t size = size_of(type_);
    std::vector<int> suspects;
    for (int rank = 0; rank < ranks_; ++rank) {
      const bool explains =
          std::all_of(comparison_.deviations().begin(), comparison_.deviations().end(), [&](const Deviation& d) {
            const std::uint64_t at = (d.index + place_of(rank)) % period;
            return rank != d.source && decode(type_, table_.data() + at * size) == d.received;
          });
      if (explains) suspects.push_back(rank);
    }
    if (suspects.size() != 1) return "";
    return fmt::format(", as if rank {} had sent it", suspects.front());
  }

  DataType type_;
  int ranks_;
  std::vector<std::byte> table_;
  Comparison comparison_;
};

double unit_roundoff(DataType type) {
  if (type == DataType::f64) return 0x1.0p-53;
  return type == DataType::f32 ? 0x1.0p-24 : 0x1.0p-8;
}

template <typename Element, typename Scale>
std::vector<std::byte> normals(std::uint64_t stream, Scale scale) {
  std::vector<Element> values(period);
  fill_normal(std::span<Element>(values), stream, 0, scale);
  const auto bytes = std::as_bytes(std::span<const Element>(values));
  return {bytes.begin(), bytes.end()};
}

std::vector<std::byte> normals(DataType type, std::uint64_t stream) {
  // fill_normal() draws among f32 numbers, whose sums are exact in f64: a factor fills the bits below.
  if (type == DataType::f64) return normals<double>(stream, std::numbers::pi / 3.0);
  if (type == DataType::f32) return normals<float>(stream, 1.0F);
  if (type == DataType::bf16) return normals<bf16_bits>(stream, 1.0F);
  throw Error(ExitCode::internal, "allreduce", 0, "", fmt::format("there are no normals of {}", name(type)));
}

class NormalContent final : public Content {
 public:
  NormalContent(DataType type, int ranks, std::uint64_t seed)
      : type_(type), table_(normals(type, random_stream(seed, normal_purpose))), sums_(period), bounds_(period) {
    std::vector<double> values(period);
    for (std::uint64_t i = 0; i < period; ++i) values[i] = decode(type, table_.data() + i * size_of(type));
    const double steps = static_cast<double>(ranks - 1) * unit_roundoff(type);
    const double growth = steps / (1.0 - steps);
    for (std::uint64_t i = 0; i < period; ++i) {
      long double sum = 0.0L;
      double magnitude = 0.0;
      for (int rank = 0; rank < ranks; ++rank) {
        const double value = values[(i + place_of(rank)) % period];
        sum += value;
        magnitude += std::abs(value);
      }
      sums_[i] = sum;
      bounds_[i] = growth * magnitude;
    }
  }

  [[nodiscard]] std::vector<std::byte> contributions(int rank) const override {
    return from_place(table_, place_of(rank), size_of(type_));
  }
  void check(int /*source*/, std::uint64_t index, std::uint64_t position, const std::byte* received,
             std::uint64_t count) override {
    const std::size_t size = size_of(type_);
    checked_ += count;
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t at = (index + i) % period;
      const double got = decode(type_, received + i * size);
      const auto distance = static_cast<double>(std::abs(static_cast<long double>(got) - sums_[at]));
      double error = distance / bounds_[at];
      if (std::isnan(error)) error = distance == 0.0 ? 0.0 : std::numeric_limits<double>::infinity();
      error_ = std::max(error_, error);
      if (error <= 1.0) continue;
      if (wrong_ == 0) first_ = {index + i, position + i, all_ranks, static_cast<double>(sums_[at]), got};
      ++wrong_;
    }
  }
  [[nodiscard]] double error() const override { return error_; }
  [[nodiscard]] std::string report() const override {
    if (wrong_ == 0) return "";
    return fmt::format(
        "{} of {} sums are further off than any order of adding explains; the first is element {}: expected {}, "
        "received {}",
        wrong_, checked_, first_.position, first_.expected, first_.received);
  }

 private:
  DataType type_;
  std::vector<std::byte> table_;
  std::vector<long double> sums_;
  std::vector<double> bounds_;
  std::uint64_t checked_ = 0;
  std::uint64_t wrong_ = 0;
  double error_ = 0.0;
  Deviation first_{};
};

}  // namespace

std::unique_ptr<Content> reduced_content(DataType type, Reduction reduction, int ranks, std::uint64_t seed) {
  return std::make_unique<ReducedContent>(type, reduction, ranks, seed);
}

std::unique_ptr<Content> moved_content(DataType type, int ranks, std::uint64_t seed) {
  return std::make_unique<MovedContent>(type, ranks, seed);
}

std::unique_ptr<Content> normal_content(DataType type, int ranks, std::uint64_t seed) {
  return std::make_unique<NormalContent>(type, ranks, seed);
}

int most_normal_ranks(DataType type) { return type == DataType::bf16 ? 129 : most_moving_ranks; }

}  // namespace rackproof::allreduce
