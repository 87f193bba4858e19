// no threads
// Freivalds' check: what passes, what is seen.
#include "suites/gemm/freivalds.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "common/core/bfloat16.hpp"
#include "common/core/quantised.hpp"
#include "common/core/random.hpp"
#include "common/core/small_floats.hpp"

namespace rackproof::gemm {
namespace {

/// Operands as the suite makes them, and C by the textbook in the accumulation's type.
template <typename In, typename Out>
struct Problem {
  explicit Problem(Shape s, std::uint64_t seed = 1) : shape(s) {
    const float scale = std::is_same_v<In, std::int8_t> ? 32.0F : 1.0F;
    a.resize(static_cast<std::size_t>(s.m * s.k));
    b.resize(static_cast<std::size_t>(s.k * s.n));
    c.resize(static_cast<std::size_t>(s.m * s.n));
    fill_normal(std::span<In>(a), random_stream(seed, 1), 0, scale);
    fill_normal(std::span<In>(b), random_stream(seed, 2), 0, scale);
    using Sum = std::conditional_t<std::is_same_v<In, double>, double,
                                   std::conditional_t<std::is_same_v<In, std::int8_t>, std::int32_t, float>>;
    std::vector<Sum> row(static_cast<std::size_t>(s.n));
    for (std::int64_t i = 0; i < s.m; ++i) {
      std::fill(row.begin(), row.end(), Sum{0});
      for (std::int64_t l = 0; l < s.k; ++l) {
        const Sum left = value<Sum>(a[static_cast<std::size_t>(i * s.k + l)]);
        for (std::int64_t j = 0; j < s.n; ++j) {
          row[static_cast<std::size_t>(j)] += left * value<Sum>(b[static_cast<std::size_t>(l * s.n + j)]);
        }
      }
      for (std::int64_t j = 0; j < s.n; ++j) {
        auto& element = c[static_cast<std::size_t>(i * s.n + j)];
        if constexpr (std::is_same_v<Out, bf16_bits>) {
          element = to_bf16(row[static_cast<std::size_t>(j)]);
        } else {
          element = static_cast<Out>(row[static_cast<std::size_t>(j)]);
        }
      }
    }
  }

  template <typename Sum, typename T>
  static Sum value(T element) {
    if constexpr (std::is_same_v<T, bf16_bits>) {
      return from_bf16(element);
    } else {
      return static_cast<Sum>(element);
    }
  }

  [[nodiscard]] FreivaldsResult check(std::uint64_t seed = 99) const {
    return freivalds<In, Out>(shape, rows_of(std::span<const In>(a), shape.k), rows_of(std::span<const In>(b), shape.n),
                              std::span<const Out>(c), seed);
  }

  Shape shape;
  std::vector<In> a, b;
  std::vector<Out> c;
};

const std::vector<Shape> shapes{{1, 1, 1},    {1, 700, 64},  {64, 1, 64},    {7, 5, 3},
                                {64, 64, 64}, {33, 1100, 2}, {16, 40, 3000}, {128, 513, 333}};

template <typename In, typename Out>
void sound_products_stay_well_below_the_tolerance(const char* what) {
  for (const Shape& shape : shapes) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      const FreivaldsResult result = Problem<In, Out>(shape, seed).check(seed + 100);
      EXPECT_LT(result.error, 0.6) << what << " " << shape.m << " " << shape.n << " " << shape.k << " seed " << seed;
    }
  }
}

TEST(Freivalds, sound_products_stay_well_below_the_tolerance) {
  sound_products_stay_well_below_the_tolerance<double, double>("f64");
  sound_products_stay_well_below_the_tolerance<float, float>("f32");
  sound_products_stay_well_below_the_tolerance<bf16_bits, float>("bf16 to f32");
  sound_products_stay_well_below_the_tolerance<bf16_bits, bf16_bits>("bf16 to bf16");
}

TEST(Freivalds, integers_are_exact) {
  for (const Shape& shape : shapes) EXPECT_EQ((Problem<std::int8_t, std::int32_t>(shape).check().error), 0.0);
  Problem<std::int8_t, std::int32_t> problem({64, 64, 64});
  for (const std::size_t at : {0, 1234, 64 * 64 - 1}) {
    problem.c[at] += 1;
    EXPECT_GT(problem.check().error, 1.0) << at;
    EXPECT_EQ(problem.check().row, static_cast<std::int64_t>(at / 64));
    problem.c[at] -= 1;
  }
}

