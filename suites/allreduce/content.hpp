// What the messages of a case hold, and the check of what came of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/backends/reduction.hpp"
#include "common/core/data_type.hpp"
#include "suites/allreduce/elements.hpp"

namespace rackproof::allreduce {

/// A wrong element.
struct Deviation {
  std::uint64_t index;     ///< in the content
  std::uint64_t position;  ///< in the message
  int source;              ///< the rank whose data it is; -1: of all
  double expected;
  double received;
};

/// Contents are known at every index without any exchange, and differ from rank to rank and from seed to seed.
class Content {
 public:
  static constexpr int all_ranks = -1;

  Content() = default;
  Content(const Content&) = delete;
  Content& operator=(const Content&) = delete;
  virtual ~Content() = default;

  /// One period of what `rank` sends.
  [[nodiscard]] virtual std::vector<std::byte> contributions(int rank) const = 0;
  /// Compares `count` received elements with what belongs at [index, index + count) of the content of `source`, or of
  /// the reduction over all_ranks. `position` is where they lie in the message, for the report.
  virtual void check(int source, std::uint64_t index, std::uint64_t position, const std::byte* received,
                     std::uint64_t count) = 0;
  /// Above 1 where something is wrong, infinite where something is no number, 0 where all is exactly right.
  [[nodiscard]] virtual double error() const = 0;
  /// What is wrong, in one line; empty where nothing is.
  [[nodiscard]] virtual std::string report() const = 0;
};

/// Compares elements bit by bit with those of a table: NaN and -0 are as wrong as any other value.
class Comparison {
 public:
  explicit Comparison(DataType type) : type_(type) {}

  /// Element i of `received` with element (`place` + i) mod period of `wanted`. The rest is for the deviations: what
  /// the first element of `received` is.
  void compare(const std::vector<std::byte>& wanted, std::uint64_t place, int source, std::uint64_t index,
               std::uint64_t position, const std::byte* received, std::uint64_t count);

  [[nodiscard]] std::uint64_t checked() const noexcept { return checked_; }
  [[nodiscard]] std::uint64_t wrong() const noexcept { return wrong_; }
  /// 0, or 1 + the largest |received - expected|, infinite where one is no number.
  [[nodiscard]] double error() const noexcept { return error_; }
  /// The first 256.
  [[nodiscard]] const std::vector<Deviation>& deviations() const noexcept { return deviations_; }

 private:
  DataType type_;
  std::uint64_t checked_ = 0;
  std::uint64_t wrong_ = 0;
  double error_ = 0.0;
  std::vector<Deviation> deviations_;
};

}  // namespace rackproof::allreduce
