#include "suites/gemm/freivalds.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <type_traits>

#include "common/core/random.hpp"

namespace rackproof::gemm {
namespace {

constexpr std::size_t vectors = 3;
constexpr std::int64_t most_panel_columns = 512;
/// Where sums have few bits: the check then costs as much as a 64th of the product, in f64.
constexpr std::int64_t few_panel_columns = 64;
/// Elements below which waking threads costs more than they save.
constexpr std::int64_t worth_threads = 1 << 17;
constexpr double deviations = 6.0;

/// One entry for each random vector.
template <typename Sum>
using Sums = std::array<Sum, vectors>;

/// Sums are exact for integers: at most 2^31 / (127 x 127) > 133 000 terms fit an i32 result at all.
template <typename In>
using SumOf = std::conditional_t<std::is_same_v<In, std::int8_t>, std::int64_t, double>;

template <typename Sum, typename T>
Sum widen(T value) {
  if constexpr (std::is_same_v<T, bf16_bits>) {
    return static_cast<Sum>(from_bf16(value));
  } else if constexpr (std::is_same_v<T, Half>) {
    return static_cast<Sum>(from_f16(value));
  } else {
    return static_cast<Sum>(value);
  }
}

template <typename In>
constexpr double accumulation_roundoff = std::is_same_v<In, double> ? 0x1p-53 : 0x1p-24;

template <typename Out>
constexpr double output_roundoff = std::is_same_v<Out, bf16_bits> ? 0x1p-9 : 0.0;

/// row . x for every x, and the sum of squares of the row. `signs` is [column][vector].
template <typename Sum, typename T, typename X>
Sums<Sum> dot(std::span<const T> row, std::span<const Sums<X>> x, double& squares) {
  Sums<Sum> sums{};
  double square_sum = 0.0;
  for (std::size_t j = 0; j < row.size(); ++j) {
    const Sum value = widen<Sum>(row[j]);
    for (std::size_t v = 0; v < vectors; ++v) sums[v] += value * static_cast<Sum>(x[j][v]);
    square_sum += static_cast<double>(value) * static_cast<double>(value);
  }
  squares = square_sum;
  return sums;
}

}  // namespace

double truncation_error(const Accumulation& accumulation, std::int64_t k) {
  const bool restarts = accumulation.interval > 0 && accumulation.interval < k;
  const auto all = static_cast<double>(k);
  const double part = restarts ? static_cast<double>(accumulation.interval) : all;
  const double in_part =
      accumulation.unit * (0.5 + 0.5 * std::sqrt(part) / accumulation.products + 3.0 / std::sqrt(part));
  return restarts ? in_part * std::sqrt(part / all) + 0x1p-24 : in_part;
}

template <typename In, typename Out>
FreivaldsResult freivalds(const Shape& shape, const Rows<In>& a, const Rows<In>& b, std::span<const Out> c,
                          std::uint64_t seed, const Accumulation& accumulation) {
  using Sum = SumOf<In>;
  constexpr bool exact = std::is_same_v<Sum, std::int64_t>;
  const auto k = static_cast<std::size_t>(shape.k);
  const auto m = static_cast<std::size_t>(shape.m);
  std::vector<Sums<Sum>> product(k);  // B x
  std::vector<double> squares(k);
  std::vector<Sums<double>> ratios(m);
  std::vector<Sums<Sum>> x;
  const Rows<Out> c_rows = rows_of(c, shape.n);
  const double roundoff = accumulation.unit > 0.0 ? truncation_error(accumulation, shape.k) : accumulation_roundoff<In>;
  const std::int64_t panel_columns = accumulation.unit > 0x1p-20 ? few_panel_columns : most_panel_columns;
  FreivaldsResult worst;
  for (std::int64_t first = 0; first < shape.n; first += panel_columns) {
    const std::int64_t columns = std::min(panel_columns, shape.n - first);
    x.resize(static_cast<std::size_t>(columns));
    for (std::size_t j = 0; j < x.size(); ++j) {
      const std::uint64_t bits = random_bits(seed, static_cast<std::uint64_t>(first) + j);
      for (std::size_t v = 0; v < vectors; ++v) x[j][v] = ((bits >> (63U - v)) & 1U) != 0 ? Sum{1} : Sum{-1};
    }
#pragma omp parallel if (shape.k * columns > worth_threads)
    {
      std::vector<In> scratch;
#pragma omp for schedule(static)
      for (std::size_t l = 0; l < k; ++l) {
        product[l] = dot<Sum>(b(static_cast<std::int64_t>(l), first, columns, scratch), std::span<const Sums<Sum>>(x),
                              squares[l]);
      }
    }
    double b_squares = 0.0;
    for (const double square : squares) b_squares += square;
    const double own = 0x1p-53 * (1.0 + 2.0 * std::sqrt(static_cast<double>(columns) / static_cast<double>(shape.k)));
#pragma omp parallel if (shape.m * (shape.k + columns) > worth_threads)
    {
      std::vector<In> scratch;
      std::vector<Out> no_scratch;
#pragma omp for schedule(static)
      for (std::size_t i = 0; i < m; ++i) {
        const auto row = static_cast<std::int64_t>(i);
        double a_squares = 0.0;
        double c_squares = 0.0;
        const auto expected = dot<Sum>(a(row, 0, shape.k, scratch), std::span<const Sums<Sum>>(product), a_squares);
        const auto found = dot<Sum>(c_rows(row, first, columns, no_scratch), std::span<const Sums<Sum>>(x), c_squares);
        const double tolerance = deviations * (std::sqrt(a_squares * b_squares) * (roundoff + own) +
                                               std::sqrt(c_squares) * output_roundoff<Out>);
        for (std::size_t v = 0; v < vectors; ++v) {
          const auto residual = static_cast<double>(found[v] - expected[v]);
          // Zero inputs give a tolerance of zero, and nothing but zero will do.
          ratios[i][v] = exact ? 2.0 * std::abs(residual) : residual == 0.0 ? 0.0 : std::abs(residual) / tolerance;
        }
      }
    }
    for (std::size_t i = 0; i < m; ++i) {
      for (const double ratio : ratios[i]) {
        // Written so that the first NaN is kept.
        if (std::isfinite(worst.error) && !(ratio <= worst.error)) {
          worst = {ratio, static_cast<std::int64_t>(i), first};
        }
      }
    }
  }
  return worst;
}

template FreivaldsResult freivalds(const Shape&, const Rows<double>&, const Rows<double>&, std::span<const double>,
                                   std::uint64_t, const Accumulation&);
template FreivaldsResult freivalds(const Shape&, const Rows<float>&, const Rows<float>&, std::span<const float>,
                                   std::uint64_t, const Accumulation&);
template FreivaldsResult freivalds(const Shape&, const Rows<Half>&, const Rows<Half>&, std::span<const float>,
                                   std::uint64_t, const Accumulation&);
template FreivaldsResult freivalds(const Shape&, const Rows<bf16_bits>&, const Rows<bf16_bits>&, std::span<const float>,
                                   std::uint64_t, const Accumulation&);
template FreivaldsResult freivalds(const Shape&, const Rows<bf16_bits>&, const Rows<bf16_bits>&,
                                   std::span<const bf16_bits>, std::uint64_t, const Accumulation&);
template FreivaldsResult freivalds(const Shape&, const Rows<std::int8_t>&, const Rows<std::int8_t>&,
                                   std::span<const std::int32_t>, std::uint64_t, const Accumulation&);

}  // namespace rackproof::gemm