TEST(Freivalds, integers_at_the_ends_of_their_range_do_not_overflow_the_check) {
  Problem<std::int8_t, std::int32_t> problem({2, 600, 1000});
  std::fill(problem.a.begin(), problem.a.end(), std::int8_t{127});
  std::fill(problem.b.begin(), problem.b.end(), std::int8_t{-127});
  std::fill(problem.c.begin(), problem.c.end(), 1000 * 127 * -127);
  EXPECT_EQ(problem.check().error, 0.0);
  problem.c[600] = std::numeric_limits<std::int32_t>::max();
  EXPECT_GT(problem.check().error, 1.0);
  EXPECT_EQ(problem.check().row, 1);
}

/// Every bit of f32 at and above the last one of bf16, flipped in elements all over C.
TEST(Freivalds, any_flipped_bit_that_bf16_can_hold_is_seen_in_a_typical_element) {
  Problem<bf16_bits, float> problem({96, 600, 256});
  const double typical = std::sqrt(256.0);
  int tried = 0;
  for (std::uint64_t trial = 0; trial < 400; ++trial) {
    const auto at = static_cast<std::size_t>(random_bits(5, trial) % problem.c.size());
    if (std::abs(problem.c[at]) < typical) continue;
    const float before = problem.c[at];
    const unsigned bit = 16 + static_cast<unsigned>(trial % 16);
    problem.c[at] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(before) ^ (1U << bit));
    const FreivaldsResult result = problem.check(trial);
    EXPECT_FALSE(std::isfinite(result.error) && result.error <= 1.0) << "bit " << bit << " at " << at;
    EXPECT_EQ(result.row, static_cast<std::int64_t>(at / 600));
    EXPECT_EQ(result.first_column, at % 600 < 512 ? 0 : 512);
    problem.c[at] = before;
    ++tried;
  }
  EXPECT_GT(tried, 50);
}

TEST(Freivalds, the_stated_detection_limit_holds) {
  const Shape shape{32, 512, 512};
  Problem<float, float> problem(shape);
  const double typical = std::sqrt(512.0);
  const double limit = 12.0 * 0x1p-24 * std::sqrt(512.0 * 512.0) * typical;
  for (std::uint64_t trial = 0; trial < 100; ++trial) {
    const auto at = static_cast<std::size_t>(random_bits(6, trial) % problem.c.size());
    const float before = problem.c[at];
    // A row may be larger than the typical one: a tenth above.
    problem.c[at] += static_cast<float>((trial % 2 == 0 ? 1.1 : -1.1) * limit);
    EXPECT_GT(problem.check(trial).error, 1.0) << at;
    problem.c[at] = before;
  }
}

TEST(Freivalds, a_low_bit_of_f64_is_seen) {
  Problem<double, double> problem({64, 64, 64});
  // 12 x 2^-53 x sqrt(64 x 64) of a typical element is 10 bits above the last.
  double& element = problem.c[1000];
  element += std::ldexp(std::sqrt(64.0), -53 + 11);
  EXPECT_GT(problem.check().error, 1.0);
}

TEST(Freivalds, elements_that_were_all_rounded_to_bf16_are_seen) {
  Problem<bf16_bits, float> problem({64, 512, 256});
  for (float& element : problem.c) element = from_bf16(to_bf16(element));
  EXPECT_GT(problem.check().error, 1.0);
}

TEST(Freivalds, f32_products_of_operands_that_were_rounded_to_tf32_are_seen) {
  Problem<float, float> problem({16, 64, 128});
  Problem<float, float> rounded = problem;
  for (auto* operand : {&rounded.a, &rounded.b}) {
    for (float& value : *operand) value = to_tf32(value);
  }
  for (std::size_t i = 0; i < problem.c.size(); ++i) {
    double sum = 0.0;
    for (std::size_t l = 0; l < 128; ++l) {
      sum += static_cast<double>(rounded.a[i / 64 * 128 + l]) * static_cast<double>(rounded.b[l * 64 + i % 64]);
    }
    problem.c[i] = rounded.c[i] = static_cast<float>(sum);
  }
  EXPECT_LT(rounded.check().error, 0.6);
  EXPECT_GT(problem.check().error, 100.0);
}

TEST(Freivalds, nan_and_infinity_anywhere_fail) {
  for (const std::size_t at : {std::size_t{0}, std::size_t{64 * 64 - 1}}) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity()}) {
      Problem<float, float> problem({64, 64, 64});
      problem.c[at] = bad;
      EXPECT_FALSE(std::isfinite(problem.check().error)) << at;
    }
  }
  Problem<float, float> problem({64, 64, 64});
  problem.c[5] = std::numeric_limits<float>::infinity();
  problem.c[6] = std::numeric_limits<float>::infinity();
  EXPECT_FALSE(std::isfinite(problem.check().error));
}

TEST(Freivalds, a_row_left_out_and_rows_swapped_are_seen) {
  Problem<float, float> problem({64, 64, 64});
  for (std::size_t j = 0; j < 64; ++j) problem.c[5 * 64 + j] = 0.0F;
  EXPECT_GT(problem.check().error, 1.0);
  Problem<float, float> swapped({64, 64, 64});
  for (std::size_t j = 0; j < 64; ++j) std::swap(swapped.c[5 * 64 + j], swapped.c[6 * 64 + j]);
  EXPECT_GT(swapped.check().error, 1.0);
}

TEST(Freivalds, zero_operands_allow_nothing_but_zero) {
  Problem<float, float> problem({8, 8, 8});
  std::fill(problem.a.begin(), problem.a.end(), 0.0F);
  std::fill(problem.c.begin(), problem.c.end(), 0.0F);
  EXPECT_EQ(problem.check().error, 0.0);
  problem.c[3] = 1e-30F;
  EXPECT_FALSE(problem.check().error <= 1.0);
}

/// An error of opposite sign in two columns of one row vanishes for half of all x: three of them rarely miss it.
TEST(Freivalds, errors_that_cancel_for_one_vector_are_seen_by_another) {
  Problem<float, float> problem({64, 64, 64});
  problem.c[10] += 1.0F;
  problem.c[11] -= 1.0F;
  int seen = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) seen += problem.check(seed).error > 1.0 ? 1 : 0;
  // 7/8 of 200 is 175, with a standard deviation of 4.7.
  EXPECT_GE(seen, 150);
}

/// The sums of NVIDIA's matrix units as published (common/backends/cuda/matmul_rules.cpp): products exact, aligned to
/// the largest addend, truncated, added, truncated.
struct MatrixUnit {
  const char* name;
  Scaling scaling;
  int aligned_bits;  ///< of fraction, below the largest addend
  int kept_bits;     ///< of fraction, of the sum
  Accumulation accumulation;
};

double truncated(double value, double unit) { return std::trunc(value / unit) * unit; }

double add_step(const MatrixUnit& unit, double sum, std::span<const double> products) {
  int largest = sum == 0.0 ? -1000 : std::ilogb(sum);
  for (const double product : products) {
    if (product != 0.0) largest = std::max(largest, std::ilogb(product));
  }
  const double grain = std::ldexp(1.0, largest - unit.aligned_bits);
  double result = truncated(sum, grain);
  for (const double product : products) result += truncated(product, grain);
  return result == 0.0 ? 0.0 : truncated(result, std::ldexp(1.0, std::ilogb(result) - unit.kept_bits));
}

/// Operands for a unit, quantised or rounded to bf16, and C as the unit computes it.
struct UnitProblem {
  UnitProblem(const MatrixUnit& which, Shape s, std::uint64_t seed) : unit(which), shape(s) {
    a = operand(random_stream(seed, 1), Side::left, s.m);
    b = operand(random_stream(seed, 2), Side::right, s.n);
    std::vector<double> products(static_cast<std::size_t>(unit.accumulation.products));
    const int interval = unit.accumulation.interval > 0 ? unit.accumulation.interval : 1 << 30;
    c.resize(static_cast<std::size_t>(s.m * s.n));
    for (std::int64_t i = 0; i < s.m; ++i) {
      for (std::int64_t j = 0; j < s.n; ++j) {
        float total = 0.0F;
        double sum = 0.0;
        for (std::int64_t l = 0; l < s.k; l += unit.accumulation.products) {
          const std::int64_t count = std::min<std::int64_t>(unit.accumulation.products, s.k - l);
          for (std::int64_t p = 0; p < count; ++p) {
            products[static_cast<std::size_t>(p)] = static_cast<double>(a[static_cast<std::size_t>(i * s.k + l + p)]) *
                                                    static_cast<double>(b[static_cast<std::size_t>(j * s.k + l + p)]);
          }
          sum = add_step(unit, sum, std::span(products).first(static_cast<std::size_t>(count)));
          if ((l + count) % interval == 0) {
            total += static_cast<float>(sum);
            sum = 0.0;
          }
        }
        c[static_cast<std::size_t>(i * s.n + j)] = total + static_cast<float>(sum);
      }
    }
  }

  [[nodiscard]] std::vector<float> operand(std::uint64_t stream, Side side, std::int64_t rows) const {
    std::vector<float> values(static_cast<std::size_t>(rows * shape.k));
    fill_normal(std::span<float>(values), stream, 0, 1.0F);
    if (unit.scaling == Scaling::none) {
      for (float& value : values) value = from_bf16(to_bf16(value));
      return values;
    }
    Quantised matrix = make_quantised(unit.scaling, side, rows, shape.k, 3.8F);
    quantise_rows(matrix, 0, values);
    for (std::int64_t row = 0; row < rows; ++row) {
      matrix.read(
          row, 0,
          std::span(values).subspan(static_cast<std::size_t>(row * shape.k), static_cast<std::size_t>(shape.k)));
    }
    return values;
  }

  [[nodiscard]] FreivaldsResult check(std::uint64_t seed) const {
    const Rows<float> columns = [this](std::int64_t row, std::int64_t first, std::int64_t count,
                                       std::vector<float>& scratch) {
      scratch.resize(static_cast<std::size_t>(count));
      for (std::int64_t j = 0; j < count; ++j) {
        scratch[static_cast<std::size_t>(j)] = b[static_cast<std::size_t>((first + j) * shape.k + row)];
      }
      return std::span<const float>(scratch);
    };
    return freivalds<float, float>(shape, rows_of(std::span<const float>(a), shape.k), columns, c, seed,
                                   unit.accumulation);
  }

  MatrixUnit unit;
  Shape shape;
  std::vector<float> a, b, c;  ///< b: B^T
};

const std::vector<MatrixUnit>& matrix_units() {
  static const std::vector<MatrixUnit> all{{"bf16 8.0", Scaling::none, 24, 23, {0x1p-23, 8, 0}},
                                           {"bf16 9.0", Scaling::none, 25, 23, {0x1p-23, 16, 0}},
                                           {"tf32 8.0", Scaling::none, 24, 23, {0x1p-23, 4, 0}},
                                           {"f8 8.9", Scaling::tensor, 13, 13, {0x1p-13, 16, 0}},
                                           {"f8 9.0", Scaling::tensor, 13, 13, {0x1p-13, 32, 0}},
                                           {"f8-block 9.0", Scaling::block, 13, 13, {0x1p-13, 32, 128}},
                                           {"mxf8 10.0", Scaling::mx, 25, 23, {0x1p-23, 32, 0}},
                                           {"nvf4 10.0", Scaling::nv, 35, 23, {0x1p-23, 64, 0}}};
  return all;
}

TEST(Freivalds, sound_products_of_units_that_truncate_stay_below_the_tolerance) {
  for (const MatrixUnit& unit : matrix_units()) {
    for (const Shape& shape : {Shape{1, 1, 32}, {8, 80, 64}, {4, 128, 512}, {2, 64, 4096}, {1, 16, 16384}}) {
      const FreivaldsResult result = UnitProblem(unit, shape, 5).check(6);
      EXPECT_LT(result.error, 0.7) << unit.name << " k " << shape.k;
    }
  }
}

TEST(Freivalds, units_that_truncate_are_not_taken_for_ones_that_round) {
  // What a tolerance for f32 sums makes of Hopper's f8: so the allowance is needed.
  UnitProblem problem(matrix_units()[4], {4, 128, 512}, 5);
  problem.unit.accumulation = {};
  EXPECT_GT(problem.check(6).error, 1.0);
}

TEST(Freivalds, a_wrong_element_of_every_unit_is_seen_at_twice_its_tolerance) {
  const Shape shape{4, 128, 512};
  for (const MatrixUnit& unit : matrix_units()) {
    UnitProblem problem(unit, shape, 5);
    double squares = 0.0;
    for (const float element : problem.c) squares += static_cast<double>(element) * static_cast<double>(element);
    const double typical = std::sqrt(squares / static_cast<double>(problem.c.size()));
    const double panel = unit.accumulation.unit > 0x1p-20 ? 64.0 : 128.0;
    const double limit = 12.0 * truncation_error(unit.accumulation, shape.k) * std::sqrt(panel * 512.0) * typical;
    for (std::uint64_t trial = 0; trial < 8; ++trial) {
      const auto at = static_cast<std::size_t>(random_bits(6, trial) % problem.c.size());
      const float before = problem.c[at];
      problem.c[at] += static_cast<float>((trial % 2 == 0 ? 1.5 : -1.5) * limit);
      EXPECT_GT(problem.check(trial).error, 1.0) << unit.name << " " << at;
      problem.c[at] = std::numeric_limits<float>::quiet_NaN();
      EXPECT_FALSE(std::isfinite(problem.check(trial).error)) << unit.name;
      problem.c[at] = before;
    }
    EXPECT_LT(limit, typical) << unit.name << ": an element of the wrong sign is seen";
  }
}

}  // namespace
}  // namespace rackproof::gemm
